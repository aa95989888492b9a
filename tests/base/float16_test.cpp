#include "base/float16.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>

namespace woolly::base {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

/// The value of a binary16 by its definition: sign, 5 bits of exponent with bias 15, 10 bits of fraction.
float value_of_f16(std::uint32_t half) {
  const int exponent = static_cast<int>((half >> 10) & 31);
  const double fraction = half & 1023;
  const double magnitude = exponent == 31  ? (half & 1023) != 0 ? std::nan("") : HUGE_VAL
                           : exponent == 0 ? std::ldexp(fraction, -24)
                                           : std::ldexp(1024 + fraction, exponent - 25);
  return static_cast<float>((half & 0x8000) != 0 ? -magnitude : magnitude);
}

TEST(Float16, F16ToF32_IsExactForEveryHalf) {
  for (std::uint32_t half = 0; half < 0x10000; ++half) {
    const float value = f16_to_f32(static_cast<std::uint16_t>(half));
    const float expected = value_of_f16(half);
    if (std::isnan(expected)) {
      ASSERT_TRUE(std::isnan(value)) << half;
    } else {
      ASSERT_EQ(value, expected) << half;
    }
    ASSERT_EQ(std::signbit(value), (half & 0x8000) != 0) << half;
  }
}

TEST(Float16, F32ToF16_GivesEveryHalfBack) {
  for (std::uint32_t half = 0; half < 0x10000; ++half) {
    const std::uint16_t back = f32_to_f16(f16_to_f32(static_cast<std::uint16_t>(half)));
    const bool is_nan = (half & 0x7FFF) > 0x7C00;
    // A signalling NaN comes back quiet.
    ASSERT_EQ(back, is_nan ? half | 0x200 : half);
  }
}

TEST(Float16, F32ToF16_RoundsToNearestAndTiesToEven) {
  // Between every two neighbours of one sign, subnormal ones included: below, on and above the middle, which is
  // exact in binary32. Beyond the largest half stands 65536, where infinity begins.
  for (std::uint32_t sign : {0u, 0x8000u}) {
    for (std::uint32_t magnitude = 0; magnitude < 0x7C00; ++magnitude) {
      const double low = std::fabs(static_cast<double>(value_of_f16(magnitude)));
      const double high = magnitude == 0x7BFF ? 65536.0 : static_cast<double>(value_of_f16(magnitude + 1));
      const float middle = static_cast<float>((low + high) / 2) * (sign != 0 ? -1.0f : 1.0f);
      const float away = sign != 0 ? -kInfinity : kInfinity;
      const std::uint32_t even = magnitude % 2 == 0 ? magnitude : magnitude + 1;
      ASSERT_EQ(f32_to_f16(std::nextafterf(middle, 0.0f)), sign | magnitude) << magnitude;
      ASSERT_EQ(f32_to_f16(middle), sign | even) << magnitude;
      ASSERT_EQ(f32_to_f16(std::nextafterf(middle, away)), sign | (magnitude + 1)) << magnitude;
    }
  }
}

TEST(Float16, F32ToF16_OverflowsToInfinityAndKeepsNaN) {
  EXPECT_EQ(f32_to_f16(65504.0f), 0x7BFF);
  EXPECT_EQ(f32_to_f16(65520.0f), 0x7C00);
  EXPECT_EQ(f32_to_f16(std::numeric_limits<float>::max()), 0x7C00);
  EXPECT_EQ(f32_to_f16(-kInfinity), 0xFC00);
  EXPECT_EQ(f32_to_f16(std::numeric_limits<float>::denorm_min()), 0);
  EXPECT_EQ(f32_to_f16(-std::numeric_limits<float>::min()), 0x8000);
  EXPECT_GT(f32_to_f16(std::numeric_limits<float>::quiet_NaN()) & 0x7FFF, 0x7C00);
  EXPECT_GT(f32_to_f16(std::bit_cast<float>(0xFF800001u)) & 0x7FFF, 0x7C00) << "a NaN whose payload falls off";
}

TEST(Float16, Bf16ToF32_IsTheUpperHalfOfTheFloat) {
  EXPECT_EQ(bf16_to_f32(0x3F80), 1.0f);
  EXPECT_EQ(bf16_to_f32(0xC040), -3.0f);
  EXPECT_EQ(bf16_to_f32(0x7F80), kInfinity);
  EXPECT_EQ(bf16_to_f32(0x0001), 0x1p-133f);
}

TEST(Float16, F32ToBf16_RoundsToNearestAndTiesToEven) {
  for (std::uint32_t upper = 0; upper < 0x10000; ++upper) {
    const std::uint32_t magnitude = upper & 0x7FFF;
    if (magnitude >= 0x7F80) {
      const std::uint16_t back = f32_to_bf16(bf16_to_f32(static_cast<std::uint16_t>(upper)));
      ASSERT_EQ(back, magnitude == 0x7F80 ? upper : upper | 0x40);
      continue;
    }
    const std::uint32_t bits = upper << 16;
    const std::uint32_t even = upper % 2 == 0 ? upper : upper + 1;
    ASSERT_EQ(f32_to_bf16(std::bit_cast<float>(bits)), upper);
    ASSERT_EQ(f32_to_bf16(std::bit_cast<float>(bits + 0x7FFF)), upper);
    ASSERT_EQ(f32_to_bf16(std::bit_cast<float>(bits + 0x8000)), even);
    ASSERT_EQ(f32_to_bf16(std::bit_cast<float>(bits + 0x8001)), upper + 1);
  }
  EXPECT_GT(f32_to_bf16(std::bit_cast<float>(0x7F800001u)) & 0x7FFF, 0x7F80) << "a NaN whose payload falls off";
}

}  // namespace
}  // namespace woolly::base
