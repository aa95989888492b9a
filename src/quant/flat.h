// File blocks to the flat blocks of blocks.h, in which kernels have the formats with codebooks and TQ1_0. `block` and `flat`
// may have any address and hold any bits; all threads may call.
#pragma once

#include <cstddef>
#include <cstdint>

namespace woolly::quant {

void flatten_tq1_0(const std::uint8_t* block, std::uint8_t* flat) noexcept;    ///< To BlockTQ2_0.
void flatten_iq1_s(const std::uint8_t* block, std::uint8_t* flat) noexcept;    ///< To FlatIQ1_S.
void flatten_iq1_m(const std::uint8_t* block, std::uint8_t* flat) noexcept;    ///< To Flat3<8>.
void flatten_iq2_xxs(const std::uint8_t* block, std::uint8_t* flat) noexcept;  ///< To Flat3<4>.
void flatten_iq2_xs(const std::uint8_t* block, std::uint8_t* flat) noexcept;   ///< To Flat3<8>.
void flatten_iq2_s(const std::uint8_t* block, std::uint8_t* flat) noexcept;    ///< To Flat3<8>.
void flatten_iq3_xxs(const std::uint8_t* block, std::uint8_t* flat) noexcept;  ///< To Flat4.
void flatten_iq3_s(const std::uint8_t* block, std::uint8_t* flat) noexcept;    ///< To Flat4.

}  // namespace woolly::quant
