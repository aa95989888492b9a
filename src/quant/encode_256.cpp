// Encoders of blocks of 256 weights.
#include <array>
#include <cstring>
#include <functional>

#include "base/float16.h"
#include "quant/blocks.h"
#include "quant/encode.h"
#include "quant/fit.h"
#include "quant/table_levels.h"

namespace woolly::quant {
namespace {

template <typename Block>
void store(const Block& block, std::byte* blocks, std::size_t index) noexcept {
  std::memcpy(blocks + index * sizeof(Block), &block, sizeof(Block));
}

void put_bits(std::uint8_t& byte, int bits, std::size_t shift) noexcept {
  byte = static_cast<std::uint8_t>(byte | bits << shift);
}

/// The two bits of weight i as Q2_K has them, and the bit as Q3_K has it.
void put_pair(std::uint8_t* qs, std::size_t i, int bits) noexcept {
  put_bits(qs[i / 128 * 32 + i % 32], bits & 3, 2 * (i / 32 % 4));
}
void put_bit(std::uint8_t* bytes, std::size_t i, int bit) noexcept { put_bits(bytes[i % 32], bit & 1, i / 32); }

/// Of Q4_K and Q5_K: the header, and the low four bits of the codes. See q45k_scale_min.
template <typename Block, typename Fitted>
void put_q45k(Block& block, const Fitted& fitted, const std::array<int, 256>& codes) noexcept {
  block.d = base::f32_to_f16(fitted.d);
  block.dmin = base::f32_to_f16(fitted.dmin);
  for (std::size_t s = 0; s < 8; ++s) {
    const int scale = fitted.scales[s], min = fitted.mins[s];
    if (s < 4) {
      put_bits(block.scales[s], scale, 0);
      put_bits(block.scales[s + 4], min, 0);
    } else {
      put_bits(block.scales[s + 4], (scale & 15) | (min & 15) << 4, 0);
      put_bits(block.scales[s - 4], scale >> 4, 6);
      put_bits(block.scales[s], min >> 4, 6);
    }
  }
  for (std::size_t i = 0; i < 256; ++i) put_bits(block.qs[i / 64 * 32 + i % 32], codes[i] & 15, i / 32 % 2 * 4);
}

template <typename Fitted>
std::array<int, 256> codes_of(const Fitted& fitted, const float* x) noexcept {
  std::array<int, 256> codes;
  for (std::size_t i = 0; i < 256; ++i) codes[i] = fitted.code(x, i);
  return codes;
}

/// The ternary weights and their scale that leave the least error. Those that are not zero are the ones of the largest
/// magnitudes; their best scale is their mean Σw|x| / Σw, and what is explained is (Σw|x|)² / Σw.
struct TernaryBlock {
  float d = 0;
  std::array<int, 256> codes;  ///< 0, 1, 2 for -d, 0, d.

