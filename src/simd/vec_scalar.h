// Plain C++: arrays of sixteen lanes, loops that a compiler may unroll. The oracle of the other sets. See vec.h.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>

#include "base/float16.h"

namespace woolly::simd::WOOLLY_ISA {
namespace {

struct F32 { float v[16]; };
struct I32 { std::int32_t v[16]; };
struct Bytes { std::uint8_t v[64]; };

constexpr std::size_t kMaxColumns = 2;
/// Of these, with both halves of a panel at once; more columns take one half after the other.
constexpr std::size_t kMaxColumnsOfBothHalves = kMaxColumns;
/// The same of float types.
constexpr std::size_t kMaxFloatColumns = 2;
constexpr std::size_t kMaxFloatColumnsOfBothHalves = 2;
/// How far ahead of its reads a matrix kernel asks for the lines of a panel; 0: not at all.
constexpr std::size_t kPrefetchBytes = 0;
/// `dot_s8` takes signed weights as they are.
constexpr int kSignedBias = 0;

template <typename Out, typename Lane>
inline Out lanes(Lane lane) {
  Out out;
  for (int i = 0; i < 16; ++i) out.v[i] = lane(i);
  return out;
}
template <typename Byte>
inline Bytes each_byte(Byte byte) {
  Bytes out;
  for (int i = 0; i < 64; ++i) out.v[i] = static_cast<std::uint8_t>(byte(i));
  return out;
}

/// Queries that attention works on at once, and vectors of keys or of values.
constexpr std::size_t kQueryTile = 2;
constexpr std::size_t kKvVectors = 2;

// Floats.
inline F32 load(const float* p) { return lanes<F32>([&](int i) { return p[i]; }); }
inline void store(float* p, F32 a) { std::memcpy(p, a.v, sizeof a.v); }
/// The first n (0 to 16) lanes; those beyond are zero, and left alone in memory.
inline F32 load_first(const float* p, std::size_t n) {
  return lanes<F32>([&](int i) { return static_cast<std::size_t>(i) < n ? p[i] : 0.0F; });
}
inline void store_first(float* p, F32 a, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) p[i] = a.v[i];
}
inline float first_lane(F32 a) { return a.v[0]; }
inline F32 splat(float x) { return lanes<F32>([&](int) { return x; }); }
inline F32 fma(F32 a, F32 b, F32 c) { return lanes<F32>([&](int i) { return std::fma(a.v[i], b.v[i], c.v[i]); }); }
inline F32 add(F32 a, F32 b) { return lanes<F32>([&](int i) { return a.v[i] + b.v[i]; }); }
inline F32 sub(F32 a, F32 b) { return lanes<F32>([&](int i) { return a.v[i] - b.v[i]; }); }
inline F32 mul(F32 a, F32 b) { return lanes<F32>([&](int i) { return a.v[i] * b.v[i]; }); }
inline F32 div(F32 a, F32 b) { return lanes<F32>([&](int i) { return a.v[i] / b.v[i]; }); }
/// The larger; `b` where either is NaN.
inline F32 max(F32 a, F32 b) { return lanes<F32>([&](int i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; }); }
/// The smaller; `b` where either is NaN.
inline F32 min(F32 a, F32 b) { return lanes<F32>([&](int i) { return a.v[i] < b.v[i] ? a.v[i] : b.v[i]; }); }
inline F32 round_even(F32 a) { return lanes<F32>([&](int i) { return std::nearbyint(a.v[i]); }); }
/// Of each pair of lanes: the first twice, the second twice, both exchanged.
inline F32 first_of_pairs(F32 a) { return lanes<F32>([&](int i) { return a.v[i / 2 * 2]; }); }
inline F32 second_of_pairs(F32 a) { return lanes<F32>([&](int i) { return a.v[i / 2 * 2 + 1]; }); }
inline F32 swap_pairs(F32 a) { return lanes<F32>([&](int i) { return a.v[i % 2 == 0 ? i + 1 : i - 1]; }); }
/// The same two floats in every pair of lanes.
inline F32 splat_pair(const float* p) { return lanes<F32>([&](int i) { return p[i % 2]; }); }
/// The first of each pair of lanes, and zero.
inline F32 keep_first_of_pairs(F32 a) { return lanes<F32>([&](int i) { return i % 2 == 0 ? a.v[i] : 0.0F; }); }
/// The sums of all pairs of lanes, first those of a.
inline F32 add_pairs(F32 a, F32 b) {
  return lanes<F32>([&](int i) {
    const float* pair = i < 8 ? a.v + 2 * i : b.v + 2 * (i - 8);
    return pair[0] + pair[1];
  });
}
/// Every lane twice: those of the lower half and those of the upper half.
inline F32 lower_twice(F32 a) { return lanes<F32>([&](int i) { return a.v[i / 2]; }); }
inline F32 upper_twice(F32 a) { return lanes<F32>([&](int i) { return a.v[8 + i / 2]; }); }
inline F32 load_f16(const std::uint16_t* p) { return lanes<F32>([&](int i) { return base::f16_to_f32(p[i]); }); }
inline void store_f16(std::uint16_t* p, F32 a) {
  for (int i = 0; i < 16; ++i) p[i] = base::f32_to_f16(a.v[i]);
}
/// Rounds to nearest, ties to even; NaN stays NaN.
inline void store_bf16(std::uint16_t* p, F32 a) {
  for (int i = 0; i < 16; ++i) p[i] = base::f32_to_bf16(a.v[i]);
}

// Integers. Sums and products wrap as the hardware's do.
inline std::int32_t wrap(std::int64_t x) { return static_cast<std::int32_t>(static_cast<std::uint32_t>(x)); }
inline std::uint32_t bits(std::int32_t x) { return static_cast<std::uint32_t>(x); }
inline I32 splat_i32(std::int32_t x) { return lanes<I32>([&](int) { return x; }); }
inline I32 add(I32 a, I32 b) { return lanes<I32>([&](int i) { return wrap(std::int64_t{a.v[i]} + b.v[i]); }); }
inline I32 sub(I32 a, I32 b) { return lanes<I32>([&](int i) { return wrap(std::int64_t{a.v[i]} - b.v[i]); }); }
inline I32 mul(I32 a, I32 b) { return lanes<I32>([&](int i) { return wrap(std::int64_t{a.v[i]} * b.v[i]); }); }
inline I32 bit_and(I32 a, I32 b) { return lanes<I32>([&](int i) { return a.v[i] & b.v[i]; }); }
inline I32 bit_or(I32 a, I32 b) { return lanes<I32>([&](int i) { return a.v[i] | b.v[i]; }); }
template <int kBits> I32 shift_left(I32 a) { return lanes<I32>([&](int i) { return wrap(bits(a.v[i]) << kBits); }); }
template <int kBits> I32 shift_right(I32 a) { return lanes<I32>([&](int i) { return wrap(bits(a.v[i]) >> kBits); }); }
inline I32 shift_right_by(I32 a, int n) { return lanes<I32>([&](int i) { return wrap(bits(a.v[i]) >> n); }); }
inline I32 shift_left_by(I32 a, int n) { return lanes<I32>([&](int i) { return wrap(bits(a.v[i]) << n); }); }
inline I32 max_unsigned(I32 a, I32 b) { return lanes<I32>([&](int i) { return bits(a.v[i]) > bits(b.v[i]) ? a.v[i] : b.v[i]; }); }
/// Other sets keep the compiler from reordering sums here.
inline void finish(I32&) {}
inline F32 to_f32(I32 a) { return lanes<F32>([&](int i) { return static_cast<float>(a.v[i]); }); }
/// Of an integral value in range; of others, NaN among them, the lowest integer, as the hardware has it.
inline I32 to_i32(F32 a) {
  return lanes<I32>([&](int i) {
    const bool fits = a.v[i] >= -0x1p31F && a.v[i] < 0x1p31F;
    return fits ? static_cast<std::int32_t>(a.v[i]) : std::numeric_limits<std::int32_t>::min();
  });
}
inline I32 as_i32(F32 a) {
  I32 out;
  std::memcpy(&out, &a, sizeof out);
  return out;
}
inline F32 as_f32(I32 a) {
  F32 out;
  std::memcpy(&out, &a, sizeof out);
  return out;
}
inline void store(std::int32_t* p, I32 a) { std::memcpy(p, a.v, sizeof a.v); }
/// Sixteen bytes, one a lane.
inline I32 load_u8(const std::uint8_t* p) { return lanes<I32>([&](int i) { return std::int32_t{p[i]}; }); }
inline I32 load_s8(const std::int8_t* p) { return lanes<I32>([&](int i) { return std::int32_t{p[i]}; }); }
/// Sixteen 16-bit words, one a lane.
inline I32 load_u16(const std::uint16_t* p) { return lanes<I32>([&](int i) { return std::int32_t{p[i]}; }); }
/// The low bytes; values must be in [-128, 127].
inline void store_s8(std::int8_t* p, I32 a) {
  for (int i = 0; i < 16; ++i) p[i] = static_cast<std::int8_t>(a.v[i]);
}
/// The low byte of each lane.
inline void store_low8(std::uint8_t* p, I32 a) {
  for (int i = 0; i < 16; ++i) p[i] = static_cast<std::uint8_t>(a.v[i]);
}
/// The low 16 bits of each lane, little-endian.
inline void store_low16(std::uint8_t* p, I32 a) {
  for (int i = 0; i < 16; ++i) {
    const auto word = static_cast<std::uint16_t>(a.v[i]);
    std::memcpy(p + 2 * i, &word, 2);
  }
}

// Bytes: lane i of sixteen holds bytes 4i..4i+3.
inline Bytes load_bytes(const std::uint8_t* p) {
  Bytes out;
  std::memcpy(out.v, p, sizeof out.v);
  return out;
}
inline void store(std::uint8_t* p, Bytes a) { std::memcpy(p, a.v, sizeof a.v); }
inline I32 as_i32(Bytes a) {
  I32 out;
  std::memcpy(&out, &a, sizeof out);
  return out;
}
inline Bytes as_bytes(I32 a) {
  Bytes out;
  std::memcpy(&out, &a, sizeof out);
  return out;
}
/// Sixteen bytes of each of sixteen rows, `stride` bytes apart, transposed: lane r of out[i] has bytes 4i..4i+3 of row r.
inline void load_transposed(const std::uint8_t* rows, std::size_t stride, Bytes (&out)[4]) {
  for (std::size_t i = 0; i < 4; ++i) {
    for (std::size_t r = 0; r < 16; ++r) std::memcpy(out[i].v + 4 * r, rows + r * stride + 4 * i, 4);
  }
}
inline Bytes splat_bytes(std::uint8_t x) { return each_byte([&](int) { return x; }); }
inline Bytes bit_and(Bytes a, Bytes b) { return each_byte([&](int i) { return a.v[i] & b.v[i]; }); }
inline Bytes bit_or(Bytes a, Bytes b) { return each_byte([&](int i) { return a.v[i] | b.v[i]; }); }
/// Bits of `a` where the mask is set, of `b` elsewhere.
inline Bytes select_bits(Bytes mask, Bytes a, Bytes b) {
  return each_byte([&](int i) { return (mask.v[i] & a.v[i]) | (~mask.v[i] & b.v[i]); });
}
/// A mask must follow: other sets shift 16-bit words.
template <int kBits> Bytes shift_left(Bytes a) { return each_byte([&](int i) { return a.v[i] << kBits; }); }
template <int kBits> Bytes shift_right(Bytes a) { return each_byte([&](int i) { return a.v[i] >> kBits; }); }
/// table[byte] for bytes 0..15; `table` holds sixteen entries.
inline Bytes lookup16(const std::int8_t* table, Bytes index) { return each_byte([&](int i) { return table[index.v[i]]; }); }
/// The same four bytes in every lane.
inline I32 splat_quad(const std::int8_t* p) {
  std::int32_t quad;
  std::memcpy(&quad, p, 4);
  return splat_i32(quad);
}
template <typename Weight>
inline I32 dot(I32 acc, const Bytes& weights, const I32& quads) {
  std::int8_t quad[4];
  std::memcpy(quad, quads.v, 4);
  return lanes<I32>([&](int i) {
    std::int32_t sum = acc.v[i];
    for (int j = 0; j < 4; ++j) sum += std::int32_t{static_cast<Weight>(weights.v[4 * i + j])} * quad[j];
    return sum;
  });
}
/// acc + Σ_j weight[4i+j] * quad[j], weights 0..127.
inline I32 dot_u8(I32 acc, Bytes weights, I32 quad) { return dot<std::uint8_t>(acc, weights, quad); }
/// acc + Σ_j weight[4i+j] * quad[j], weights -128..127.
inline I32 dot_s8(I32 acc, Bytes weights, I32 quad) { return dot<std::int8_t>(acc, weights, quad); }
/// The same two 16-bit words in every lane.
inline I32 splat_pair(const std::int16_t* p) {
  std::int32_t pair;
  std::memcpy(&pair, p, 4);
  return splat_i32(pair);
}
/// acc + the sum of the products of both 16-bit words of a lane.
inline I32 dot_s16(I32 acc, I32 a, I32 b) {
  return lanes<I32>([&](int i) {
    const auto low = [](std::int32_t x) { return std::int64_t{static_cast<std::int16_t>(x)}; };
    return wrap(acc.v[i] + low(a.v[i]) * low(b.v[i]) + low(a.v[i] >> 16) * low(b.v[i] >> 16));
  });
}

// Reductions, in the fixed tree.
inline float reduce_add(F32 a) {
  for (int half = 8; half > 0; half /= 2) {
    for (int i = 0; i < half; ++i) a.v[i] += a.v[i + half];
  }
  return a.v[0];
}
inline float reduce_max(F32 a) {
  for (int i = 1; i < 16; ++i) a.v[0] = a.v[i] > a.v[0] ? a.v[i] : a.v[0];
  return a.v[0];
}
inline std::uint32_t reduce_max_unsigned(I32 a) {
  std::uint32_t most = 0;
  for (int i = 0; i < 16; ++i) most = bits(a.v[i]) > most ? bits(a.v[i]) : most;
  return most;
}
inline std::int32_t reduce_add(I32 a) {
  std::int64_t sum = 0;
  for (int i = 0; i < 16; ++i) sum += a.v[i];
  return wrap(sum);
}

}  // namespace
}  // namespace woolly::simd::WOOLLY_ISA
