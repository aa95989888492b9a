// Encoders of floats and of blocks of 32 weights.
#include <cstring>

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

/// The codes of 32 weights, four low bits two to a byte; `code(i)` is that of weight i.
template <typename Code>
void put_nibbles(std::uint8_t (&qs)[16], Code code) noexcept {
  for (std::size_t j = 0; j < 16; ++j) qs[j] = static_cast<std::uint8_t>((code(j) & 15) | (code(j + 16) & 15) << 4);
}

template <typename Code>
void put_fifth_bits(std::uint8_t (&qh)[4], Code code) noexcept {
  for (std::size_t i = 0; i < 32; ++i) qh[i / 8] = static_cast<std::uint8_t>(qh[i / 8] | (code(i) >> 4) << (i % 8));
}

float inverse_of(float d) noexcept { return d != 0 ? 1 / d : 0.0F; }

/// Blocks d * v.
template <typename Block, typename Levels, typename Put>
void encode_scaled(const float* x, const float* w, std::size_t n_blocks, std::byte* blocks, Put put) noexcept {
  for (std::size_t b = 0; b < n_blocks; ++b, x += 32, w += 32) {
    Block block{};
    block.d = base::f32_to_f16(fit_scale<Levels, 32>(x, w));
    const float inverse = inverse_of(base::f16_to_f32(block.d));
    put(block, [&](std::size_t i) { return Levels::code(x[i] * inverse); });
    store(block, blocks, b);
  }
}

/// Blocks d * q + m.
template <typename Block, int kMax, typename Put>
void encode_lines(const float* x, const float* w, std::size_t n_blocks, std::byte* blocks, Put put) noexcept {
  for (std::size_t b = 0; b < n_blocks; ++b, x += 32, w += 32) {
    const Line line = fit_line<kMax, 32>(x, w, false);
    Block block{};
    block.d = base::f32_to_f16(line.d);
    block.m = base::f32_to_f16(line.m);
    const float inverse = inverse_of(base::f16_to_f32(block.d)), m = base::f16_to_f32(block.m);
    put(block, [&](std::size_t i) { return WholeLevels<0, kMax>::code((x[i] - m) * inverse); });
    store(block, blocks, b);
  }
}

constexpr auto kPutNibbles = [](auto& block, auto code) { put_nibbles(block.qs, code); };
constexpr auto kPutFiveBits = [](auto& block, auto code) {
  put_nibbles(block.qs, code);
  put_fifth_bits(block.qh, code);
};

}  // namespace

void encode_f32(const float* x, const float*, std::size_t n_blocks, std::byte* blocks) noexcept { std::memcpy(blocks, x, 4 * n_blocks); }

void encode_f16(const float* x, const float*, std::size_t n_blocks, std::byte* blocks) noexcept {
  for (std::size_t i = 0; i < n_blocks; ++i) store(base::f32_to_f16(x[i]), blocks, i);
}

void encode_bf16(const float* x, const float*, std::size_t n_blocks, std::byte* blocks) noexcept {
  for (std::size_t i = 0; i < n_blocks; ++i) store(base::f32_to_bf16(x[i]), blocks, i);
}

void encode_q8_0(const float* x, const float*, std::size_t n_blocks, std::byte* blocks) noexcept {
  for (std::size_t b = 0; b < n_blocks; ++b, x += 32) {
    BlockQ8_0 block{};
    block.d = base::f32_to_f16(largest_magnitude<32>(x) / 127);
    const float inverse = inverse_of(base::f16_to_f32(block.d));
    for (std::size_t i = 0; i < 32; ++i) {
      block.q[i] = static_cast<std::int8_t>(WholeLevels<-127, 127>::nearest(x[i] * inverse));
    }
    store(block, blocks, b);
  }
}

void encode_q4_0(const float* x, const float* w, std::size_t n_blocks, std::byte* blocks) noexcept {
  encode_scaled<BlockQ4_0, WholeLevels<-8, 7>>(x, w, n_blocks, blocks, kPutNibbles);
}
void encode_q5_0(const float* x, const float* w, std::size_t n_blocks, std::byte* blocks) noexcept {
  encode_scaled<BlockQ5_0, WholeLevels<-16, 15>>(x, w, n_blocks, blocks, kPutFiveBits);
}
void encode_q4_1(const float* x, const float* w, std::size_t n_blocks, std::byte* blocks) noexcept {
  encode_lines<BlockQ4_1, 15>(x, w, n_blocks, blocks, kPutNibbles);
}
void encode_q5_1(const float* x, const float* w, std::size_t n_blocks, std::byte* blocks) noexcept {
  encode_lines<BlockQ5_1, 31>(x, w, n_blocks, blocks, kPutFiveBits);
}
void encode_iq4_nl(const float* x, const float* w, std::size_t n_blocks, std::byte* blocks) noexcept {
  encode_scaled<BlockIQ4_NL, IQ4Levels>(x, w, n_blocks, blocks, kPutNibbles);
}

/// The largest value is 6 = 12 / 2: the power of two for which it is just not reached, or a neighbour.
void encode_mxfp4(const float* x, const float* w, std::size_t n_blocks, std::byte* blocks) noexcept {
  for (std::size_t b = 0; b < n_blocks; ++b, x += 32, w += 32) {
    const float largest = largest_magnitude<32>(x);
    BlockMXFP4 block{};
    if (largest > 0) {
      const int middle = std::ilogb(largest) - 2 + 127;
      float best_error = -1;
      for (int e = std::max(0, middle - 1); e <= std::min(254, middle + 1); ++e) {
        const float error = error_with<E2M1Levels, 32>(x, w, e8m0_half(static_cast<std::uint8_t>(e)));
        if (best_error >= 0 && error >= best_error) continue;
        best_error = error;
        block.e = static_cast<std::uint8_t>(e);
      }
    }
    const float inverse = 1 / e8m0_half(block.e);
    put_nibbles(block.qs, [&](std::size_t i) { return E2M1Levels::code(largest > 0 ? x[i] * inverse : 0.0F); });
    store(block, blocks, b);
  }
}

}  // namespace woolly::quant
