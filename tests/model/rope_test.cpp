#include "model/rope.h"

#include <gtest/gtest.h>

#include <cmath>

namespace woolly::test {
namespace {

TEST(Rope, AnglesFallGeometricallyAndGrowWithThePosition) {
  const model::Rope rope{.n_rot = 8, .base = 10000.0F};
  const auto frequencies = model::rope_frequencies(rope, {});
  ASSERT_EQ(frequencies.size(), 4U);
  for (std::size_t i = 0; i < 4; ++i) EXPECT_NEAR(frequencies[i], std::pow(10.0, -static_cast<double>(i)), 1e-12);
  float cos_sin[8];
  model::rope_angles(rope, frequencies, 3, cos_sin);
  EXPECT_FLOAT_EQ(cos_sin[0], std::cos(3.0F));
  EXPECT_FLOAT_EQ(cos_sin[3], std::sin(0.3F));
}

TEST(Rope, FactorsDivideTheAngles) {
  const model::Rope rope{.n_rot = 4, .base = 100.0F};
  const float factors[] = {2.0F, 0.5F};
  const auto frequencies = model::rope_frequencies(rope, factors);
  EXPECT_NEAR(frequencies[0], 0.5, 1e-12);
  EXPECT_NEAR(frequencies[1], 0.2, 1e-12);
}

TEST(Rope, LinearScalingStretchesEveryPair) {
  const model::Rope rope{.n_rot = 4, .base = 100.0F, .factor = 4.0F};
  const auto frequencies = model::rope_frequencies(rope, {});
  EXPECT_NEAR(frequencies[0], 0.25, 1e-12);
  EXPECT_NEAR(frequencies[1], 0.025, 1e-12);
}

/// Qwen2.5 with YaRN: 128 elements, base 1e6, 4 times 32768. By the paper's formula pair i makes
/// 32768 / (2 pi base^(2i / 128)) turns; 32 turns lie at pair 23.6, one at 39.6.
TEST(Rope, YarnKeepsFastPairsScalesSlowOnesAndBlendsBetween) {
  const model::Rope rope{.n_rot = 128, .base = 1e6F, .factor = 4.0F, .is_yarn = true, .original_context = 32768};
  const auto frequencies = model::rope_frequencies(rope, {});
  for (std::size_t i = 0; i < 64; ++i) {
    const double plain = std::pow(1e6, -2.0 * static_cast<double>(i) / 128);
    double keep = 1 - (static_cast<double>(i) - 23) / (40 - 23);
    keep = std::min(1.0, std::max(0.0, keep));
    EXPECT_NEAR(frequencies[i] / plain, keep + (1 - keep) / 4, 1e-9) << i;
  }
}

TEST(Rope, MagnitudeMultipliesCosineAndSine) {
  const model::Rope rope{.n_rot = 2, .magnitude = 2.0F};
  float cos_sin[2];
  model::rope_angles(rope, model::rope_frequencies(rope, {}), 1, cos_sin);
  EXPECT_FLOAT_EQ(cos_sin[0], 2 * std::cos(1.0F));
  EXPECT_FLOAT_EQ(cos_sin[1], 2 * std::sin(1.0F));
}

}  // namespace
}  // namespace woolly::test
