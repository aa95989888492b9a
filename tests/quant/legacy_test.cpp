// The expected values are worked out by hand from the layouts; 0x3800 is the half 0.5, 0xC000 is -2, 0x3C00 is 1.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>

#include "quant/block_formula.h"

namespace woolly::test {
namespace {

using quant::DType;

TEST(Legacy, F32_KeepsItsBits) {
  BlockBytes block(4);
  block.set16(2, 0xC049);
  block.set16(0, 0x0FDB);
  EXPECT_EQ(decode(DType::kF32, block)[0], -3.14159274f);
  EXPECT_TRUE(std::isnan(decode(DType::kF32, BlockBytes(4, 0xFF))[0]));
}

TEST(Legacy, F16AndBf16_DecodeAsHalves) {
  BlockBytes block(2);
  block.set16(0, 0xC000);
  EXPECT_EQ(decode(DType::kF16, block)[0], -2.0f);
  block.set16(0, 0x0001);
  EXPECT_EQ(decode(DType::kF16, block)[0], 0x1p-24f);
  block.set16(0, 0xC040);
  EXPECT_EQ(decode(DType::kBF16, block)[0], -3.0f);
  expect_formula_on_many_blocks(DType::kF16, [](const BlockBytes& b, int) { return b.half(0); });
  expect_formula_on_many_blocks(DType::kBF16, [](const BlockBytes& b, int) {
    return static_cast<double>(std::bit_cast<float>(static_cast<std::uint32_t>(b.at16(0)) * 65536u));
  });
}

TEST(Legacy, Q8_0_ScalesSignedBytes) {
  BlockBytes block(34);
  block.set16(0, 0x3800);
  block.set(2, 127);
  block.set(3, 0x80);
  block.set(33, 0xFF);
  const auto w = decode(DType::kQ8_0, block);
  EXPECT_EQ(w[0], 63.5f);
  EXPECT_EQ(w[1], -64.0f);
  EXPECT_EQ(w[2], 0.0f);
  EXPECT_EQ(w[31], -0.5f);
  expect_formula_on_many_blocks(DType::kQ8_0, [](const BlockBytes& b, int i) {
    const int q = b.at(2 + i);
    return b.half(0) * (q < 128 ? q : q - 256);
  });
}

TEST(Legacy, Q4_0_TakesLowNibblesFirstAndSubtractsEight) {
  BlockBytes block(18);
  block.set16(0, 0x3800);
  block.set(2, 0x2F);   // w[0]: 15, w[16]: 2
  block.set(17, 0x80);  // w[15]: 0, w[31]: 8
  const auto w = decode(DType::kQ4_0, block);
  EXPECT_EQ(w[0], 3.5f);
  EXPECT_EQ(w[16], -3.0f);
  EXPECT_EQ(w[15], -4.0f);
  EXPECT_EQ(w[31], 0.0f);
  expect_formula_on_many_blocks(
      DType::kQ4_0, [](const BlockBytes& b, int i) { return b.half(0) * (b.nibble(2 + i % 16, i >= 16) - 8); });
}

TEST(Legacy, Q4_1_AddsTheMinimum) {
  BlockBytes block(20);
  block.set16(0, 0x3800);
  block.set16(2, 0xC000);
  block.set(4, 0x2F);
  const auto w = decode(DType::kQ4_1, block);
  EXPECT_EQ(w[0], 5.5f);
  EXPECT_EQ(w[16], -1.0f);
  EXPECT_EQ(w[1], -2.0f);
  expect_formula_on_many_blocks(
      DType::kQ4_1, [](const BlockBytes& b, int i) { return b.half(0) * b.nibble(4 + i % 16, i >= 16) + b.half(2); });
}

TEST(Legacy, Q5_0_TakesTheFifthBitFromQh) {
  BlockBytes block(22);
  block.set16(0, 0x3800);
  block.set(2, 0x01);  // fifth bit of w[0]
  block.set(4, 0x02);  // of w[17]
  block.set(6, 0x0F);  // w[0]: 31, w[16]: 0
  block.set(7, 0x30);  // w[1]: 0, w[17]: 19
  const auto w = decode(DType::kQ5_0, block);
  EXPECT_EQ(w[0], 7.5f);
  EXPECT_EQ(w[16], -8.0f);
  EXPECT_EQ(w[1], -8.0f);
  EXPECT_EQ(w[17], 1.5f);
  expect_formula_on_many_blocks(DType::kQ5_0, [](const BlockBytes& b, int i) {
    const int q = b.nibble(6 + i % 16, i >= 16) + (b.bit(2 + i / 8, i % 8) ? 16 : 0);
    return b.half(0) * (q - 16);
  });
}

TEST(Legacy, Q5_1_TakesTheFifthBitAndAddsTheMinimum) {
  BlockBytes block(24);
  block.set16(0, 0x3800);
  block.set16(2, 0x3C00);
  block.set(7, 0x80);   // fifth bit of w[31]
  block.set(23, 0xF1);  // w[15]: 1, w[31]: 31
  const auto w = decode(DType::kQ5_1, block);
  EXPECT_EQ(w[15], 1.5f);
  EXPECT_EQ(w[31], 16.5f);
  EXPECT_EQ(w[0], 1.0f);
  expect_formula_on_many_blocks(DType::kQ5_1, [](const BlockBytes& b, int i) {
    return b.half(0) * (b.nibble(8 + i % 16, i >= 16) + (b.bit(4 + i / 8, i % 8) ? 16 : 0)) + b.half(2);
  });
}

}  // namespace
}  // namespace woolly::test
