// The expected values are worked out by hand from the layouts; 0x3800 is the half 0.5.
#include <gtest/gtest.h>

#include <cmath>

#include "quant/block_formula.h"
#include "quant/blocks.h"

namespace woolly::test {
namespace {

using quant::DType;

/// The 4-bit values of IQ4_NL, from the format definition.
double iq4_value(int code) {
  constexpr double kValues[] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
  return kValues[code];
}

/// An E2M1 float by its definition: sign, two exponent bits with bias 1, one mantissa bit.
double e2m1_value(int code) {
  const int exponent = code / 2 % 4;
  const double mantissa = code % 2;
  const double magnitude = exponent == 0 ? mantissa / 2 : std::ldexp(1 + mantissa / 2, exponent - 1);
  return code >= 8 ? -magnitude : magnitude;
}

TEST(IQuants, IQ4_NL_LooksUpItsValues) {
  BlockBytes block(18);
  block.set16(0, 0x3800);
  block.set(2, 0xF8);  // w[0]: code 8, w[16]: code 15
  const auto w = decode(DType::kIQ4_NL, block);
  EXPECT_EQ(w[0], 0.5f);
  EXPECT_EQ(w[16], 56.5f);
  EXPECT_EQ(w[1], -63.5f);
  expect_formula_on_many_blocks(
      DType::kIQ4_NL, [](const BlockBytes& b, int i) { return b.half(0) * iq4_value(b.nibble(2 + i % 16, i >= 16)); });
}

TEST(IQuants, IQ4_XS_ScalesBySubBlock) {
  BlockBytes block(136);
  block.set16(0, 0x3800);
  block.set16(2, 0x8002);  // high bits of scale 0: 2, of scale 7: 2
  block.set(4, 0x03);      // low bits of scale 0: 3, so 35 - 32 = 3
  block.set(7, 0x10);      // low bits of scale 7: 1, so 33 - 32 = 1
  block.set(8, 0x88);      // w[0], w[16]: code 8
  block.set(135, 0xF0);    // w[239]: code 0, w[255]: code 15
  const auto w = decode(DType::kIQ4_XS, block);
  EXPECT_EQ(w[0], 1.5f);
  EXPECT_EQ(w[16], 1.5f);
  EXPECT_EQ(w[1], -190.5f);
  EXPECT_EQ(w[239], -63.5f);
  EXPECT_EQ(w[255], 56.5f);
  EXPECT_EQ(w[32], 0.5f * -32 * -127);
  expect_formula_on_many_blocks(DType::kIQ4_XS, [](const BlockBytes& b, int i) {
    const int sub = i / 32;
    const int scale = b.nibble(4 + sub / 2, sub % 2 == 1) + 16 * ((b.at16(2) >> (2 * sub)) % 4);
    return b.half(0) * (scale - 32) * iq4_value(b.nibble(8 + sub * 16 + i % 16, i % 32 >= 16));
  });
}

TEST(IQuants, MXFP4_ScalesE2M1ByPowersOfTwo) {
  BlockBytes block(17);
  block.set(0, 127);   // 2^0
  block.set(1, 0x71);  // w[0]: 0.5, w[16]: 6
  block.set(2, 0xF2);  // w[1]: 1, w[17]: -6
  auto w = decode(DType::kMXFP4, block);
  EXPECT_EQ(w[0], 0.5f);
  EXPECT_EQ(w[16], 6.0f);
  EXPECT_EQ(w[1], 1.0f);
  EXPECT_EQ(w[17], -6.0f);
  block.set(0, 125);  // 2^-2
  w = decode(DType::kMXFP4, block);
  EXPECT_EQ(w[0], 0.125f);
  EXPECT_EQ(w[17], -1.5f);
  expect_formula_on_many_blocks(DType::kMXFP4, [](const BlockBytes& b, int i) {
    // Beyond the range of f32 the product is infinite, which the conversion of a double does not give everywhere.
    const double w_i = std::ldexp(e2m1_value(b.nibble(1 + i % 16, i >= 16)), b.at(0) - 127);
    return std::fabs(w_i) >= 0x1p128 ? std::copysign(HUGE_VAL, w_i) : w_i;
  });
}

TEST(IQuants, MXFP4_EveryScaleIsAPowerOfTwo) {
  for (int e = 0; e < 256; ++e) {
    EXPECT_EQ(quant::e8m0_half(static_cast<std::uint8_t>(e)), std::ldexp(1.0f, e - 128)) << e;
  }
  for (int code = 0; code < 16; ++code) EXPECT_EQ(quant::kE2M1Doubled[code], 2 * e2m1_value(code));
}

}  // namespace
}  // namespace woolly::test
