// AVX2 with FMA and F16C: two ymm registers for sixteen lanes. Three sets share it: AVX2 alone, and with the four-way dot
// product of VNNI in either of its encodings (AVX-VNNI; AVX-512VL with AVX-512 VNNI, which has 32 registers). See vec.h.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace woolly::simd::WOOLLY_ISA {
namespace {

struct F32 { __m256 lo, hi; };
struct I32 { __m256i lo, hi; };
struct Bytes { __m256i lo, hi; };

#if defined(WOOLLY_ISA_AVXVNNI) || defined(WOOLLY_ISA_AVXVNNI_EVEX)
#define WOOLLY_HAS_DOT 1
#else
#define WOOLLY_HAS_DOT 0
#endif

/// Columns that a matrix kernel works on at once: sixteen registers hold the sums of a block for four columns of one
/// half of a panel.
constexpr std::size_t kMaxColumns = 4;
/// Of these, with both halves of a panel at once; more columns take one half after the other.
constexpr std::size_t kMaxColumnsOfBothHalves = 1;
/// The same of float types: twelve accumulators for six columns of one half.
constexpr std::size_t kMaxFloatColumns = 6;
constexpr std::size_t kMaxFloatColumnsOfBothHalves = 2;
/// How far ahead of its reads a matrix kernel asks for the lines of a panel; 0: not at all. The cores that have VNNI in
/// this encoding gain as those with AMX do; see vec_avx512.h.
#if defined(WOOLLY_ISA_AVXVNNI)
constexpr std::size_t kPrefetchBytes = 3072;
#else
constexpr std::size_t kPrefetchBytes = 0;
#endif
/// What `dot_s8` adds to each weight; see there.
constexpr int kSignedBias = WOOLLY_HAS_DOT ? 128 : 0;

inline __m256i loadu(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
inline __m128i loadu128(const void* p) { return _mm_loadu_si128(static_cast<const __m128i*>(p)); }
inline __m128i loadu64(const void* p) { return _mm_loadl_epi64(static_cast<const __m128i*>(p)); }

/// Queries that attention works on at once, and vectors of keys or of values: twelve accumulators.
constexpr std::size_t kQueryTile = 3;
constexpr std::size_t kKvVectors = 2;

// Floats.
inline F32 load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
inline void store(float* p, F32 a) {
  _mm256_storeu_ps(p, a.lo);
  _mm256_storeu_ps(p + 8, a.hi);
}
/// The first n (0 to 16) lanes; those beyond are zero, and left alone in memory.
inline I32 first_lanes(std::size_t n) {
  const __m256i count = _mm256_set1_epi32(static_cast<int>(n));
  return {_mm256_cmpgt_epi32(count, _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)),
          _mm256_cmpgt_epi32(count, _mm256_setr_epi32(8, 9, 10, 11, 12, 13, 14, 15))};
}
inline F32 load_first(const float* p, std::size_t n) {
  const I32 mask = first_lanes(n);
  return {_mm256_maskload_ps(p, mask.lo), _mm256_maskload_ps(p + 8, mask.hi)};
}
inline void store_first(float* p, F32 a, std::size_t n) {
  const I32 mask = first_lanes(n);
  _mm256_maskstore_ps(p, mask.lo, a.lo);
  _mm256_maskstore_ps(p + 8, mask.hi, a.hi);
}
inline float first_lane(F32 a) { return _mm256_cvtss_f32(a.lo); }
inline F32 splat(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
inline F32 fma(F32 a, F32 b, F32 c) { return {_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)}; }
inline F32 add(F32 a, F32 b) { return {_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)}; }
inline F32 sub(F32 a, F32 b) { return {_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi)}; }
inline F32 mul(F32 a, F32 b) { return {_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)}; }
inline F32 div(F32 a, F32 b) { return {_mm256_div_ps(a.lo, b.lo), _mm256_div_ps(a.hi, b.hi)}; }
/// The larger; `b` where either is NaN.
inline F32 max(F32 a, F32 b) { return {_mm256_max_ps(a.lo, b.lo), _mm256_max_ps(a.hi, b.hi)}; }
/// The smaller; `b` where either is NaN.
inline F32 min(F32 a, F32 b) { return {_mm256_min_ps(a.lo, b.lo), _mm256_min_ps(a.hi, b.hi)}; }
inline F32 round_even(F32 a) {
  return {_mm256_round_ps(a.lo, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC),
          _mm256_round_ps(a.hi, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
/// Of each pair of lanes: the first twice, the second twice, both exchanged.
inline F32 first_of_pairs(F32 a) { return {_mm256_moveldup_ps(a.lo), _mm256_moveldup_ps(a.hi)}; }
inline F32 second_of_pairs(F32 a) { return {_mm256_movehdup_ps(a.lo), _mm256_movehdup_ps(a.hi)}; }
inline F32 swap_pairs(F32 a) { return {_mm256_permute_ps(a.lo, 0xB1), _mm256_permute_ps(a.hi, 0xB1)}; }
/// The same two floats in every pair of lanes.
inline F32 splat_pair(const float* p) {
  double pair;
  __builtin_memcpy(&pair, p, sizeof pair);
  const __m256 both = _mm256_castpd_ps(_mm256_set1_pd(pair));
  return {both, both};
}
/// The first of each pair of lanes, and zero.
inline F32 keep_first_of_pairs(F32 a) {
  const __m256 zero = _mm256_setzero_ps();
  return {_mm256_blend_ps(zero, a.lo, 0x55), _mm256_blend_ps(zero, a.hi, 0x55)};
}
inline __m256 add_pairs_of_half(F32 a) {
  const __m256d sums = _mm256_castps_pd(_mm256_hadd_ps(a.lo, a.hi));  // in quarters 0, 2, 1, 3
  return _mm256_castpd_ps(_mm256_permute4x64_pd(sums, 0xD8));
}
/// The sums of all pairs of lanes, first those of a.
inline F32 add_pairs(F32 a, F32 b) { return {add_pairs_of_half(a), add_pairs_of_half(b)}; }
inline F32 each_twice(__m256 a) {
  return {_mm256_permutevar8x32_ps(a, _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3)),
          _mm256_permutevar8x32_ps(a, _mm256_setr_epi32(4, 4, 5, 5, 6, 6, 7, 7))};
}
/// Every lane twice: those of the lower half and those of the upper half.
inline F32 lower_twice(F32 a) { return each_twice(a.lo); }
inline F32 upper_twice(F32 a) { return each_twice(a.hi); }
inline F32 load_f16(const std::uint16_t* p) { return {_mm256_cvtph_ps(loadu128(p)), _mm256_cvtph_ps(loadu128(p + 8))}; }
inline void store_f16(std::uint16_t* p, F32 a) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_cvtps_ph(a.lo, _MM_FROUND_TO_NEAREST_INT));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p + 8), _mm256_cvtps_ph(a.hi, _MM_FROUND_TO_NEAREST_INT));
}
/// Rounds to nearest, ties to even; NaN stays NaN.
inline void store_bf16(std::uint16_t* p, F32 a) {
  const auto words = [](__m256 v) {
    const __m256i bits = _mm256_castps_si256(v), top = _mm256_srli_epi32(bits, 16);
    const __m256i half = _mm256_add_epi32(_mm256_set1_epi32(0x7FFF), _mm256_and_si256(top, _mm256_set1_epi32(1)));
    const __m256i rounded = _mm256_srli_epi32(_mm256_add_epi32(bits, half), 16);
    const __m256i is_nan = _mm256_castps_si256(_mm256_cmp_ps(v, v, _CMP_UNORD_Q));
    return _mm256_blendv_epi8(rounded, _mm256_or_si256(top, _mm256_set1_epi32(0x40)), is_nan);
  };
  const __m256i packed = _mm256_packus_epi32(words(a.lo), words(a.hi));  // in quarters 0, 2, 1, 3
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm256_permute4x64_epi64(packed, 0xD8));
}

