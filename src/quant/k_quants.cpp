// The super-block formats: 256 weights under one or two binary16 scales, with small integer scales per sub-block.
// Layouts: blocks.h.
#include "base/float16.h"
#include "quant/blocks.h"
#include "quant/decode.h"

namespace woolly::quant {

using base::f16_to_f32;

void decode_q2_k(const std::byte* blocks, std::size_t n_blocks, float* out) noexcept {
  for (std::size_t b = 0; b < n_blocks; ++b, out += 256) {
    const BlockQ2_K block = load_block<BlockQ2_K>(blocks, b);
    const float d = f16_to_f32(block.d);
    const float dmin = f16_to_f32(block.dmin);
    for (int sub = 0; sub < 16; ++sub) {
      const float scale = d * static_cast<float>(block.scales[sub] & 0xF);
      const float min = dmin * static_cast<float>(block.scales[sub] >> 4);
      const std::uint8_t* qs = block.qs + 32 * (sub / 8) + 16 * (sub % 2);
      const int shift = 2 * (sub / 2 % 4);
      for (int l = 0; l < 16; ++l) out[16 * sub + l] = scale * static_cast<float>((qs[l] >> shift) & 3) - min;
    }
  }
}

void decode_q3_k(const std::byte* blocks, std::size_t n_blocks, float* out) noexcept {
  for (std::size_t b = 0; b < n_blocks; ++b, out += 256) {
    const BlockQ3_K block = load_block<BlockQ3_K>(blocks, b);
    const float d = f16_to_f32(block.d);
    for (int sub = 0; sub < 16; ++sub) {
      const float scale = d * static_cast<float>(q3k_scale(block.scales, sub));
      const std::uint8_t* qs = block.qs + 32 * (sub / 8) + 16 * (sub % 2);
      const std::uint8_t* hmask = block.hmask + 16 * (sub % 2);
      const int shift = 2 * (sub / 2 % 4);
      for (int l = 0; l < 16; ++l) {
        const int q = ((qs[l] >> shift) & 3) | ((hmask[l] >> (sub / 2)) & 1) << 2;
        out[16 * sub + l] = scale * static_cast<float>(q - 4);
      }
    }
  }
}

void decode_q4_k(const std::byte* blocks, std::size_t n_blocks, float* out) noexcept {
  for (std::size_t b = 0; b < n_blocks; ++b, out += 256) {
    const BlockQ4_K block = load_block<BlockQ4_K>(blocks, b);
    const float d = f16_to_f32(block.d);
    const float dmin = f16_to_f32(block.dmin);
    for (int sub = 0; sub < 8; ++sub) {
      const ScaleMin packed = q45k_scale_min(block.scales, sub);
      const float scale = d * static_cast<float>(packed.scale);
      const float min = dmin * static_cast<float>(packed.min);
      const std::uint8_t* qs = block.qs + 32 * (sub / 2);
      const int shift = 4 * (sub % 2);
      for (int l = 0; l < 32; ++l) out[32 * sub + l] = scale * static_cast<float>((qs[l] >> shift) & 0xF) - min;
    }
  }
}

void decode_q5_k(const std::byte* blocks, std::size_t n_blocks, float* out) noexcept {
  for (std::size_t b = 0; b < n_blocks; ++b, out += 256) {
    const BlockQ5_K block = load_block<BlockQ5_K>(blocks, b);
    const float d = f16_to_f32(block.d);
    const float dmin = f16_to_f32(block.dmin);
    for (int sub = 0; sub < 8; ++sub) {
      const ScaleMin packed = q45k_scale_min(block.scales, sub);
      const float scale = d * static_cast<float>(packed.scale);
      const float min = dmin * static_cast<float>(packed.min);
      const std::uint8_t* qs = block.qs + 32 * (sub / 2);
      const int shift = 4 * (sub % 2);
      for (int l = 0; l < 32; ++l) {
        const int q = ((qs[l] >> shift) & 0xF) | ((block.qh[l] >> sub) & 1) << 4;
        out[32 * sub + l] = scale * static_cast<float>(q) - min;
      }
    }
  }
}

void decode_q6_k(const std::byte* blocks, std::size_t n_blocks, float* out) noexcept {
  for (std::size_t b = 0; b < n_blocks; ++b, out += 256) {
    const BlockQ6_K block = load_block<BlockQ6_K>(blocks, b);
    const float d = f16_to_f32(block.d);
    for (int sub = 0; sub < 16; ++sub) {
      const float scale = d * static_cast<float>(block.scales[sub]);
      const int group = sub / 2 % 4;  // of the four groups of 32 weights in a half
      const std::uint8_t* ql = block.ql + 64 * (sub / 8) + 32 * (group % 2) + 16 * (sub % 2);
      const std::uint8_t* qh = block.qh + 32 * (sub / 8) + 16 * (sub % 2);
      for (int l = 0; l < 16; ++l) {
        const int q = ((ql[l] >> (4 * (group / 2))) & 0xF) | ((qh[l] >> (2 * group)) & 3) << 4;
        out[16 * sub + l] = scale * static_cast<float>(q - 32);
      }
    }
  }
}

}  // namespace woolly::quant
