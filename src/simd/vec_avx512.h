// AVX-512 (x86-64-v4) with VNNI: one zmm register for sixteen lanes. See vec.h.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wsign-conversion"  // in g++ 12's macros for intrinsics, which it uses at -O0
#endif

namespace woolly::simd::WOOLLY_ISA {
namespace {

struct F32 { __m512 v; };
struct I32 { __m512i v; };
struct Bytes { __m512i v; };

/// Columns that a matrix kernel works on at once: two accumulators each of a block's sums, of the scaled sums and of
/// the mins fill 24 of the 32 registers.
constexpr std::size_t kMaxColumns = 4;
/// Of these, with both halves of a panel at once; more columns take one half after the other.
constexpr std::size_t kMaxColumnsOfBothHalves = kMaxColumns;
/// The same of float types, which have one accumulator for each half.
constexpr std::size_t kMaxFloatColumns = 12;
constexpr std::size_t kMaxFloatColumnsOfBothHalves = 12;
/// How far ahead of its reads a matrix kernel asks for the lines of a panel; 0: not at all. Measured on the cores that
/// have AMX: their own prefetcher follows a stream that is worked on at 72 %, with this at 97 %, of the bandwidth of a
/// stream that is only read. Zen 4, where the other set is the best, loses by it.
#if defined(WOOLLY_ISA_AMX)
constexpr std::size_t kPrefetchBytes = 3072;
#else
constexpr std::size_t kPrefetchBytes = 0;
#endif
/// What `dot_s8` adds to each weight; see there.
constexpr int kSignedBias = 128;

/// Queries that attention works on at once, and vectors of keys or of values: 24 accumulators.
constexpr std::size_t kQueryTile = 6;
constexpr std::size_t kKvVectors = 4;

// Floats.
inline F32 load(const float* p) { return {_mm512_loadu_ps(p)}; }
inline void store(float* p, F32 a) { _mm512_storeu_ps(p, a.v); }
/// The first n (0 to 16) lanes; those beyond are zero, and left alone in memory.
inline __mmask16 first_lanes(std::size_t n) { return static_cast<__mmask16>((1U << n) - 1); }
inline F32 load_first(const float* p, std::size_t n) { return {_mm512_maskz_loadu_ps(first_lanes(n), p)}; }
inline void store_first(float* p, F32 a, std::size_t n) { _mm512_mask_storeu_ps(p, first_lanes(n), a.v); }
inline float first_lane(F32 a) { return _mm512_cvtss_f32(a.v); }
inline F32 splat(float x) { return {_mm512_set1_ps(x)}; }
inline F32 fma(F32 a, F32 b, F32 c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
inline F32 add(F32 a, F32 b) { return {_mm512_add_ps(a.v, b.v)}; }
inline F32 sub(F32 a, F32 b) { return {_mm512_sub_ps(a.v, b.v)}; }
inline F32 mul(F32 a, F32 b) { return {_mm512_mul_ps(a.v, b.v)}; }
inline F32 div(F32 a, F32 b) { return {_mm512_div_ps(a.v, b.v)}; }
/// The larger; `b` where either is NaN.
inline F32 max(F32 a, F32 b) { return {_mm512_max_ps(a.v, b.v)}; }
/// The smaller; `b` where either is NaN.
inline F32 min(F32 a, F32 b) { return {_mm512_min_ps(a.v, b.v)}; }
inline F32 round_even(F32 a) { return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)}; }
/// Of each pair of lanes: the first twice, the second twice, both exchanged.
inline F32 first_of_pairs(F32 a) { return {_mm512_moveldup_ps(a.v)}; }
inline F32 second_of_pairs(F32 a) { return {_mm512_movehdup_ps(a.v)}; }
inline F32 swap_pairs(F32 a) { return {_mm512_permute_ps(a.v, 0xB1)}; }
/// The same two floats in every pair of lanes.
inline F32 splat_pair(const float* p) {
  double pair;
  __builtin_memcpy(&pair, p, sizeof pair);
  return {_mm512_castpd_ps(_mm512_set1_pd(pair))};
}
/// The first of each pair of lanes, and zero.
inline F32 keep_first_of_pairs(F32 a) { return {_mm512_maskz_mov_ps(0x5555, a.v)}; }
/// The sums of all pairs of lanes, first those of a.
inline F32 add_pairs(F32 a, F32 b) {
  const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
  const __m512i odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));
  return {_mm512_add_ps(_mm512_permutex2var_ps(a.v, even, b.v), _mm512_permutex2var_ps(a.v, odd, b.v))};
}
/// Every lane twice: those of the lower half and those of the upper half.
inline F32 lower_twice(F32 a) {
  return {_mm512_permutexvar_ps(_mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7), a.v)};
}
inline F32 upper_twice(F32 a) {
  return {_mm512_permutexvar_ps(_mm512_setr_epi32(8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13, 14, 14, 15, 15), a.v)};
}
inline F32 load_f16(const std::uint16_t* p) {
  return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
}
inline void store_f16(std::uint16_t* p, F32 a) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtps_ph(a.v, _MM_FROUND_TO_NEAREST_INT));
}
/// Rounds to nearest, ties to even; NaN stays NaN.
inline void store_bf16(std::uint16_t* p, F32 a) {
  const __m512i bits = _mm512_castps_si512(a.v), top = _mm512_srli_epi32(bits, 16);
  const __m512i half = _mm512_add_epi32(_mm512_set1_epi32(0x7FFF), _mm512_and_si512(top, _mm512_set1_epi32(1)));
  const __m512i rounded = _mm512_srli_epi32(_mm512_add_epi32(bits, half), 16);
  const __mmask16 is_nan = _mm512_cmp_ps_mask(a.v, a.v, _CMP_UNORD_Q);
  const __m512i words = _mm512_mask_or_epi32(rounded, is_nan, top, _mm512_set1_epi32(0x40));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(words));
}

