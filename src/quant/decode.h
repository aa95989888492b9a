// The codecs of the families, gathered by the table in dtype.cpp. Each decodes `n_blocks` consecutive blocks, at any
// address, to floats; any bits are allowed, infinite and NaN scales spread by the rules of IEEE arithmetic.
//
// Up to the last step all products are exact: a binary16 scale (11 bits) times a sub-block scale (at most 7) times a
// quant (at most 6) fits the 24 bits of a float. Formats with a minimum round once, in the subtraction or addition.
#pragma once

#include <cstddef>

namespace woolly::quant {

// legacy.cpp
void decode_f32(const std::byte* blocks, std::size_t n_blocks, float* out) noexcept;
void decode_f16(const std::byte* blocks, std::size_t n_blocks, float* out) noexcept;
void decode_bf16(const std::byte* blocks, std::size_t n_blocks, float* out) noexcept;
void decode_q8_0(const std::byte* blocks, std::size_t n_blocks, float* out) noexcept;
void decode_q4_0(const std::byte* blocks, std::size_t n_blocks, float* out) noexcept;
void decode_q4_1(const std::byte* blocks, std::size_t n_blocks, float* out) noexcept;
void decode_q5_0(const std::byte* blocks, std::size_t n_blocks, float* out) noexcept;
void decode_q5_1(const std::byte* blocks, std::size_t n_blocks, float* out) noexcept;

// k_quants.cpp
void decode_q2_k(const std::byte* blocks, std::size_t n_blocks, float* out) noexcept;
void decode_q3_k(const std::byte* blocks, std::size_t n_blocks, float* out) noexcept;
void decode_q4_k(const std::byte* blocks, std::size_t n_blocks, float* out) noexcept;
void decode_q5_k(const std::byte* blocks, std::size_t n_blocks, float* out) noexcept;
void decode_q6_k(const std::byte* blocks, std::size_t n_blocks, float* out) noexcept;

// i_quants.cpp
void decode_iq4_nl(const std::byte* blocks, std::size_t n_blocks, float* out) noexcept;
void decode_iq4_xs(const std::byte* blocks, std::size_t n_blocks, float* out) noexcept;
void decode_mxfp4(const std::byte* blocks, std::size_t n_blocks, float* out) noexcept;

// flat_quants.cpp: of flat blocks (flat.h), but for TQ2_0, which is its own
void decode_tq2_0(const std::byte* blocks, std::size_t n_blocks, float* out) noexcept;
void decode_flat_iq1_s(const std::byte* blocks, std::size_t n_blocks, float* out) noexcept;
void decode_flat_iq1_m(const std::byte* blocks, std::size_t n_blocks, float* out) noexcept;
void decode_flat_iq2_xxs(const std::byte* blocks, std::size_t n_blocks, float* out) noexcept;
void decode_flat_iq2(const std::byte* blocks, std::size_t n_blocks, float* out) noexcept;  ///< IQ2_XS and IQ2_S.
void decode_flat_iq3_xxs(const std::byte* blocks, std::size_t n_blocks, float* out) noexcept;
void decode_flat_iq3_s(const std::byte* blocks, std::size_t n_blocks, float* out) noexcept;

}  // namespace woolly::quant
