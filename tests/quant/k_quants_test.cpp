// The expected values are worked out by hand from the layouts; 0x3800 is the half 0.5, 0x3C00 is 1, 0x4000 is 2.
#include <gtest/gtest.h>

#include "quant/block_formula.h"
#include "quant/blocks.h"

namespace woolly::test {
namespace {

using quant::DType;

/// Two bits of `q[i]` as Q2_K and Q3_K hold them from byte `at`: runs of 128 weights, in them 4 groups of 32.
int two_bits(const BlockBytes& b, int at, int i) {
  return (b.at(at + i / 128 * 32 + i % 32) >> (i % 128 / 32 * 2)) % 4;
}

/// The 6-bit numbers of Q4_K and Q5_K as one string of bits: 8 scales, then 8 mins.
int six_bits(const BlockBytes& b, int at, int n, bool min) {
  if (n < 4) return b.at(at + n + (min ? 4 : 0)) % 64;
  const int low = b.nibble(at + 4 + n, min);
  const int high = b.at(at + n - (min ? 0 : 4)) / 64;
  return low + 16 * high;
}

TEST(KQuants, Q2_K_ScalesAndShiftsBySubBlock) {
  BlockBytes block(84);
  block.set16(80, 0x3800);        // d
  block.set16(82, 0x4000);        // dmin
  block.set(0, 0x13);             // sub-block 0: scale 3, min 1
  block.set(9, 0x2F);             // sub-block 9, weights 144 to 159: scale 15, min 2
  block.set(16, 0x03);            // q[0] = 3
  block.set(16 + 32 + 17, 0x02);  // q[128 + 17] = 2
  const auto w = decode(DType::kQ2_K, block);
  EXPECT_EQ(w[0], 0.5f * 3 * 3 - 2.0f);
  EXPECT_EQ(w[1], -2.0f);
  EXPECT_EQ(w[16], 0.0f);
  EXPECT_EQ(w[145], 0.5f * 15 * 2 - 4.0f);
  EXPECT_EQ(w[144], -4.0f);
  expect_formula_on_many_blocks(DType::kQ2_K, [](const BlockBytes& b, int i) {
    return b.half(80) * b.nibble(i / 16, false) * two_bits(b, 16, i) - b.half(82) * b.nibble(i / 16, true);
  });
}

TEST(KQuants, Q3_K_SubtractsFourWhereTheHighBitIsClear) {
  BlockBytes block(110);
  block.set16(108, 0x3800);
  block.set(96, 0x05);   // scale 0: low bits 5; scale 8: low bits 0
  block.set(104, 0x02);  // scale 0: high bits 2, so 5 + 32 - 32 = 5
  block.set(0, 0x01);    // high bit of q[0]
  block.set(32, 0x02);   // q[0] = 2 + 4
  const auto w = decode(DType::kQ3_K, block);
  EXPECT_EQ(w[0], 0.5f * 5 * 2);
  EXPECT_EQ(w[1], 0.5f * 5 * -4);
  EXPECT_EQ(w[128], 0.5f * -32 * -4);
  expect_formula_on_many_blocks(DType::kQ3_K, [](const BlockBytes& b, int i) {
    const int sub = i / 16;
    const int scale = b.nibble(96 + sub % 8, sub >= 8) + 16 * ((b.at(104 + sub % 4) >> (sub / 4 * 2)) % 4);
    const int q = two_bits(b, 32, i) + (b.bit(i % 32, i / 32) ? 0 : -4);
    return b.half(108) * (scale - 32) * q;
  });
}

TEST(KQuants, Q4_K_UnpacksSixBitScalesAndMins) {
  BlockBytes block(144);
  block.set16(0, 0x3800);
  block.set16(2, 0x3C00);
  block.set(4, 0xC7);        // scale 0: 7; high bits of scale 4: 3
  block.set(8, 0x49);        // min 0: 9; high bits of min 4: 1
  block.set(12, 0x52);       // scale 4: 2 + 48, min 4: 5 + 16
  block.set(16, 0x3F);       // q[0] = 15, q[32] = 3
  block.set(16 + 64, 0x0A);  // q[128] = 10, in sub-block 4
  const auto w = decode(DType::kQ4_K, block);
  EXPECT_EQ(w[0], 0.5f * 7 * 15 - 9);
  EXPECT_EQ(w[1], -9.0f);
  EXPECT_EQ(w[32], 0.0f) << "sub-block 1 has scale 0 and min 0";
  EXPECT_EQ(w[128], 0.5f * 50 * 10 - 21);
  EXPECT_EQ(w[159], -21.0f);
  expect_formula_on_many_blocks(DType::kQ4_K, [](const BlockBytes& b, int i) {
    const int q = b.nibble(16 + i / 64 * 32 + i % 32, i % 64 >= 32);
    return b.half(0) * six_bits(b, 4, i / 32, false) * q - b.half(2) * six_bits(b, 4, i / 32, true);
  });
}

TEST(KQuants, Q5_K_TakesTheFifthBitFromQh) {
  BlockBytes block(176);
  block.set16(0, 0x3800);
  block.set(4, 0x02);             // scale 0: 2
  block.set(7, 0x03);             // scale 3: 3
  block.set(16, 0x01);            // fifth bit of q[0]
  block.set(16 + 31, 0x08);       // of q[96 + 31]
  block.set(48, 0x0F);            // q[0] = 31
  block.set(48 + 32 + 31, 0x40);  // q[127] = 4 + 16
  const auto w = decode(DType::kQ5_K, block);
  EXPECT_EQ(w[0], 31.0f);
  EXPECT_EQ(w[127], 0.5f * 3 * 20);
  EXPECT_EQ(w[126], 0.0f);
  expect_formula_on_many_blocks(DType::kQ5_K, [](const BlockBytes& b, int i) {
    const int q = b.nibble(48 + i / 64 * 32 + i % 32, i % 64 >= 32) + (b.bit(16 + i % 32, i / 32) ? 16 : 0);
    return b.half(0) * six_bits(b, 4, i / 32, false) * q - b.half(2) * six_bits(b, 4, i / 32, true);
  });
}

TEST(KQuants, Q6_K_JoinsFourAndTwoBits) {
  BlockBytes block(210);
  block.set16(208, 0x3800);
  block.set(192, 2);          // scale 0
  block.set(192 + 15, 0xFF);  // scale 15: -1
  block.set(0, 0x0F);         // low bits of q[0]
  block.set(128, 0x03);       // high bits of q[0]: 15 + 48 = 63
  block.set(64 + 63, 0x50);   // low bits of q[255]
  block.set(128 + 63, 0x80);  // high bits of q[255]: 5 + 32 = 37
  const auto w = decode(DType::kQ6_K, block);
  EXPECT_EQ(w[0], 0.5f * 2 * 31);
  EXPECT_EQ(w[1], 0.5f * 2 * -32);
  EXPECT_EQ(w[255], 0.5f * -1 * 5);
  expect_formula_on_many_blocks(DType::kQ6_K, [](const BlockBytes& b, int i) {
    const int half = i / 128;
    const int low = b.nibble(half * 64 + i % 64, i % 128 >= 64);
    const int high = two_bits(b, 128, i);
    const int scale = b.at(192 + i / 16);
    return b.half(208) * (scale < 128 ? scale : scale - 256) * (low + 16 * high - 32);
  });
}

TEST(KQuants, Q45kScaleMin_ReachesEveryValue) {
  const std::uint8_t ones[12] = {255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255};
  const std::uint8_t zeros[12] = {};
  for (int i = 0; i < 8; ++i) {
    EXPECT_EQ(quant::q45k_scale_min(ones, i).scale, 63);
    EXPECT_EQ(quant::q45k_scale_min(ones, i).min, 63);
    EXPECT_EQ(quant::q45k_scale_min(zeros, i).scale, 0);
    EXPECT_EQ(quant::q45k_scale_min(zeros, i).min, 0);
  }
  for (int i = 0; i < 16; ++i) {
    EXPECT_EQ(quant::q3k_scale(ones, i), 31);
    EXPECT_EQ(quant::q3k_scale(zeros, i), -32);
  }
}

}  // namespace
}  // namespace woolly::test
