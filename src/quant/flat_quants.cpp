// Ternary blocks and the flat blocks of the formats with codebooks. Layouts: blocks.h.
#include "base/float16.h"
#include "quant/blocks.h"
#include "quant/decode.h"

namespace woolly::quant {

using base::f16_to_f32;

namespace {

constexpr unsigned nibble(const std::uint8_t* bytes, int i) { return bytes[i / 2] >> (4 * (i % 2)) & 0xFU; }

/// The two bits of weight i as Q2_K has them.
constexpr unsigned pair(const std::uint8_t* qs, int i) { return qs[i / 128 * 32 + i % 32] >> (2 * (i / 32 % 4)) & 3U; }

template <std::size_t kScaleBytes>
unsigned code(const Flat3<kScaleBytes>& block, int i) {
  return pair(block.low, i) | (block.high[i % 32] >> (i / 32) & 1U) << 2;
}
unsigned code(const Flat4& block, int i) { return nibble(block.qs + i / 32 * 16, i % 16 * 2 + i / 16 % 2); }

template <typename Flat>
void decode_flat(const FlatValues& values, const std::byte* blocks, std::size_t n_blocks, float* out) noexcept {
  constexpr int kOfScale = 256 / (2 * sizeof(Flat::scales));
  for (std::size_t b = 0; b < n_blocks; ++b, out += 256) {
    const Flat block = load_block<Flat>(blocks, b);
    const float d = f16_to_f32(block.d) * values.factor;
    for (int i = 0; i < 256; ++i) {
      const float scale = d * static_cast<float>(2 * nibble(block.scales, i / kOfScale) + 1);
      out[i] = scale * static_cast<float>(values.values[code(block, i)]);
    }
  }
}

}  // namespace

void decode_tq2_0(const std::byte* blocks, std::size_t n_blocks, float* out) noexcept {
  for (std::size_t b = 0; b < n_blocks; ++b, out += 256) {
    const BlockTQ2_0 block = load_block<BlockTQ2_0>(blocks, b);
    const float d = f16_to_f32(block.d);
    for (int i = 0; i < 256; ++i) out[i] = d * (static_cast<float>(pair(block.qs, i)) - 1.0F);
  }
}

void decode_flat_iq1_s(const std::byte* blocks, std::size_t n_blocks, float* out) noexcept {
  for (std::size_t b = 0; b < n_blocks; ++b, out += 256) {
    const FlatIQ1_S block = load_block<FlatIQ1_S>(blocks, b);
    const float d = f16_to_f32(block.d);
    for (int i = 0; i < 256; ++i) {
      const unsigned scale = nibble(block.scales, i / 32);
      const float shift = scale < 8 ? 0.125F : -0.125F;
      out[i] = d * static_cast<float>(2 * (scale & 7) + 1) * (static_cast<float>(pair(block.qs, i)) - 1.0F + shift);
    }
  }
}

void decode_flat_iq1_m(const std::byte* blocks, std::size_t n_blocks, float* out) noexcept {
  decode_flat<Flat3<8>>(kIQ1Values, blocks, n_blocks, out);
}
void decode_flat_iq2_xxs(const std::byte* blocks, std::size_t n_blocks, float* out) noexcept {
  decode_flat<Flat3<4>>(kIQ2Values, blocks, n_blocks, out);
}
void decode_flat_iq2(const std::byte* blocks, std::size_t n_blocks, float* out) noexcept {
  decode_flat<Flat3<8>>(kIQ2Values, blocks, n_blocks, out);
}
void decode_flat_iq3_xxs(const std::byte* blocks, std::size_t n_blocks, float* out) noexcept {
  decode_flat<Flat4>(kIQ3XxsValues, blocks, n_blocks, out);
}
void decode_flat_iq3_s(const std::byte* blocks, std::size_t n_blocks, float* out) noexcept {
  decode_flat<Flat4>(kIQ3SValues, blocks, n_blocks, out);
}

}  // namespace woolly::quant