  TernaryBlock(const float* x, const float* w) noexcept {
    struct Weight {
      float magnitude, importance;
    };
    std::array<Weight, 256> sorted;
    for (std::size_t i = 0; i < 256; ++i) sorted[i] = {std::fabs(x[i]), w[i]};
    std::ranges::sort(sorted, std::greater{}, &Weight::magnitude);
    float sum = 0, size = 0, best = 0, least = 0;
    for (const Weight& weight : sorted) {
      sum += weight.importance * weight.magnitude;
      size += weight.importance;
      const float explained = sum * sum / size;
      if (!(explained > best)) continue;
      best = explained;
      d = sum / size;
      least = weight.magnitude;
    }
    for (std::size_t i = 0; i < 256; ++i) {
      codes[i] = d > 0 && std::fabs(x[i]) >= least ? (x[i] < 0 ? 0 : 2) : 1;
    }
  }
};

}  // namespace

void encode_q2_k(const float* x, const float* w, std::size_t n_blocks, std::byte* blocks) noexcept {
  for (std::size_t b = 0; b < n_blocks; ++b, x += 256, w += 256) {
    const LineBlock<3, 16, 15> fitted(x, w);
    BlockQ2_K block{};
    block.d = base::f32_to_f16(fitted.d);
    block.dmin = base::f32_to_f16(fitted.dmin);
    for (std::size_t s = 0; s < 16; ++s) put_bits(block.scales[s], fitted.scales[s] | fitted.mins[s] << 4, 0);
    for (std::size_t i = 0; i < 256; ++i) put_pair(block.qs, i, fitted.code(x, i));
    store(block, blocks, b);
  }
}

void encode_q3_k(const float* x, const float* w, std::size_t n_blocks, std::byte* blocks) noexcept {
  for (std::size_t b = 0; b < n_blocks; ++b, x += 256, w += 256) {
    const ScaledBlock<WholeLevels<-4, 3>, 16, -32, 31> fitted(x, w);
    BlockQ3_K block{};
    block.d = base::f32_to_f16(fitted.d);
    for (std::size_t s = 0; s < 16; ++s) {  // see q3k_scale
      const int scale = fitted.scales[s] + 32;
      put_bits(block.scales[s % 8], scale & 15, s / 8 * 4);
      put_bits(block.scales[8 + s % 4], scale >> 4, s / 4 * 2);
    }
    for (std::size_t i = 0; i < 256; ++i) {
      const int code = fitted.code(x, i);
      put_pair(block.qs, i, code);
      put_bit(block.hmask, i, code >> 2);
    }
    store(block, blocks, b);
  }
}

void encode_q4_k(const float* x, const float* w, std::size_t n_blocks, std::byte* blocks) noexcept {
  for (std::size_t b = 0; b < n_blocks; ++b, x += 256, w += 256) {
    const LineBlock<15, 32, 63> fitted(x, w);
    BlockQ4_K block{};
    put_q45k(block, fitted, codes_of(fitted, x));
    store(block, blocks, b);
  }
}

void encode_q5_k(const float* x, const float* w, std::size_t n_blocks, std::byte* blocks) noexcept {
  for (std::size_t b = 0; b < n_blocks; ++b, x += 256, w += 256) {
    const LineBlock<31, 32, 63> fitted(x, w);
    const std::array<int, 256> codes = codes_of(fitted, x);
    BlockQ5_K block{};
    put_q45k(block, fitted, codes);
    for (std::size_t i = 0; i < 256; ++i) put_bit(block.qh, i, codes[i] >> 4);
    store(block, blocks, b);
  }
}

void encode_q6_k(const float* x, const float* w, std::size_t n_blocks, std::byte* blocks) noexcept {
  for (std::size_t b = 0; b < n_blocks; ++b, x += 256, w += 256) {
    const ScaledBlock<WholeLevels<-32, 31>, 16, -128, 127> fitted(x, w);
    BlockQ6_K block{};
    block.d = base::f32_to_f16(fitted.d);
    for (std::size_t s = 0; s < 16; ++s) block.scales[s] = static_cast<std::int8_t>(fitted.scales[s]);
    for (std::size_t i = 0; i < 256; ++i) {
      const int code = fitted.code(x, i);
      put_bits(block.ql[i / 128 * 64 + i % 64], code & 15, i / 64 % 2 * 4);
      put_pair(block.qh, i, code >> 4);
    }
    store(block, blocks, b);
  }
}

void encode_iq4_xs(const float* x, const float* w, std::size_t n_blocks, std::byte* blocks) noexcept {
  for (std::size_t b = 0; b < n_blocks; ++b, x += 256, w += 256) {
    const ScaledBlock<IQ4Levels, 32, -32, 31> fitted(x, w);
    BlockIQ4_XS block{};
    block.d = base::f32_to_f16(fitted.d);
    for (std::size_t s = 0; s < 8; ++s) {  // see iq4xs_scale
      const int scale = fitted.scales[s] + 32;
      put_bits(block.scales_l[s / 2], scale & 15, s % 2 * 4);
      block.scales_h = static_cast<std::uint16_t>(block.scales_h | (scale >> 4) << (2 * s));
    }
    for (std::size_t i = 0; i < 256; ++i) put_bits(block.qs[i / 32 * 16 + i % 16], fitted.code(x, i), i / 16 % 2 * 4);
    store(block, blocks, b);
  }
}

void encode_tq2_0(const float* x, const float* w, std::size_t n_blocks, std::byte* blocks) noexcept {
  for (std::size_t b = 0; b < n_blocks; ++b, x += 256, w += 256) {
    const TernaryBlock fitted(x, w);
    BlockTQ2_0 block{};
    block.d = base::f32_to_f16(fitted.d);
    for (std::size_t i = 0; i < 256; ++i) put_pair(block.qs, i, fitted.codes[i]);
    store(block, blocks, b);
  }
}

void encode_tq1_0(const float* x, const float* w, std::size_t n_blocks, std::byte* blocks) noexcept {
  for (std::size_t b = 0; b < n_blocks; ++b, x += 256, w += 256) {
    const TernaryBlock fitted(x, w);
    BlockTQ1_0 block{};
    block.d = base::f32_to_f16(fitted.d);
    // The digits of a number below 243, as the fraction of 256 that is rounded up: digits are taken off by rounding down.
    const auto put = [&](std::uint8_t* bytes, std::size_t first, std::size_t n_bytes, std::size_t n_digits) {
      for (std::size_t m = 0; m < n_bytes; ++m) {
        int number = 0;
        for (std::size_t n = 0; n < 5; ++n) number = 3 * number + (n < n_digits ? fitted.codes[first + n * n_bytes + m] : 0);
        bytes[m] = static_cast<std::uint8_t>((number * 256 + 242) / 243);
      }
    };
    put(block.qs, 0, 32, 5);
    put(block.qs + 32, 160, 16, 5);
    put(block.qh, 240, 4, 4);
    store(block, blocks, b);
  }
}

}  // namespace woolly::quant
