// The plain floats, and the quantized formats with one scale per 32 weights. Layouts: blocks.h.
#include <cstring>

#include "base/float16.h"
#include "quant/blocks.h"
#include "quant/decode.h"

namespace woolly::quant {

using base::f16_to_f32;

void decode_f32(const std::byte* blocks, std::size_t n_blocks, float* out) noexcept {
  if (n_blocks > 0) std::memcpy(out, blocks, n_blocks * sizeof(float));
}

void decode_f16(const std::byte* blocks, std::size_t n_blocks, float* out) noexcept {
  for (std::size_t i = 0; i < n_blocks; ++i) out[i] = f16_to_f32(load_block<std::uint16_t>(blocks, i));
}

void decode_bf16(const std::byte* blocks, std::size_t n_blocks, float* out) noexcept {
  for (std::size_t i = 0; i < n_blocks; ++i) out[i] = base::bf16_to_f32(load_block<std::uint16_t>(blocks, i));
}

void decode_q8_0(const std::byte* blocks, std::size_t n_blocks, float* out) noexcept {
  for (std::size_t b = 0; b < n_blocks; ++b, out += 32) {
    const BlockQ8_0 block = load_block<BlockQ8_0>(blocks, b);
    const float d = f16_to_f32(block.d);
    for (int i = 0; i < 32; ++i) out[i] = d * static_cast<float>(block.q[i]);
  }
}

void decode_q4_0(const std::byte* blocks, std::size_t n_blocks, float* out) noexcept {
  for (std::size_t b = 0; b < n_blocks; ++b, out += 32) {
    const BlockQ4_0 block = load_block<BlockQ4_0>(blocks, b);
    const float d = f16_to_f32(block.d);
    for (int j = 0; j < 16; ++j) {
      out[j] = d * static_cast<float>((block.qs[j] & 0xF) - 8);
      out[j + 16] = d * static_cast<float>((block.qs[j] >> 4) - 8);
    }
  }
}

void decode_q4_1(const std::byte* blocks, std::size_t n_blocks, float* out) noexcept {
  for (std::size_t b = 0; b < n_blocks; ++b, out += 32) {
    const BlockQ4_1 block = load_block<BlockQ4_1>(blocks, b);
    const float d = f16_to_f32(block.d);
    const float m = f16_to_f32(block.m);
    for (int j = 0; j < 16; ++j) {
      out[j] = d * static_cast<float>(block.qs[j] & 0xF) + m;
      out[j + 16] = d * static_cast<float>(block.qs[j] >> 4) + m;
    }
  }
}

void decode_q5_0(const std::byte* blocks, std::size_t n_blocks, float* out) noexcept {
  for (std::size_t b = 0; b < n_blocks; ++b, out += 32) {
    const BlockQ5_0 block = load_block<BlockQ5_0>(blocks, b);
    const float d = f16_to_f32(block.d);
    for (int j = 0; j < 16; ++j) {
      out[j] = d * static_cast<float>(((block.qs[j] & 0xF) | q5_high_bit(block.qh, j)) - 16);
      out[j + 16] = d * static_cast<float>(((block.qs[j] >> 4) | q5_high_bit(block.qh, j + 16)) - 16);
    }
  }
}

void decode_q5_1(const std::byte* blocks, std::size_t n_blocks, float* out) noexcept {
  for (std::size_t b = 0; b < n_blocks; ++b, out += 32) {
    const BlockQ5_1 block = load_block<BlockQ5_1>(blocks, b);
    const float d = f16_to_f32(block.d);
    const float m = f16_to_f32(block.m);
    for (int j = 0; j < 16; ++j) {
      out[j] = d * static_cast<float>((block.qs[j] & 0xF) | q5_high_bit(block.qh, j)) + m;
      out[j + 16] = d * static_cast<float>((block.qs[j] >> 4) | q5_high_bit(block.qh, j + 16)) + m;
    }
  }
}

}  // namespace woolly::quant