// Integers.
inline I32 splat_i32(std::int32_t x) { return {_mm512_set1_epi32(x)}; }
inline I32 add(I32 a, I32 b) { return {_mm512_add_epi32(a.v, b.v)}; }
inline I32 sub(I32 a, I32 b) { return {_mm512_sub_epi32(a.v, b.v)}; }
inline I32 mul(I32 a, I32 b) { return {_mm512_mullo_epi32(a.v, b.v)}; }
inline I32 bit_and(I32 a, I32 b) { return {_mm512_and_si512(a.v, b.v)}; }
inline I32 bit_or(I32 a, I32 b) { return {_mm512_or_si512(a.v, b.v)}; }
template <int kBits> I32 shift_left(I32 a) { return {_mm512_slli_epi32(a.v, kBits)}; }
template <int kBits> I32 shift_right(I32 a) { return {_mm512_srli_epi32(a.v, kBits)}; }
inline I32 shift_right_by(I32 a, int bits) { return {_mm512_srl_epi32(a.v, _mm_cvtsi32_si128(bits))}; }
inline I32 shift_left_by(I32 a, int bits) { return {_mm512_sll_epi32(a.v, _mm_cvtsi32_si128(bits))}; }
inline I32 max_unsigned(I32 a, I32 b) { return {_mm512_max_epu32(a.v, b.v)}; }
/// Makes the compiler finish `a` here: it would otherwise reassociate the sums of a long unrolled body, put them all at its
/// end and spill.
inline void finish(I32& a) { asm("" : "+v"(a.v)); }
inline F32 to_f32(I32 a) { return {_mm512_cvtepi32_ps(a.v)}; }
/// Of an integral value in range; of others, NaN among them, the lowest integer.
inline I32 to_i32(F32 a) { return {_mm512_cvtps_epi32(a.v)}; }
inline I32 as_i32(F32 a) { return {_mm512_castps_si512(a.v)}; }
inline F32 as_f32(I32 a) { return {_mm512_castsi512_ps(a.v)}; }
inline void store(std::int32_t* p, I32 a) { _mm512_storeu_si512(p, a.v); }
/// Sixteen bytes, one a lane.
inline I32 load_u8(const std::uint8_t* p) {
  return {_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))};
}
inline I32 load_s8(const std::int8_t* p) {
  return {_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))};
}
/// Sixteen 16-bit words, one a lane.
inline I32 load_u16(const std::uint16_t* p) {
  return {_mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
}
/// The low bytes; values must be in [-128, 127].
inline void store_s8(std::int8_t* p, I32 a) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(a.v));
}
/// The low byte of each lane.
inline void store_low8(std::uint8_t* p, I32 a) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(a.v));
}
/// The low 16 bits of each lane, little-endian.
inline void store_low16(std::uint8_t* p, I32 a) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(a.v));
}

