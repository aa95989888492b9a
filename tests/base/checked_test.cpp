#include "base/checked.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>

namespace woolly::base {
namespace {

constexpr std::uint64_t kMax = std::numeric_limits<std::uint64_t>::max();

TEST(Checked, Mul_GivesTheProductOrNothing) {
  EXPECT_EQ(checked_mul(0, kMax), 0u);
  EXPECT_EQ(checked_mul(1, kMax), kMax);
  EXPECT_EQ(checked_mul(std::uint64_t{1} << 32, (std::uint64_t{1} << 32) - 1), kMax - ((std::uint64_t{1} << 32) - 1));
  EXPECT_EQ(checked_mul(std::uint64_t{1} << 32, std::uint64_t{1} << 32), std::nullopt);
  EXPECT_EQ(checked_mul(2, kMax), std::nullopt);
}

TEST(Checked, Add_GivesTheSumOrNothing) {
  EXPECT_EQ(checked_add(kMax, 0), kMax);
  EXPECT_EQ(checked_add(kMax - 1, 1), kMax);
  EXPECT_EQ(checked_add(kMax, 1), std::nullopt);
}

TEST(Checked, RoundUp_AndCeilDivMeetAtMultiples) {
  EXPECT_EQ(round_up(0, 32), 0u);
  EXPECT_EQ(round_up(1, 32), 32u);
  EXPECT_EQ(round_up(32, 32), 32u);
  EXPECT_EQ(round_up(33, 32), 64u);
  EXPECT_EQ(ceil_div(0, 32), 0u);
  EXPECT_EQ(ceil_div(32, 32), 1u);
  EXPECT_EQ(ceil_div(33, 32), 2u);
}

TEST(Checked, Narrow_KeepsValuesThatFit) {
  EXPECT_EQ(narrow<std::uint8_t>(255), 255);
  EXPECT_EQ(narrow<std::int8_t>(-128), -128);
  EXPECT_EQ(narrow<std::int32_t>(std::uint64_t{7}), 7);
}

TEST(CheckedDeathTest, Narrow_AbortsOnValuesThatDoNotFit) {
  EXPECT_DEATH(narrow<std::uint8_t>(256), "broken invariant");
  EXPECT_DEATH(narrow<std::uint64_t>(-1), "broken invariant");
  EXPECT_DEATH(narrow<std::int64_t>(kMax), "broken invariant");
}

}  // namespace
}  // namespace woolly::base