// Integers.
inline I32 splat_i32(std::int32_t x) { return {_mm256_set1_epi32(x), _mm256_set1_epi32(x)}; }
inline I32 add(I32 a, I32 b) { return {_mm256_add_epi32(a.lo, b.lo), _mm256_add_epi32(a.hi, b.hi)}; }
inline I32 sub(I32 a, I32 b) { return {_mm256_sub_epi32(a.lo, b.lo), _mm256_sub_epi32(a.hi, b.hi)}; }
inline I32 mul(I32 a, I32 b) { return {_mm256_mullo_epi32(a.lo, b.lo), _mm256_mullo_epi32(a.hi, b.hi)}; }
inline I32 bit_and(I32 a, I32 b) { return {_mm256_and_si256(a.lo, b.lo), _mm256_and_si256(a.hi, b.hi)}; }
inline I32 bit_or(I32 a, I32 b) { return {_mm256_or_si256(a.lo, b.lo), _mm256_or_si256(a.hi, b.hi)}; }
template <int kBits> I32 shift_left(I32 a) { return {_mm256_slli_epi32(a.lo, kBits), _mm256_slli_epi32(a.hi, kBits)}; }
template <int kBits> I32 shift_right(I32 a) { return {_mm256_srli_epi32(a.lo, kBits), _mm256_srli_epi32(a.hi, kBits)}; }
inline I32 shift_right_by(I32 a, int bits) {
  const __m128i n = _mm_cvtsi32_si128(bits);
  return {_mm256_srl_epi32(a.lo, n), _mm256_srl_epi32(a.hi, n)};
}
inline I32 shift_left_by(I32 a, int bits) {
  const __m128i n = _mm_cvtsi32_si128(bits);
  return {_mm256_sll_epi32(a.lo, n), _mm256_sll_epi32(a.hi, n)};
}
inline I32 max_unsigned(I32 a, I32 b) { return {_mm256_max_epu32(a.lo, b.lo), _mm256_max_epu32(a.hi, b.hi)}; }
/// Makes the compiler finish `a` here: it would otherwise reassociate the sums of a long unrolled body, put them all at its
/// end and spill.
inline void finish(I32& a) { asm("" : "+x"(a.lo), "+x"(a.hi)); }
inline F32 to_f32(I32 a) { return {_mm256_cvtepi32_ps(a.lo), _mm256_cvtepi32_ps(a.hi)}; }
/// Of an integral value in range; of others, NaN among them, the lowest integer.
inline I32 to_i32(F32 a) { return {_mm256_cvtps_epi32(a.lo), _mm256_cvtps_epi32(a.hi)}; }
inline I32 as_i32(F32 a) { return {_mm256_castps_si256(a.lo), _mm256_castps_si256(a.hi)}; }
inline F32 as_f32(I32 a) { return {_mm256_castsi256_ps(a.lo), _mm256_castsi256_ps(a.hi)}; }
inline void store(std::int32_t* p, I32 a) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), a.lo);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p + 8), a.hi);
}
/// Sixteen bytes, one a lane.
inline I32 load_u8(const std::uint8_t* p) {
  return {_mm256_cvtepu8_epi32(loadu64(p)), _mm256_cvtepu8_epi32(loadu64(p + 8))};
}
inline I32 load_s8(const std::int8_t* p) {
  return {_mm256_cvtepi8_epi32(loadu64(p)), _mm256_cvtepi8_epi32(loadu64(p + 8))};
}
/// Sixteen 16-bit words, one a lane.
inline I32 load_u16(const std::uint16_t* p) {
  return {_mm256_cvtepu16_epi32(loadu128(p)), _mm256_cvtepu16_epi32(loadu128(p + 8))};
}
/// The low bytes; values must be in [-128, 127].
inline void store_s8(std::int8_t* p, I32 a) {
  const __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(a.lo, a.hi), 0xD8);
  const __m128i bytes = _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), bytes);
}
inline __m256i low_words(I32 a) {
  const __m256i mask = _mm256_set1_epi32(0xFFFF);
  return _mm256_permute4x64_epi64(_mm256_packus_epi32(_mm256_and_si256(a.lo, mask), _mm256_and_si256(a.hi, mask)), 0xD8);
}
/// The low byte of each lane.
inline void store_low8(std::uint8_t* p, I32 a) {
  const __m256i words = low_words(bit_and(a, splat_i32(0xFF)));
  const __m128i bytes = _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), bytes);
}
/// The low 16 bits of each lane, little-endian.
inline void store_low16(std::uint8_t* p, I32 a) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), low_words(a)); }