// Bytes: lane i of sixteen holds bytes 4i..4i+3.
inline Bytes load_bytes(const std::uint8_t* p) { return {_mm512_loadu_si512(p)}; }
inline void store(std::uint8_t* p, Bytes a) { _mm512_storeu_si512(p, a.v); }
inline I32 as_i32(Bytes a) { return {a.v}; }
inline Bytes as_bytes(I32 a) { return {a.v}; }
/// Sixteen bytes of each of sixteen rows, `stride` bytes apart, transposed: lane r of out[i] has bytes 4i..4i+3 of row r.
inline void load_transposed(const std::uint8_t* rows, std::size_t stride, Bytes (&out)[4]) {
  const auto four_rows = [&](std::size_t first) {  // rows first, first + 4, + 8 and + 12 in the quarters of a register
    const auto quarter = [&](std::size_t i) {
      return _mm_loadu_si128(reinterpret_cast<const __m128i*>(rows + (first + 4 * i) * stride));
    };
    __m512i v = _mm512_inserti32x4(_mm512_castsi128_si512(quarter(0)), quarter(1), 1);
    v = _mm512_inserti32x4(v, quarter(2), 2);
    return _mm512_inserti32x4(v, quarter(3), 3);
  };
  const __m512i v0 = four_rows(0), v1 = four_rows(1), v2 = four_rows(2), v3 = four_rows(3);
  const __m512i low01 = _mm512_unpacklo_epi32(v0, v1), high01 = _mm512_unpackhi_epi32(v0, v1);
  const __m512i low23 = _mm512_unpacklo_epi32(v2, v3), high23 = _mm512_unpackhi_epi32(v2, v3);
  out[0] = {_mm512_unpacklo_epi64(low01, low23)};
  out[1] = {_mm512_unpackhi_epi64(low01, low23)};
  out[2] = {_mm512_unpacklo_epi64(high01, high23)};
  out[3] = {_mm512_unpackhi_epi64(high01, high23)};
}
inline Bytes splat_bytes(std::uint8_t x) { return {_mm512_set1_epi8(static_cast<char>(x))}; }
inline Bytes bit_and(Bytes a, Bytes b) { return {_mm512_and_si512(a.v, b.v)}; }
inline Bytes bit_or(Bytes a, Bytes b) { return {_mm512_or_si512(a.v, b.v)}; }
/// Bits of `a` where the mask is set, of `b` elsewhere.
inline Bytes select_bits(Bytes mask, Bytes a, Bytes b) { return {_mm512_ternarylogic_epi64(mask.v, a.v, b.v, 0xCA)}; }
/// Shifts 16-bit words: bits cross into the neighbour byte, so a mask must follow.
template <int kBits> Bytes shift_left(Bytes a) { return {_mm512_slli_epi16(a.v, kBits)}; }
template <int kBits> Bytes shift_right(Bytes a) { return {_mm512_srli_epi16(a.v, kBits)}; }
/// table[byte] for bytes 0..15; `table` holds sixteen entries.
inline Bytes lookup16(const std::int8_t* table, Bytes index) {
  const __m512i entries = _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(table)));
  return {_mm512_shuffle_epi8(entries, index.v)};
}
/// The same four bytes in every lane.
inline I32 splat_quad(const std::int8_t* p) {
  std::int32_t quad;
  __builtin_memcpy(&quad, p, 4);
  return {_mm512_set1_epi32(quad)};
}
/// acc + Σ_j weight[4i+j] * quad[j], weights 0..127.
inline I32 dot_u8(I32 acc, Bytes weights, I32 quad) { return {_mm512_dpbusd_epi32(acc.v, weights.v, quad.v)}; }
/// acc + Σ_j (weight[4i+j] + kSignedBias) * quad[j], weights -128..127: the multiplier wants unsigned weights, so the
/// caller starts its sums at -kSignedBias * Σ quad.
inline I32 dot_s8(I32 acc, Bytes weights, I32 quad) {
  const __m512i biased = _mm512_xor_si512(weights.v, _mm512_set1_epi8(static_cast<char>(0x80)));
  return {_mm512_dpbusd_epi32(acc.v, biased, quad.v)};
}
/// The same two 16-bit words in every lane.
inline I32 splat_pair(const std::int16_t* p) {
  std::int32_t pair;
  __builtin_memcpy(&pair, p, 4);
  return {_mm512_set1_epi32(pair)};
}
/// acc + the sum of the products of both 16-bit words of a lane.
inline I32 dot_s16(I32 acc, I32 a, I32 b) { return {_mm512_dpwssd_epi32(acc.v, a.v, b.v)}; }

// Reductions, in the fixed tree.
inline float reduce_add(F32 a) {
  const __m256 h8 = _mm256_add_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1));
  const __m128 h4 = _mm_add_ps(_mm256_castps256_ps128(h8), _mm256_extractf128_ps(h8, 1));
  const __m128 h2 = _mm_add_ps(h4, _mm_movehl_ps(h4, h4));
  return _mm_cvtss_f32(_mm_add_ss(h2, _mm_movehdup_ps(h2)));
}
inline float reduce_max(F32 a) { return _mm512_reduce_max_ps(a.v); }
inline std::uint32_t reduce_max_unsigned(I32 a) { return _mm512_reduce_max_epu32(a.v); }
inline std::int32_t reduce_add(I32 a) { return _mm512_reduce_add_epi32(a.v); }

}  // namespace
}  // namespace woolly::simd::WOOLLY_ISA
