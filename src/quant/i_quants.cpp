// The formats whose 4-bit codes look up a value in a table. Layouts and tables: blocks.h.
#include "base/float16.h"
#include "quant/blocks.h"
#include "quant/decode.h"

namespace woolly::quant {

using base::f16_to_f32;

namespace {

/// 32 weights from 16 bytes: low nibbles first, then high ones.
void decode_nibbles(const std::uint8_t* qs, const std::int8_t (&values)[16], float scale, float* out) noexcept {
  for (int j = 0; j < 16; ++j) {
    out[j] = scale * static_cast<float>(values[qs[j] & 0xF]);
    out[j + 16] = scale * static_cast<float>(values[qs[j] >> 4]);
  }
}

}  // namespace

void decode_iq4_nl(const std::byte* blocks, std::size_t n_blocks, float* out) noexcept {
  for (std::size_t b = 0; b < n_blocks; ++b, out += 32) {
    const BlockIQ4_NL block = load_block<BlockIQ4_NL>(blocks, b);
    decode_nibbles(block.qs, kIQ4NlValues, f16_to_f32(block.d), out);
  }
}

void decode_iq4_xs(const std::byte* blocks, std::size_t n_blocks, float* out) noexcept {
  for (std::size_t b = 0; b < n_blocks; ++b, out += 256) {
    const BlockIQ4_XS block = load_block<BlockIQ4_XS>(blocks, b);
    const float d = f16_to_f32(block.d);
    for (int sub = 0; sub < 8; ++sub) {
      const float scale = d * static_cast<float>(iq4xs_scale(block, sub));
      decode_nibbles(block.qs + 16 * sub, kIQ4NlValues, scale, out + 32 * sub);
    }
  }
}

void decode_mxfp4(const std::byte* blocks, std::size_t n_blocks, float* out) noexcept {
  for (std::size_t b = 0; b < n_blocks; ++b, out += 32) {
    const BlockMXFP4 block = load_block<BlockMXFP4>(blocks, b);
    decode_nibbles(block.qs, kE2M1Doubled, e8m0_half(block.e), out);
  }
}

}  // namespace woolly::quant
