// The levels of the types whose codes look up one of sixteen values, for fit.h.
#pragma once

#include <algorithm>
#include <cstddef>

#include "quant/blocks.h"

namespace woolly::quant {

/// The values of IQ4_NL and IQ4_XS.
struct IQ4Levels {
  static constexpr float kLargest = 127;
  static constexpr float kReach = 24;  ///< As far as from the last level to the one before.
  static float nearest(float t) noexcept {
    float value = kIQ4NlValues[0];
    for (std::size_t i = 1; i < 16; ++i) value = t > middle(i) ? static_cast<float>(kIQ4NlValues[i]) : value;
    return value;
  }
  static int code(float t) noexcept {
    int code = 0;
    for (std::size_t i = 1; i < 16; ++i) code += t > middle(i) ? 1 : 0;
    return code;
  }

 private:
  static constexpr float middle(std::size_t i) { return static_cast<float>(kIQ4NlValues[i - 1] + kIQ4NlValues[i]) / 2; }
};

/// Twice the values of E2M1; codes 0 to 7 are the magnitudes, bit 3 the sign.
struct E2M1Levels {
  static float nearest(float t) noexcept {
    float value = 0;
    const float magnitude = t < 0 ? -t : t;
    for (std::size_t i = 1; i < 8; ++i) value = magnitude > middle(i) ? static_cast<float>(kE2M1Doubled[i]) : value;
    return t < 0 ? -value : value;
  }
  static int code(float t) noexcept {
    int code = 0;
    for (std::size_t i = 1; i < 8; ++i) code += (t < 0 ? -t : t) > middle(i) ? 1 : 0;
    return t < 0 && code > 0 ? code + 8 : code;
  }

 private:
  static constexpr float middle(std::size_t i) { return static_cast<float>(kE2M1Doubled[i - 1] + kE2M1Doubled[i]) / 2; }
};

}  // namespace woolly::quant
