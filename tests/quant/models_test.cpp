// The codecs on weights that another engine quantized: every tensor of a quantized model against the same tensor of
// the F32 model.
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "gguf/load.h"
#include "os/tensor_source.h"
#include "quant/dtype.h"
#include "support/shared.h"

namespace woolly::test {
namespace {

using quant::DType;

std::vector<float> decode_tensor(const os::TensorSource& source, const gguf::TensorView& tensor) {
  const quant::DTypeInfo& type = quant::info(tensor.type);
  std::vector<std::byte> bytes(tensor.size);
  EXPECT_TRUE(source.read(tensor.file, tensor.offset, bytes));
  std::vector<float> weights(tensor.n_cols() * tensor.n_rows());
  type.decode(bytes.data(), weights.size() / type.block_k, weights.data());
  return weights;
}

/// The allowed sqrt(sum (a - b)^2 / sum b^2). Weights here are Gaussian. A uniform quantizer of step s errs by
/// s / sqrt(12) in the root mean square; 32 Gaussian weights reach 2.3 sigma, so a symmetric n-bit block errs by about
/// 2.3 / 2^(n-1) / sqrt(12): 0.5 % for 8 bits, 8 % for 4. Sub-blocks of 16 and minima do a little better, scales of few
/// bits a little worse; the bounds are that estimate and a fifth more.
double allowed_error(DType type) {
  static const std::map<DType, double> kAllowed = {
      {DType::kF32, 0.0},     {DType::kF16, 0.0005}, {DType::kBF16, 0.004}, {DType::kQ8_0, 0.007},
      {DType::kQ6_K, 0.022},  {DType::kQ5_K, 0.05},  {DType::kQ5_0, 0.05},  {DType::kQ5_1, 0.05},
      {DType::kQ4_K, 0.10},   {DType::kQ4_0, 0.10},  {DType::kQ4_1, 0.10},  {DType::kIQ4_NL, 0.10},
      {DType::kIQ4_XS, 0.10}, {DType::kQ3_K, 0.19},  {DType::kQ2_K, 0.36},
  };
  const auto found = kAllowed.find(type);
  return found == kAllowed.end() ? 0.0 : found->second;
}

struct Agreement {
  double relative_error;
  double correlation;
};

Agreement compare(const std::vector<float>& found, const std::vector<float>& expected) {
  double squared_error = 0, found_squared = 0, expected_squared = 0, product = 0;
  for (std::size_t i = 0; i < found.size(); ++i) {
    const double a = static_cast<double>(found[i]);
    const double b = static_cast<double>(expected[i]);
    squared_error += (a - b) * (a - b);
    found_squared += a * a;
    expected_squared += b * b;
    product += a * b;
  }
  return {std::sqrt(squared_error / expected_squared), product / std::sqrt(found_squared * expected_squared)};
}

class QuantizedModel : public testing::TestWithParam<const char*> {};

TEST_P(QuantizedModel, Decodes_CloseToTheOriginal) {
  const std::string name = std::string("models/syn-llama-") + GetParam() + ".gguf";
  WOOLLY_NEEDS_SHARED(name);
  WOOLLY_NEEDS_SHARED("models/syn-llama-F32.gguf");
  const auto source = os::TensorSource::open(shared(name));
  const auto original_source = os::TensorSource::open(shared("models/syn-llama-F32.gguf"));
  ASSERT_TRUE(source && original_source);
  const auto file = gguf::load(*source);
  const auto original = gguf::load(*original_source);
  ASSERT_TRUE(file) << file.error().message;
  ASSERT_TRUE(original) << original.error().message;

  ASSERT_NE(file->find_tensor("token_embd.weight"), nullptr);
  std::set<std::string_view> types;
  for (const gguf::TensorView& tensor : file->tensors()) {
    const gguf::TensorView* twin = original->find_tensor(tensor.name);
    ASSERT_NE(twin, nullptr) << tensor.name;
    ASSERT_EQ(tensor.shape, twin->shape) << tensor.name;
    const Agreement agreement = compare(decode_tensor(*source, tensor), decode_tensor(*original_source, *twin));
    const double allowed = allowed_error(tensor.type);
    EXPECT_LE(agreement.relative_error, allowed) << tensor.name << " " << quant::info(tensor.type).name;
    EXPECT_GE(agreement.correlation, 1.0 - allowed * allowed - 1e-12) << tensor.name;
    types.insert(quant::info(tensor.type).name);
  }
  const std::string type = std::string(GetParam()).substr(0, std::string(GetParam()).find("_M"));
  EXPECT_TRUE(types.contains(type)) << "the file has no tensor of the type that it is named for";
}

INSTANTIATE_TEST_SUITE_P(Types, QuantizedModel,
                         testing::Values("F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q2_K", "Q3_K_M",
                                         "Q4_K_M", "Q5_K_M", "Q6_K", "IQ4_NL", "IQ4_XS"),
                         [](const auto& test) { return std::string(test.param); });

}  // namespace
}  // namespace woolly::test
