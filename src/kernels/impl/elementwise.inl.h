// The steps between matrices: norm, quantization of activations, epilogues, rotary embedding.
#pragma once

#include "kernels/impl/exp.inl.h"
#include "kernels/impl/lanes.inl.h"
#include "kernels/kernel_table.h"
#include "simd/vec.h"

namespace woolly::kernels::WOOLLY_ISA {
namespace simd = woolly::simd::WOOLLY_ISA;
namespace {

void rms_norm(const float* x, const float* weight, float eps, std::size_t n, float* out) noexcept {
  simd::F32 squares = simd::splat(0.0F);
  for_lanes(n, [&](std::size_t i, std::size_t count) {
    const simd::F32 v = load_some(x + i, count);
    squares = simd::fma(v, v, squares);
  });
  const float mean = simd::reduce_add(squares) / static_cast<float>(n);
  const simd::F32 scale = simd::splat(1.0F / __builtin_sqrtf(mean + eps));
  for_lanes(n, [&](std::size_t i, std::size_t count) {
    simd::F32 v = simd::mul(load_some(x + i, count), scale);
    if (weight != nullptr) v = simd::mul(v, load_some(weight + i, count));
    store_some(out + i, v, count);
  });
}

/// Below this a block counts as zero, so that 127 / amax stays finite.
constexpr float kSmallestAmax = 0x1p-100F;

/// Quantizes kBlock values and writes a sum for each kSum of them; returns the scale.
template <std::size_t kBlock, std::size_t kSum>
inline float quantize_block(const float* x, std::int8_t* q, std::int16_t* sums) {
  // Magnitudes compare as unsigned integers, and NaN above infinity, so nothing odd slips through the maximum.
  simd::I32 largest = simd::splat_i32(0);
  for (std::size_t i = 0; i < kBlock; i += 16) {
    const simd::I32 magnitude = simd::bit_and(simd::as_i32(simd::load(x + i)), simd::splat_i32(0x7FFFFFFF));
    largest = simd::max_unsigned(largest, magnitude);
  }
  const std::uint32_t bits = simd::reduce_max_unsigned(largest);
  float amax;
  __builtin_memcpy(&amax, &bits, sizeof amax);
  const bool is_finite = bits < 0x7F800000U;
  if (!is_finite || amax < kSmallestAmax) {
    __builtin_memset(q, 0, kBlock);
    __builtin_memset(sums, 0, kBlock / kSum * sizeof(std::int16_t));
    return is_finite ? 0.0F : __builtin_nanf("");
  }
  const simd::F32 inverse = simd::splat(127.0F / amax);
  for (std::size_t s = 0; s < kBlock / kSum; ++s) {
    simd::I32 sum = simd::splat_i32(0);
    for (std::size_t i = s * kSum; i < (s + 1) * kSum; i += 16) {
      const simd::I32 code = simd::to_i32(simd::round_even(simd::mul(simd::load(x + i), inverse)));
      simd::store_s8(q + i, code);
      sum = simd::add(sum, code);
    }
    sums[s] = static_cast<std::int16_t>(simd::reduce_add(sum));
  }
  return amax / 127.0F;
}

/// `x` with eleven significant bits, to nearest and even: the precision of binary16 without its range.
inline float round_to_11_bits(float x) {
  std::uint32_t bits;
  __builtin_memcpy(&bits, &x, sizeof bits);
  if ((bits & 0x7FFFFFFFU) <= 0x7F800000U) bits = (bits + 0xFFFU + (bits >> 13U & 1U)) & ~0x1FFFU;
  __builtin_memcpy(&x, &bits, sizeof bits);
  return x;
}

void quantize_a32(const float* x, std::size_t k, const ActStorage& out) noexcept {
  for (std::size_t b = 0; b < k / 32; ++b) {
    // Weights' scales have eleven bits too, so that their product is exact; and it is llama.cpp's rounding, so that
    // perplexities compare.
    out.scale[b] = round_to_11_bits(quantize_block<32, 32>(x + 32 * b, out.q + 32 * b, out.sums32 + b));
    out.scaled_sums[b] = out.scale[b] * static_cast<float>(out.sums32[b]);  // 11 bits by 13: exact
  }
}

void quantize_a256(const float* x, std::size_t k, const ActStorage& out) noexcept {
  for (std::size_t b = 0; b < k / 256; ++b) {
    out.scale[b] = quantize_block<256, 16>(x + 256 * b, out.q + 256 * b, out.sums16 + 16 * b);
  }
  for (std::size_t i = 0; i < k / 32; ++i) {
    out.sums32[i] = static_cast<std::int16_t>(out.sums16[2 * i] + out.sums16[2 * i + 1]);
  }
}

void round_bf16(const float* x, std::size_t k, std::uint16_t* out) noexcept {
  std::size_t i = 0;
  for (; i + 16 <= k; i += 16) simd::store_bf16(out + i, simd::load(x + i));
  if (i == k) return;
  std::uint16_t rest[16];
  simd::store_bf16(rest, simd::load_first(x + i, k - i));
  __builtin_memcpy(out + i, rest, (k - i + 1) / 2 * 2 * sizeof(rest[0]));
}

void affine(const float* y, float scale, const float* bias, std::size_t n, float* out) noexcept {
  for_lanes(n, [&](std::size_t i, std::size_t count) {
    simd::F32 v = load_some(y + i, count);
    v = simd::mul(v, simd::splat(scale));
    if (bias != nullptr) v = simd::add(v, load_some(bias + i, count));
    store_some(out + i, v, count);
  });
}

void add(const float* y, std::size_t n, float* x) noexcept {
  for_lanes(n, [&](std::size_t i, std::size_t count) {
    store_some(x + i, simd::add(load_some(x + i, count), load_some(y + i, count)), count);
  });
}

void add_weighted(const float* tiles, const std::uint32_t* rows, const float* weights, std::size_t n_terms,
                  std::size_t n, float* x) noexcept {
  for_lanes(n, [&](std::size_t i, std::size_t count) {
    simd::F32 sum = simd::splat(0.0F);
    for (std::size_t t = 0; t < n_terms; ++t) {
      sum = simd::fma(simd::splat(weights[t]), load_some(tiles + rows[t] * kPanelRows + i, count), sum);
    }
    store_some(x + i, simd::add(load_some(x + i, count), sum), count);
  });
}

void softmax(const float* x, float scale, std::size_t n, float* out) noexcept {
  float max = -__builtin_inff();
  for (std::size_t i = 0; i < n; ++i) max = x[i] > max ? x[i] : max;
  simd::F32 sums = simd::splat(0.0F);
  for_lanes(n, [&](std::size_t i, std::size_t count) {
    store_some(out + i, exp(simd::sub(load_some(x + i, count), simd::splat(max))), count);
    sums = simd::add(sums, load_some(out + i, count));
  });
  const simd::F32 sum = simd::splat(simd::reduce_add(sums));
  for_lanes(n, [&](std::size_t i, std::size_t count) {
    store_some(out + i, simd::mul(simd::div(load_some(out + i, count), sum), simd::splat(scale)), count);
  });
}

void sigmoid(const float* x, std::size_t n, float* out) noexcept {
  for_lanes(n, [&](std::size_t i, std::size_t count) {
    const simd::F32 decay = exp(simd::sub(simd::splat(0.0F), load_some(x + i, count)));
    store_some(out + i, simd::div(simd::splat(1.0F), simd::add(simd::splat(1.0F), decay)), count);
  });
}

void swiglu(const float* gate, const float* up, std::size_t n, float* out) noexcept {
  for_lanes(n, [&](std::size_t i, std::size_t count) {
    const simd::F32 g = load_some(gate + i, count);
    const simd::F32 decay = exp(simd::sub(simd::splat(0.0F), g));
    const simd::F32 silu = simd::div(g, simd::add(simd::splat(1.0F), decay));
    store_some(out + i, simd::mul(silu, load_some(up + i, count)), count);
  });
}

void geglu(const float* gate, const float* up, std::size_t n, float* out) noexcept {
  constexpr float kTwoRootTwoByPi = 1.59576912F;
  for_lanes(n, [&](std::size_t i, std::size_t count) {
    const simd::F32 g = load_some(gate + i, count);
    // (1 + tanh y) / 2 is 1 / (1 + e^(-2y))
    const simd::F32 cubic = simd::fma(simd::mul(simd::mul(g, g), simd::splat(0.044715F)), g, g);
    const simd::F32 decay = exp(simd::mul(cubic, simd::splat(-kTwoRootTwoByPi)));
    const simd::F32 gelu = simd::div(g, simd::add(simd::splat(1.0F), decay));
    store_some(out + i, simd::mul(gelu, load_some(up + i, count)), count);
  });
}

void clamped_swiglu(const float* gate, const float* up, std::size_t n, float* out) noexcept {
  const simd::F32 limit = simd::splat(7.0F);
  for_lanes(n, [&](std::size_t i, std::size_t count) {
    const simd::F32 g = simd::min(limit, load_some(gate + i, count));  // NaN is the second operand: it stays
    const simd::F32 u = simd::max(simd::splat(-7.0F), simd::min(limit, load_some(up + i, count)));
    const simd::F32 decay = exp(simd::mul(g, simd::splat(-1.702F)));
    const simd::F32 silu = simd::div(g, simd::add(simd::splat(1.0F), decay));
    store_some(out + i, simd::fma(silu, u, silu), count);
  });
}

void soft_cap(const float* x, float cap, std::size_t n, float* out) noexcept {
  for_lanes(n, [&](std::size_t i, std::size_t count) { store_some(out + i, capped(load_some(x + i, count), cap), count); });
}

void multiply(const float* a, const float* b, std::size_t n, float* out) noexcept {
  for_lanes(n, [&](std::size_t i, std::size_t count) {
    store_some(out + i, simd::mul(load_some(a + i, count), load_some(b + i, count)), count);
  });
}

/// ln(1 + y) of 0 <= y <= 1, as 2 artanh(y / (2 + y)): the first term that is left out is below 2e-9 of the sum.
inline simd::F32 log_one_plus(simd::F32 y) {
  const simd::F32 z = simd::div(y, simd::add(simd::splat(2.0F), y)), square = simd::mul(z, z);
  simd::F32 p = simd::splat(2.0F / 15);
  constexpr float kOddNumbers[] = {13, 11, 9, 7, 5, 3, 1};
  for (const float odd : kOddNumbers) p = simd::fma(p, square, simd::splat(2.0F / odd));
  return simd::mul(p, z);
}

void softplus(const float* x, std::size_t n, float* out) noexcept {
  const simd::F32 zero = simd::splat(0.0F);
  for_lanes(n, [&](std::size_t i, std::size_t count) {
    const simd::F32 v = load_some(x + i, count);
    const simd::F32 decay = exp(simd::min(simd::sub(zero, v), v));  // e^-|v|
    store_some(out + i, simd::add(simd::max(zero, v), log_one_plus(decay)), count);
  });
}

void exp(const float* x, std::size_t n, float* out) noexcept {
  for_lanes(n, [&](std::size_t i, std::size_t count) { store_some(out + i, exp(load_some(x + i, count)), count); });
}

void rope_adjacent(float* head, const float* cos_sin, std::size_t n_rot) noexcept {
  constexpr float kSigns[16] = {-1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1};
  const simd::F32 signs = simd::load(kSigns);
  for_lanes(n_rot, [&](std::size_t i, std::size_t count) {
    const simd::F32 pairs = load_some(head + i, count), angles = load_some(cos_sin + i, count);
    // (a, b) becomes (a cos - b sin, b cos + a sin)
    const simd::F32 sines = simd::mul(simd::second_of_pairs(angles), signs);
    const simd::F32 turned = simd::mul(simd::swap_pairs(pairs), sines);
    store_some(head + i, simd::add(simd::mul(pairs, simd::first_of_pairs(angles)), turned), count);
  });
}

void rope_halves(float* head, const float* cos_sin, std::size_t n_rot) noexcept {
  const std::size_t half = n_rot / 2;
#ifdef __clang__
#pragma clang loop interleave(disable)  // two vectors at a time leave the 8 pairs of a short head to scalar code
#endif
  for (std::size_t i = 0; i < half; ++i) {
    const float c = cos_sin[2 * i], s = cos_sin[2 * i + 1];
    const float a = head[i], b = head[i + half];
    head[i] = a * c - b * s;
    head[i + half] = a * s + b * c;
  }
}

}  // namespace
}  // namespace woolly::kernels::WOOLLY_ISA