// Bytes: lane i of sixteen holds bytes 4i..4i+3.
inline Bytes load_bytes(const std::uint8_t* p) { return {loadu(p), loadu(p + 32)}; }
inline void store(std::uint8_t* p, Bytes a) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), a.lo);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p + 32), a.hi);
}
inline I32 as_i32(Bytes a) { return {a.lo, a.hi}; }
inline Bytes as_bytes(I32 a) { return {a.lo, a.hi}; }
inline void load_transposed_half(const std::uint8_t* rows, std::size_t stride, __m256i (&out)[4]) {
  const auto two_rows = [&](std::size_t first) {  // rows first and first + 4 in the halves of a register
    return _mm256_inserti128_si256(_mm256_castsi128_si256(loadu128(rows + first * stride)),
                                   loadu128(rows + (first + 4) * stride), 1);
  };
  const __m256i v0 = two_rows(0), v1 = two_rows(1), v2 = two_rows(2), v3 = two_rows(3);
  const __m256i low01 = _mm256_unpacklo_epi32(v0, v1), high01 = _mm256_unpackhi_epi32(v0, v1);
  const __m256i low23 = _mm256_unpacklo_epi32(v2, v3), high23 = _mm256_unpackhi_epi32(v2, v3);
  out[0] = _mm256_unpacklo_epi64(low01, low23);
  out[1] = _mm256_unpackhi_epi64(low01, low23);
  out[2] = _mm256_unpacklo_epi64(high01, high23);
  out[3] = _mm256_unpackhi_epi64(high01, high23);
}
/// Sixteen bytes of each of sixteen rows, `stride` bytes apart, transposed: lane r of out[i] has bytes 4i..4i+3 of row r.
inline void load_transposed(const std::uint8_t* rows, std::size_t stride, Bytes (&out)[4]) {
  __m256i lo[4], hi[4];
  load_transposed_half(rows, stride, lo);
  load_transposed_half(rows + 8 * stride, stride, hi);
  WOOLLY_UNROLL
  for (std::size_t i = 0; i < 4; ++i) out[i] = {lo[i], hi[i]};
}
inline Bytes splat_bytes(std::uint8_t x) {
  const __m256i v = _mm256_set1_epi8(static_cast<char>(x));
  return {v, v};
}
inline Bytes bit_and(Bytes a, Bytes b) { return {_mm256_and_si256(a.lo, b.lo), _mm256_and_si256(a.hi, b.hi)}; }
inline Bytes bit_or(Bytes a, Bytes b) { return {_mm256_or_si256(a.lo, b.lo), _mm256_or_si256(a.hi, b.hi)}; }
/// Bits of `a` where the mask is set, of `b` elsewhere.
inline Bytes select_bits(Bytes mask, Bytes a, Bytes b) {
  return {_mm256_or_si256(_mm256_and_si256(mask.lo, a.lo), _mm256_andnot_si256(mask.lo, b.lo)),
          _mm256_or_si256(_mm256_and_si256(mask.hi, a.hi), _mm256_andnot_si256(mask.hi, b.hi))};
}
/// Shifts 16-bit words: bits cross into the neighbour byte, so a mask must follow.
template <int kBits> Bytes shift_left(Bytes a) { return {_mm256_slli_epi16(a.lo, kBits), _mm256_slli_epi16(a.hi, kBits)}; }
template <int kBits> Bytes shift_right(Bytes a) { return {_mm256_srli_epi16(a.lo, kBits), _mm256_srli_epi16(a.hi, kBits)}; }
/// table[byte] for bytes 0..15; `table` holds sixteen entries.
inline Bytes lookup16(const std::int8_t* table, Bytes index) {
  const __m256i entries = _mm256_broadcastsi128_si256(loadu128(table));
  return {_mm256_shuffle_epi8(entries, index.lo), _mm256_shuffle_epi8(entries, index.hi)};
}
/// The same four bytes in every lane.
inline I32 splat_quad(const std::int8_t* p) {
  std::int32_t quad;
  __builtin_memcpy(&quad, p, 4);
  return splat_i32(quad);
}
#if WOOLLY_HAS_DOT
inline __m256i dot_half(__m256i acc, __m256i unsigned_bytes, __m256i signed_bytes) {
#if defined(WOOLLY_ISA_AVXVNNI)
  return _mm256_dpbusd_avx_epi32(acc, unsigned_bytes, signed_bytes);
#else
  return _mm256_dpbusd_epi32(acc, unsigned_bytes, signed_bytes);
#endif
}
inline __m256i dot_pairs(__m256i acc, __m256i a, __m256i b) {
#if defined(WOOLLY_ISA_AVXVNNI)
  return _mm256_dpwssd_avx_epi32(acc, a, b);
#else
  return _mm256_dpwssd_epi32(acc, a, b);
#endif
}
#else
/// Exact where no pair of products leaves 16 bits.
inline __m256i dot_half(__m256i acc, __m256i unsigned_bytes, __m256i signed_bytes) {
  const __m256i pairs = _mm256_maddubs_epi16(unsigned_bytes, signed_bytes);
  return _mm256_add_epi32(acc, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}
inline __m256i dot_pairs(__m256i acc, __m256i a, __m256i b) { return _mm256_add_epi32(acc, _mm256_madd_epi16(a, b)); }
#endif
/// acc + Σ_j weight[4i+j] * quad[j], weights 0..127: a pair is at most 2 * 127 * 127 = 32258, which 16 bits hold.
inline I32 dot_u8(I32 acc, Bytes weights, I32 quad) {
  return {dot_half(acc.lo, weights.lo, quad.lo), dot_half(acc.hi, weights.hi, quad.hi)};
}
#if WOOLLY_HAS_DOT
/// acc + Σ_j (weight[4i+j] + kSignedBias) * quad[j], weights -128..127: the multiplier wants unsigned weights, so the
/// caller starts its sums at -kSignedBias * Σ quad.
inline I32 dot_s8(I32 acc, Bytes weights, I32 quad) {
  const __m256i bias = _mm256_set1_epi8(static_cast<char>(0x80));
  return dot_u8(acc, {_mm256_xor_si256(weights.lo, bias), _mm256_xor_si256(weights.hi, bias)}, quad);
}
#else
/// acc + Σ_j weight[4i+j] * quad[j], weights -128..127, quad -127..127: the weight's sign moves to the activation, so
/// a pair is at most 2 * 128 * 127 = 32512.
inline I32 dot_s8(I32 acc, Bytes weights, I32 quad) {
  return {dot_half(acc.lo, _mm256_abs_epi8(weights.lo), _mm256_sign_epi8(quad.lo, weights.lo)),
          dot_half(acc.hi, _mm256_abs_epi8(weights.hi), _mm256_sign_epi8(quad.hi, weights.hi))};
}
#endif
/// The same two 16-bit words in every lane.
inline I32 splat_pair(const std::int16_t* p) {
  std::int32_t pair;
  __builtin_memcpy(&pair, p, 4);
  return splat_i32(pair);
}
/// acc + the sum of the products of both 16-bit words of a lane.
inline I32 dot_s16(I32 acc, I32 a, I32 b) { return {dot_pairs(acc.lo, a.lo, b.lo), dot_pairs(acc.hi, a.hi, b.hi)}; }

// Reductions, in the fixed tree.
inline float reduce_add(F32 a) {
  const __m256 h8 = _mm256_add_ps(a.lo, a.hi);
  const __m128 h4 = _mm_add_ps(_mm256_castps256_ps128(h8), _mm256_extractf128_ps(h8, 1));
  const __m128 h2 = _mm_add_ps(h4, _mm_movehl_ps(h4, h4));
  return _mm_cvtss_f32(_mm_add_ss(h2, _mm_movehdup_ps(h2)));
}
inline float reduce_max(F32 a) {
  const __m256 h8 = _mm256_max_ps(a.lo, a.hi);
  const __m128 h4 = _mm_max_ps(_mm256_castps256_ps128(h8), _mm256_extractf128_ps(h8, 1));
  const __m128 h2 = _mm_max_ps(h4, _mm_movehl_ps(h4, h4));
  return _mm_cvtss_f32(_mm_max_ss(h2, _mm_movehdup_ps(h2)));
}
inline std::uint32_t reduce_max_unsigned(I32 a) {
  const __m256i h8 = _mm256_max_epu32(a.lo, a.hi);
  const __m128i h4 = _mm_max_epu32(_mm256_castsi256_si128(h8), _mm256_extracti128_si256(h8, 1));
  const __m128i h2 = _mm_max_epu32(h4, _mm_shuffle_epi32(h4, 0x4E));
  return static_cast<std::uint32_t>(_mm_cvtsi128_si32(_mm_max_epu32(h2, _mm_shuffle_epi32(h2, 0xB1))));
}
inline std::int32_t reduce_add(I32 a) {
  const __m256i h8 = _mm256_add_epi32(a.lo, a.hi);
  const __m128i h4 = _mm_add_epi32(_mm256_castsi256_si128(h8), _mm256_extracti128_si256(h8, 1));
  const __m128i h2 = _mm_add_epi32(h4, _mm_shuffle_epi32(h4, 0x4E));
  return _mm_cvtsi128_si32(_mm_add_epi32(h2, _mm_shuffle_epi32(h2, 0xB1)));
}

}  // namespace
}  // namespace woolly::simd::WOOLLY_ISA
