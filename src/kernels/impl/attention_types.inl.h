// The types of the key-value cache: how sixteen floats become elements of a block (kv_format.h) and back.
#pragma once

#include "kernels/impl/exp.inl.h"
#include "kernels/impl/lanes.inl.h"
#include "kernels/attention_kernel.h"

namespace woolly::kernels::WOOLLY_ISA {
namespace {

struct KvF32 {
  static constexpr quant::DType kType = quant::DType::kF32;
  using Element = float;
  static simd::F32 load(const float* p) { return simd::load(p); }
  static void store(float* p, simd::F32 a) { simd::store(p, a); }
};

struct KvF16 {
  static constexpr quant::DType kType = quant::DType::kF16;
  using Element = std::uint16_t;
  static simd::F32 load(const std::uint16_t* p) { return simd::load_f16(p); }
  static void store(std::uint16_t* p, simd::F32 a) { simd::store_f16(p, a); }
};

struct KvBF16 {
  static constexpr quant::DType kType = quant::DType::kBF16;
  using Element = std::uint16_t;
  static simd::F32 load(const std::uint16_t* p) { return simd::as_f32(simd::shift_left<16>(simd::load_u16(p))); }
  static void store(std::uint16_t* p, simd::F32 a) { simd::store_bf16(p, a); }
};

struct KvQ8 {
  static constexpr quant::DType kType = quant::DType::kQ8_0;
  using Element = std::int8_t;
  /// To be multiplied by the scale, which is exact: 8 and 11 significant bits.
  static simd::F32 load(const std::int8_t* p) { return simd::to_f32(simd::load_s8(p)); }
};

template <typename Kv>
inline constexpr bool kHasScales = Kv::kType == quant::DType::kQ8_0;

/// Up to kKvScaleBlock floats as elements; those beyond `n` become zero. Q8_0 gets its scale.
template <typename Kv>
inline void encode(const float* x, std::size_t n, typename Kv::Element (&out)[kKvScaleBlock],
                   [[maybe_unused]] std::uint16_t* scale) {
  simd::F32 lanes[2] = {load_some(x, n < 16 ? n : 16), n > 16 ? load_some(x + 16, n - 16) : simd::splat(0.0F)};
  if constexpr (!kHasScales<Kv>) {
    for (std::size_t i = 0; i < 2; ++i) Kv::store(out + 16 * i, lanes[i]);
  } else {
    // Magnitudes compare as unsigned integers, and NaN above infinity.
    simd::I32 magnitudes[2];
    for (std::size_t i = 0; i < 2; ++i) magnitudes[i] = simd::bit_and(simd::as_i32(lanes[i]), simd::splat_i32(0x7FFFFFFF));
    const std::uint32_t bits = simd::reduce_max_unsigned(simd::max_unsigned(magnitudes[0], magnitudes[1]));
    float amax;
    __builtin_memcpy(&amax, &bits, sizeof amax);
    std::uint16_t halves[16];
    simd::store_f16(halves, simd::splat(amax / 127.0F));
    *scale = halves[0];
    const float d = simd::first_lane(simd::load_f16(halves));
    const bool is_finite = d < __builtin_inff();  // else nonsense stays visible in the scale
    const simd::F32 inverse = simd::splat(is_finite && d > 0.0F ? 1.0F / d : 0.0F);
    for (std::size_t i = 0; i < 2; ++i) {
      const simd::F32 code = simd::round_even(simd::mul(lanes[i], inverse));
      const simd::F32 bounded = simd::min(simd::splat(127.0F), simd::max(simd::splat(-127.0F), code));
      simd::store_s8(out + 16 * i, is_finite ? simd::to_i32(bounded) : simd::splat_i32(0));
    }
  }
}

/// The scales behind the codes of a block; nullptr where the type has none.
template <typename Kv>
inline const std::uint16_t* key_scales(const std::uint8_t* keys, std::size_t head_dim) {
  return reinterpret_cast<const std::uint16_t*>(keys + padded_key_dim(head_dim) * kKvBlock * sizeof(typename Kv::Element));
}
template <typename Kv>
inline const std::uint16_t* value_scales(const std::uint8_t* values, std::size_t value_dim) {
  return reinterpret_cast<const std::uint16_t*>(values + padded_value_dim(value_dim) * kKvBlock * sizeof(typename Kv::Element));
}

template <typename Kv>
void store_key(const float* key, std::size_t head_dim, std::size_t slot, std::uint8_t* keys) noexcept {
  using Element = typename Kv::Element;
  auto* pairs = reinterpret_cast<Element*>(keys) + 2 * slot;
  auto* scales = const_cast<std::uint16_t*>(key_scales<Kv>(keys, head_dim)) + slot;
  for (std::size_t d = 0; d < head_dim; d += kKvScaleBlock) {
    const std::size_t n = head_dim - d < kKvScaleBlock ? head_dim - d : kKvScaleBlock;
    Element elements[kKvScaleBlock];
    encode<Kv>(key + d, n, elements, kHasScales<Kv> ? scales + d / kKvScaleBlock * kKvBlock : nullptr);
    for (std::size_t i = 0; i < n; i += 2) {
      __builtin_memcpy(pairs + (d + i) * kKvBlock, elements + i, 2 * sizeof(Element));
    }
  }
}

template <typename Kv>
void store_value(const float* value, std::size_t value_dim, std::size_t slot, std::uint8_t* values) noexcept {
  using Element = typename Kv::Element;
  const std::size_t padded = padded_value_dim(value_dim);
  auto* row = reinterpret_cast<Element*>(values) + slot / 2 * 2 * padded + slot % 2;
  auto* scales = const_cast<std::uint16_t*>(value_scales<Kv>(values, value_dim)) + slot;
  for (std::size_t d = 0; d < padded; d += kKvScaleBlock) {
    const std::size_t n = value_dim - d < kKvScaleBlock ? value_dim - d : kKvScaleBlock;
    const std::size_t n_padded = padded - d < kKvScaleBlock ? padded - d : kKvScaleBlock;
    Element elements[kKvScaleBlock];
    encode<Kv>(value + d, n, elements, kHasScales<Kv> ? scales + d / kKvScaleBlock * kKvBlock : nullptr);
    for (std::size_t i = 0; i < n_padded; ++i) row[2 * (d + i)] = elements[i];
  }
}

}  // namespace
}  // namespace woolly::kernels::WOOLLY_ISA
