#include "quant/encode.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <random>
#include <vector>

#include "quant/dtype.h"

namespace woolly::quant {
namespace {

class Encoder : public testing::TestWithParam<DTypeInfo> {
 protected:
  static std::vector<std::byte> encode(const std::vector<float>& x) { return encode(x, std::vector<float>(x.size(), 1.0F)); }
  static std::vector<std::byte> encode(const std::vector<float>& x, const std::vector<float>& w) {
    std::vector<std::byte> blocks(x.size() / GetParam().block_k * GetParam().block_bytes + 1, std::byte{0xA5});
    find_encoder(GetParam().type)(x.data(), w.data(), x.size() / GetParam().block_k, blocks.data());
    EXPECT_EQ(blocks.back(), std::byte{0xA5});
    blocks.pop_back();
    return blocks;
  }
  static std::vector<float> there_and_back(const std::vector<float>& x) {
    std::vector<float> back(x.size());
    GetParam().decode(encode(x).data(), x.size() / GetParam().block_k, back.data());
    return back;
  }
  static double relative_error(const std::vector<float>& x) {
    const std::vector<float> back = there_and_back(x);
    double errors = 0, weights = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double a = static_cast<double>(x[i]), b = static_cast<double>(back[i]);
      errors += (a - b) * (a - b);
      weights += a * a;
    }
    return std::sqrt(errors / weights);
  }
  static std::vector<float> gaussian(std::size_t n, float size) {
    std::mt19937 random(11);
    std::normal_distribution<float> normal(0, size);
    std::vector<float> x(n);
    for (float& value : x) value = normal(random);
    return x;
  }
};

/// The least error that n levels allow on Gaussian weights (Max, "Quantizing for minimum distortion", 1960, table 1): 0.43
/// for 3, 0.34 for 4, 0.19 for 8, 0.097 for 16, 0.05 for 32, 0.025 for 64. Blocks know their own range, so a scale each
/// does better, and uniform levels do a little worse: the bounds are these numbers, and for floats half of their last bit.
TEST_P(Encoder, ErrsAsLittleAsItsLevelsAllow) {
  const std::map<DType, double> bounds = {
      {DType::kF32, 0.0},    {DType::kF16, 0x1p-11},  {DType::kBF16, 0x1p-8}, {DType::kQ8_0, 0.007},
      {DType::kQ4_0, 0.097}, {DType::kQ4_1, 0.097},   {DType::kQ5_0, 0.05},   {DType::kQ5_1, 0.05},
      {DType::kQ2_K, 0.34},  {DType::kQ3_K, 0.19},    {DType::kQ4_K, 0.097},  {DType::kQ5_K, 0.05},
      {DType::kQ6_K, 0.025}, {DType::kIQ4_NL, 0.097}, {DType::kIQ4_XS, 0.097}, {DType::kTQ1_0, 0.45},
      {DType::kTQ2_0, 0.45}, {DType::kMXFP4, 0.13},     {DType::kIQ1_S, 0.45},  {DType::kIQ1_M, 0.45},
      {DType::kIQ2_XXS, 0.34}, {DType::kIQ2_XS, 0.34},  {DType::kIQ2_S, 0.34},  {DType::kIQ3_XXS, 0.19},
      {DType::kIQ3_S, 0.19},
  };
  for (const float size : {1.0F, 0.02F, 1e-3F}) {
    EXPECT_LE(relative_error(gaussian(4096, size)), bounds.at(GetParam().type)) << "weights of about " << size;
  }
}

TEST_P(Encoder, KeepsZerosAndWhatItCanSay) {
  EXPECT_EQ(there_and_back(std::vector<float>(512, 0.0F)), std::vector<float>(512, 0.0F));
  // IQ1, IQ2 and IQ3 have no zero.
  if (GetParam().flat.block_bytes != 0 && GetParam().type != DType::kTQ1_0) return;
  std::vector<float> x(512, 0.0F);
  for (std::size_t i = 0; i < 512; i += 7) x[i] = i % 2 == 0 ? 0.5F : -0.5F;
  // A line through both ends need not meet zero, and the values of IQ4 have neither a zero nor pairs of either sign.
  const bool has_three = !std::ranges::count(std::array{DType::kQ4_1, DType::kQ5_1, DType::kQ2_K, DType::kIQ4_NL, DType::kIQ4_XS},
                                             GetParam().type);
  EXPECT_LE(relative_error(x), has_three ? 0.02 : 0.1);
}

/// One weight a thousand times as large as the rest, weights of one sign, all the same, below what a scale can hold.
TEST_P(Encoder, GivesFiniteWeightsForOddBlocks) {
  std::vector<std::vector<float>> cases(6, gaussian(512, 0.01F));
  cases[0][5] = 10.0F;
  cases[1][300] = -10.0F;
  for (float& x : cases[2]) x = std::fabs(x);
  for (float& x : cases[3]) x = -std::fabs(x) - 1;
  for (float& x : cases[4]) x = 0.125F;
  for (float& x : cases[5]) x *= 1e-9F;
  for (const std::vector<float>& x : cases) {
    const std::vector<float> back = there_and_back(x);
    const float largest = std::fabs(*std::max_element(x.begin(), x.end(), [](float a, float b) { return std::fabs(a) < std::fabs(b); }));
    for (std::size_t i = 0; i < x.size(); ++i) {
      ASSERT_TRUE(std::isfinite(back[i]));
      ASSERT_LE(std::fabs(back[i]), 2 * largest);
    }
    EXPECT_LE(relative_error(x), 1.0);  // no worse than zeros
  }
}

/// Σ w (x - x')² is less than without the knowledge of w, where an encoder has a choice.
TEST_P(Encoder, WeightsThatCountMoreErrLess) {
  const std::vector<float> x = gaussian(4096, 0.1F);
  std::vector<float> w(x.size());
  for (std::size_t i = 0; i < w.size(); ++i) w[i] = i % 5 == 0 ? 10.0F : 0.1F;
  const auto error_of = [&](const std::vector<std::byte>& blocks) {
    std::vector<float> back(x.size());
    GetParam().decode(blocks.data(), x.size() / GetParam().block_k, back.data());
    double sum = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double error = static_cast<double>(x[i]) - static_cast<double>(back[i]);
      sum += static_cast<double>(w[i]) * error * error;
    }
    return sum;
  };
  const bool has_choice = !std::ranges::count(std::array{DType::kF32, DType::kF16, DType::kBF16, DType::kQ8_0}, GetParam().type);
  const double with = error_of(encode(x, w)), without = error_of(encode(x));
  if (has_choice) {
    EXPECT_LT(with, 0.99 * without);
  } else {
    EXPECT_EQ(with, without);
  }
}

TEST_P(Encoder, ABlockDependsOnItsOwnWeightsAlone) {
  const std::vector<float> x = gaussian(1024, 0.1F);
  const auto all = encode(x);
  const auto second_half = encode({x.begin() + 512, x.end()});
  EXPECT_TRUE(std::equal(second_half.begin(), second_half.end(), all.end() - static_cast<std::ptrdiff_t>(second_half.size())));
}

std::vector<DTypeInfo> types_with_encoders() {
  std::vector<DTypeInfo> types;
  for (const DTypeInfo& info : all_dtypes()) {
    if (find_encoder(info.type) != nullptr) types.push_back(info);
  }
  return types;
}

INSTANTIATE_TEST_SUITE_P(Types, Encoder, testing::ValuesIn(types_with_encoders()),
                         [](const auto& tested) { return std::string(tested.param.name); });

}  // namespace
}  // namespace woolly::quant
