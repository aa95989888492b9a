// Weights to measure with.
#pragma once

#include <cstdint>
#include <random>
#include <span>

namespace woolly::bench {

/// Makes a packed panel (kernels/panel_format.h) of any type. Any bits would be weights, but scales should be normal
/// numbers: subnormal ones cost some processors more. Bytes from 0x28 to 0x37 are that in every float format, wherever
/// they stand.
inline void fill_panel(std::span<std::uint8_t> panel) {
  std::mt19937 random(20240229);  // the seed has no meaning
  for (std::uint8_t& byte : panel) byte = static_cast<std::uint8_t>(0x28 + random() % 16);
}

}  // namespace woolly::bench
