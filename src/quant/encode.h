// Floats to the blocks of a type. Adding an encoder is a function and a row in encode.cpp.
#pragma once

#include <cstddef>

#include "quant/dtype.h"

namespace woolly::quant {

/// Encodes `n_blocks` blocks' worth of finite weights `x` to consecutive blocks at any address, with the least Σ w (x - x')²
/// that a search of a few dozen turns over the weights finds (fit.h); `w`, as many and positive, says how much each counts.
/// A block depends on its own weights alone. All threads may call.
using Encode = void (*)(const float* x, const float* w, std::size_t n_blocks, std::byte* blocks) noexcept;

/// That of a type, or nullptr where there is none.
Encode find_encoder(DType type) noexcept;

// encode_32.cpp: floats, and blocks of 32 weights
void encode_f32(const float* x, const float* w, std::size_t n_blocks, std::byte* blocks) noexcept;
void encode_f16(const float* x, const float* w, std::size_t n_blocks, std::byte* blocks) noexcept;
void encode_bf16(const float* x, const float* w, std::size_t n_blocks, std::byte* blocks) noexcept;
void encode_q8_0(const float* x, const float* w, std::size_t n_blocks, std::byte* blocks) noexcept;
void encode_q4_0(const float* x, const float* w, std::size_t n_blocks, std::byte* blocks) noexcept;
void encode_q4_1(const float* x, const float* w, std::size_t n_blocks, std::byte* blocks) noexcept;
void encode_q5_0(const float* x, const float* w, std::size_t n_blocks, std::byte* blocks) noexcept;
void encode_q5_1(const float* x, const float* w, std::size_t n_blocks, std::byte* blocks) noexcept;
void encode_iq4_nl(const float* x, const float* w, std::size_t n_blocks, std::byte* blocks) noexcept;
void encode_mxfp4(const float* x, const float* w, std::size_t n_blocks, std::byte* blocks) noexcept;

// encode_256.cpp: blocks of 256 weights
void encode_q2_k(const float* x, const float* w, std::size_t n_blocks, std::byte* blocks) noexcept;
void encode_q3_k(const float* x, const float* w, std::size_t n_blocks, std::byte* blocks) noexcept;
void encode_q4_k(const float* x, const float* w, std::size_t n_blocks, std::byte* blocks) noexcept;
void encode_q5_k(const float* x, const float* w, std::size_t n_blocks, std::byte* blocks) noexcept;
void encode_q6_k(const float* x, const float* w, std::size_t n_blocks, std::byte* blocks) noexcept;
void encode_iq4_xs(const float* x, const float* w, std::size_t n_blocks, std::byte* blocks) noexcept;
void encode_tq1_0(const float* x, const float* w, std::size_t n_blocks, std::byte* blocks) noexcept;
void encode_tq2_0(const float* x, const float* w, std::size_t n_blocks, std::byte* blocks) noexcept;

// encode_codebooks.cpp: IQ1, IQ2 and IQ3
void encode_iq1_s(const float* x, const float* w, std::size_t n_blocks, std::byte* blocks) noexcept;
void encode_iq1_m(const float* x, const float* w, std::size_t n_blocks, std::byte* blocks) noexcept;
void encode_iq2_xxs(const float* x, const float* w, std::size_t n_blocks, std::byte* blocks) noexcept;
void encode_iq2_xs(const float* x, const float* w, std::size_t n_blocks, std::byte* blocks) noexcept;
void encode_iq2_s(const float* x, const float* w, std::size_t n_blocks, std::byte* blocks) noexcept;
void encode_iq3_xxs(const float* x, const float* w, std::size_t n_blocks, std::byte* blocks) noexcept;
void encode_iq3_s(const float* x, const float* w, std::size_t n_blocks, std::byte* blocks) noexcept;

}  // namespace woolly::quant
