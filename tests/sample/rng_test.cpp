#include "sample/rng.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <limits>

#include "sample/exp.h"

namespace woolly::sample {
namespace {

// The first numbers of splitmix64.c from state 0 and 1234567.
TEST(Rng, SplitMix64_GivesTheNumbersOfItsSource) {
  std::uint64_t zero = 0;
  EXPECT_EQ(splitmix64(zero), 0xE220A8397B1DCDAFu);
  EXPECT_EQ(splitmix64(zero), 0x6E789E6AA1B965F4u);
  std::uint64_t state = 1234567;
  EXPECT_EQ(splitmix64(state), 6457827717110365317u);
  EXPECT_EQ(splitmix64(state), 3203168211198807973u);
}

// The first numbers of xoshiro256starstar.c from state {1, 2, 3, 4}.
TEST(Rng, Xoshiro_GivesTheNumbersOfItsSource) {
  Rng rng(std::array<std::uint64_t, 4>{1, 2, 3, 4});
  EXPECT_EQ(rng.next(), 11520u);
  EXPECT_EQ(rng.next(), 0u);
  EXPECT_EQ(rng.next(), 1509978240u);
  EXPECT_EQ(rng.next(), 1215971899390074240u);
}

TEST(Rng, NextUnit_IsBelowOneAndSpreadsEvenly) {
  Rng rng(7);
  double sum = 0.0;
  constexpr int kDraws = 100'000;
  for (int i = 0; i < kDraws; ++i) {
    const double value = rng.next_unit();
    ASSERT_GE(value, 0.0);
    ASSERT_LT(value, 1.0);
    sum += value;
  }
  // The mean of n uniform numbers has the deviation 1 / sqrt(12 n); five of them.
  EXPECT_NEAR(sum / kDraws, 0.5, 5.0 / std::sqrt(12.0 * kDraws));
}

TEST(Exp, IsWithinTwoUnitsOfTheLastPlace) {
  for (double x = -707.0; x < 709.0; x += 0.0173) {
    const double expected = std::exp(x);
    EXPECT_LE(std::abs(exp(x) - expected), 2.0 * (std::nextafter(expected, 1e308) - expected)) << x;
  }
}

TEST(Exp, HasStatedValuesAtTheEdges) {
  EXPECT_EQ(exp(0.0), 1.0);
  EXPECT_EQ(exp(-0.0), 1.0);
  EXPECT_EQ(exp(-709.0), 0.0);
  EXPECT_EQ(exp(-std::numeric_limits<double>::infinity()), 0.0);
  EXPECT_EQ(exp(std::numeric_limits<double>::infinity()), std::numeric_limits<double>::infinity());
  EXPECT_EQ(exp(710.0), std::numeric_limits<double>::infinity());
  EXPECT_TRUE(std::isnan(exp(std::numeric_limits<double>::quiet_NaN())));
}

}  // namespace
}  // namespace woolly::sample
