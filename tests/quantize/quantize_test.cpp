#include "quantize/quantize.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include "gguf/load.h"
#include "support/gguf_builder.h"
#include "support/shared.h"
#include "support/temp_dir.h"

namespace woolly::test {
namespace {

struct Opened {
  os::TensorSource source;
  gguf::File file;
};

Opened open_model(const std::filesystem::path& path) {
  auto source = os::TensorSource::open(path);
  EXPECT_TRUE(source) << source.error().message;
  auto file = gguf::load(*source);
  EXPECT_TRUE(file) << file.error().message;
  return {std::move(source).value(), std::move(file).value()};
}

std::vector<float> weights_of(const Opened& model, const gguf::TensorView& tensor) {
  const quant::DTypeInfo& type = quant::info(tensor.type);
  std::vector<std::byte> bytes(tensor.size);
  EXPECT_TRUE(model.source.read(tensor.file, tensor.offset, bytes));
  std::vector<float> weights(tensor.n_cols() * tensor.n_rows());
  type.decode(bytes.data(), weights.size() / type.block_k, weights.data());
  return weights;
}

double error_of(const std::vector<float>& found, const std::vector<float>& expected) {
  double sum = 0;
  for (std::size_t i = 0; i < found.size(); ++i) {
    const double error = static_cast<double>(found[i]) - static_cast<double>(expected[i]);
    sum += error * error;
  }
  return std::sqrt(sum / static_cast<double>(found.size()));
}

struct Quantized {
  std::vector<std::byte> bytes;
  std::optional<Error> error;
  quantize::Summary summary;
};

Quantized quantize_model(const Opened& model, std::string_view mix, std::size_t n_threads = 2, bool again = false) {
  Quantized result;
  auto pool = os::ThreadPool::create(n_threads);
  const auto summary = quantize::quantize(model.source, model.file, *quantize::find_mix(mix), {.importance = {}, .allow_requantizing = again}, **pool,
                                          [&](std::span<const std::byte> bytes) -> Status {
                                            result.bytes.insert(result.bytes.end(), bytes.begin(), bytes.end());
                                            return {};
                                          });
  if (summary) {
    result.summary = summary.value();
  } else {
    result.error = summary.error();
  }
  return result;
}

class AgainstPeer : public testing::TestWithParam<const char*> {};

/// The files of the same names that llama.cpp made of the same weights: the same type for each tensor, and an error of at
/// most 1.01 times theirs.
TEST_P(AgainstPeer, TakesTheSameTypesAndErrsNoMore) {
  const std::string name = std::string("models/syn-llama-") + GetParam() + ".gguf";
  WOOLLY_NEEDS_SHARED(name);
  const Opened original = open_model(shared("models/syn-llama-F32.gguf")), peer = open_model(shared(name));
  const Quantized result = quantize_model(original, GetParam());
  ASSERT_FALSE(result.error) << result.error->message;
  const TempDir dir;
  const Opened ours = open_model(dir.write("ours.gguf", result.bytes));
  EXPECT_EQ(result.summary.file_bytes, result.bytes.size());
  EXPECT_EQ(*ours.file.metadata.get_uint("general.file_type"), *peer.file.metadata.get_uint("general.file_type"));
  EXPECT_EQ(*ours.file.metadata.get_string("general.architecture"), "llama");
  ASSERT_EQ(ours.file.tensors().size(), peer.file.tensors().size());
  for (const gguf::TensorView& theirs : peer.file.tensors()) {
    const gguf::TensorView* tensor = ours.file.find_tensor(theirs.name);
    ASSERT_NE(tensor, nullptr) << theirs.name;
    EXPECT_EQ(tensor->shape, theirs.shape) << theirs.name;
    EXPECT_EQ(quant::info(tensor->type).name, quant::info(theirs.type).name) << theirs.name;
    const std::vector<float> weights = weights_of(original, *original.file.find_tensor(theirs.name));
    EXPECT_LE(error_of(weights_of(ours, *tensor), weights), 1.01 * error_of(weights_of(peer, theirs), weights)) << theirs.name;
  }
}

INSTANTIATE_TEST_SUITE_P(Mixes, AgainstPeer,
                         testing::Values("F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q2_K", "Q3_K_M", "Q4_K_M",
                                         "Q5_K_M", "Q6_K", "IQ4_NL", "IQ4_XS"),
                         [](const auto& test) { return std::string(test.param); });

std::vector<std::byte> floats(std::size_t n, float factor = 1.0F) {
  std::vector<std::byte> bytes(4 * n);
  for (std::size_t i = 0; i < n; ++i) {
    const float value = factor * std::sin(static_cast<float>(i));
    std::memcpy(bytes.data() + 4 * i, &value, 4);
  }
  return bytes;
}

/// A model of `n_layers` layers as far as names and shapes go; four heads share their values.
GgufBuilder model_of(std::size_t n_layers) {
  GgufBuilder file;
  file.add_string("general.architecture", "llama");
  file.add_tensor("token_embd.weight", {256, 4}, quant::DType::kF32, floats(1024));
  for (std::size_t i = 0; i < n_layers; ++i) {
    const std::string block = "blk." + std::to_string(i) + ".";
    file.add_tensor(block + "attn_norm.weight", {256}, quant::DType::kF32, floats(256));
    file.add_tensor(block + "attn_q.weight", {256, 8}, quant::DType::kF32, floats(2048));
    file.add_tensor(block + "attn_v.weight", {256, 2}, quant::DType::kF32, floats(512));
    file.add_tensor(block + "ffn_down.weight", {256, 2}, quant::DType::kF32, floats(512));
    file.add_tensor(block + "ffn_gate_inp.weight", {256, 2}, quant::DType::kF32, floats(512));
    file.add_tensor(block + "shortconv.conv.weight", {256, 2}, quant::DType::kF32, floats(512));
    file.add_tensor(block + "shortconv.in_proj.weight", {256, 2}, quant::DType::kF32, floats(512));
    file.add_tensor(block + "ffn_up_exps.weight", {256, 2, 2}, quant::DType::kF32, floats(1024));
    file.add_tensor(block + "odd.weight", {96, 2}, quant::DType::kF32, floats(192));
    file.add_tensor(block + "odder.weight", {7, 2}, quant::DType::kF32, floats(14));
  }
  return file;
}

TEST(Mix, GivesEachTensorItsTypeByNameAndLayer) {
  const TempDir dir;
  const Opened model = open_model(dir.write("model.gguf", model_of(16).build()));
  const auto types_of = [&](std::string_view mix) {
    std::map<std::string, std::string_view, std::less<>> types;
    const auto chosen = quantize::choose_types(model.file, *quantize::find_mix(mix));
    for (std::size_t i = 0; i < chosen.size(); ++i) {
      types[std::string(model.file.tensors()[i].name)] = quant::info(chosen[i]).name;
    }
    return types;
  };
  auto types = types_of("q4_k_m");
  EXPECT_EQ(types["token_embd.weight"], "Q6_K");  // the output too, since there is no other
  EXPECT_EQ(types["blk.0.attn_norm.weight"], "F32");
  EXPECT_EQ(types["blk.0.ffn_gate_inp.weight"], "F32");
  EXPECT_EQ(types["blk.0.shortconv.conv.weight"], "F32");
  EXPECT_EQ(types["blk.0.shortconv.in_proj.weight"], "Q4_K");
  EXPECT_EQ(types["blk.0.ffn_up_exps.weight"], "Q4_K");
  EXPECT_EQ(types["blk.0.odd.weight"], "Q5_0");
  EXPECT_EQ(types["blk.0.odder.weight"], "F16");
  for (const auto& [layer, type] : std::map<int, std::string_view>{{1, "Q6_K"}, {2, "Q4_K"}, {4, "Q6_K"}, {5, "Q4_K"}, {14, "Q6_K"}}) {
    EXPECT_EQ(types["blk." + std::to_string(layer) + ".ffn_down.weight"], type) << layer;
    EXPECT_EQ(types["blk." + std::to_string(layer) + ".attn_v.weight"], type) << layer;
  }
  types = types_of("Q3_K_M");
  EXPECT_EQ(types["blk.0.ffn_down.weight"], "Q5_K");
  EXPECT_EQ(types["blk.1.ffn_down.weight"], "Q4_K");
  EXPECT_EQ(types["blk.1.attn_v.weight"], "Q5_K");
  EXPECT_EQ(types["blk.2.attn_v.weight"], "Q4_K");
  EXPECT_EQ(types["blk.2.odd.weight"], "Q4_0");
  types = types_of("Q2_K");
  EXPECT_EQ(types["blk.3.attn_v.weight"], "Q4_K");
  EXPECT_EQ(types["blk.3.attn_q.weight"], "Q2_K");
  types = types_of("MXFP4_MOE");
  EXPECT_EQ(types["blk.3.ffn_up_exps.weight"], "MXFP4");
  EXPECT_EQ(types["blk.3.attn_q.weight"], "Q8_0");
  types = types_of("TQ2_0");
  EXPECT_EQ(types["blk.3.attn_q.weight"], "TQ2_0");
  EXPECT_EQ(quantize::find_mix("Q9"), nullptr);
}

/// Each mix on a model that it has to fall back for, with 1 and with 3 threads.
TEST(Quantize, WritesTheSameFileWithAnyNumberOfThreads) {
  const TempDir dir;
  const Opened model = open_model(dir.write("model.gguf", model_of(2).build()));
  for (const quantize::Mix& mix : quantize::all_mixes()) {
    const Quantized one = quantize_model(model, mix.name, 1);
    ASSERT_FALSE(one.error) << one.error->message;
    EXPECT_EQ(one.bytes, quantize_model(model, mix.name, 3).bytes) << mix.name;
    const Opened read = open_model(dir.write("out.gguf", one.bytes));
    EXPECT_EQ(*read.file.metadata.get_uint("general.file_type"), mix.file_type);
    EXPECT_EQ(read.file.tensors().size(), model.file.tensors().size());
  }
}

GgufBuilder importance_of(const std::vector<float>& sums, const std::vector<float>& counts) {
  GgufBuilder file;
  file.add_string("general.type", "imatrix");
  file.add_tensor("a.weight.in_sum2", {sums.size() / counts.size(), counts.size()}, sums);
  file.add_tensor("a.weight.counts", {1, counts.size()}, counts);
  return file;
}

/// Of a stack of two matrices, whose columns count in turn much and little.
TEST(Quantize, ColumnsThatCountMoreErrLess) {
  const TempDir dir;
  GgufBuilder builder;
  builder.add_tensor("a.weight", {256, 8, 2}, quant::DType::kF32, floats(4096));
  const Opened model = open_model(dir.write("model.gguf", builder.build()));
  std::vector<float> sums(512, 1.0F);
  for (std::size_t i = 0; i < 512; i += 2) sums[i + i / 256] = 1000.0F;
  const auto source = os::TensorSource::open(dir.write("importance.gguf", importance_of(sums, {5, 5}).build()));
  auto importance = quantize::Importance::read(*source);
  ASSERT_TRUE(importance) << importance.error().message;
  const auto found = importance->find(model.file.tensors()[0]);
  ASSERT_TRUE(found);
  ASSERT_EQ(found->size(), 512U);
  EXPECT_NEAR((*found)[0], 2.0F, 0.01F);
  EXPECT_NEAR((*found)[257], 2.0F, 0.01F);

  const std::vector<float> weights = weights_of(model, model.file.tensors()[0]);
  const auto pool = os::ThreadPool::create(2);
  const auto error_with = [&](const quantize::Options& options) {
    std::vector<std::byte> bytes;
    EXPECT_TRUE(quantize::quantize(model.source, model.file, *quantize::find_mix("Q3_K_S"), options, **pool,
                                   [&](std::span<const std::byte> more) -> Status {
                                     bytes.insert(bytes.end(), more.begin(), more.end());
                                     return {};
                                   }));
    const Opened out = open_model(dir.write("out.gguf", bytes));
    const std::vector<float> back = weights_of(out, out.file.tensors()[0]);
    double sum = 0;
    for (std::size_t i = 0; i < back.size(); ++i) {
      const double error = static_cast<double>(back[i]) - static_cast<double>(weights[i]);
      sum += static_cast<double>((*found)[i / 2048 * 256 + i % 256]) * error * error;
    }
    return sum;
  };
  EXPECT_LT(error_with({.importance = *importance, .allow_requantizing = false}), 0.9 * error_with({}));
}

TEST(Quantize, RefusesAnImportanceMatrixThatDoesNotFit) {
  const TempDir dir;
  const auto read = [&](GgufBuilder file) {
    const auto source = os::TensorSource::open(dir.write("importance.gguf", file.build()));
    return quantize::Importance::read(*source);
  };
  EXPECT_NE(read(GgufBuilder()).error().message.find("expected an importance matrix"), std::string::npos);
  EXPECT_EQ(read(importance_of({1, -1}, {1})).error().message,
            "importance matrix, tensor a.weight.in_sum2: has -1, expected 0 or more");
  EXPECT_TRUE(read(importance_of({0, 0}, {0})));
  GgufBuilder alone;
  alone.add_tensor("a.weight.in_sum2", {2, 1}, std::vector<float>{1, 1});
  EXPECT_EQ(read(alone).error().message, "importance matrix, tensor a.weight.in_sum2: without its .counts");
  const auto small = read(importance_of({1, 1}, {1}));
  ASSERT_TRUE(small);
  const gguf::TensorView tensor{
      .name = "a.weight", .type = quant::DType::kF32, .n_dims = 2, .shape = {4, 2, 1, 1}, .file = 0, .offset = 0, .size = 32};
  EXPECT_EQ(small->find(tensor).error().message, "importance matrix, tensor a.weight: 2 columns, expected 4");
}

TEST(Quantize, EndsWithTheErrorOfItsSink) {
  const TempDir dir;
  const Opened model = open_model(dir.write("model.gguf", model_of(2).build()));
  const auto pool = os::ThreadPool::create(2);
  int n_calls = 0;
  const auto summary = quantize::quantize(model.source, model.file, *quantize::find_mix("Q8_0"), {}, **pool,
                                          [&](std::span<const std::byte>) -> Status {
                                            if (++n_calls < 5) return {};
                                            return Error{ErrorCode::kIo, "full"};
                                          });
  ASSERT_FALSE(summary);
  EXPECT_EQ(summary.error().message, "full");
  EXPECT_EQ(n_calls, 5);
}

TEST(Quantize, NamesTheTensorThatItCannotTake) {
  const TempDir dir;
  const auto error_of_file = [&](GgufBuilder builder, std::string_view mix) {
    const Quantized result = quantize_model(open_model(dir.write("bad.gguf", builder.build())), mix);
    return result.error ? result.error->message : "none";
  };
  auto bytes = floats(512);
  const float bad = NAN;
  std::memcpy(bytes.data() + 4 * 300, &bad, 4);
  GgufBuilder nan;
  nan.add_tensor("a.weight", {256, 2}, quant::DType::kF32, bytes);
  EXPECT_EQ(error_of_file(nan, "Q8_0"), "tensor a.weight, row 1: a weight that is not finite");
  GgufBuilder large;
  large.add_tensor("a.weight", {256, 2}, quant::DType::kF32, floats(512, 1e6F));
  EXPECT_EQ(error_of_file(large, "F16"), "tensor a.weight, row 0: a weight too large for F16");
  EXPECT_EQ(error_of_file(large, "BF16"), "none");
  GgufBuilder quantized;
  quantized.add_tensor("a.weight", {256, 2}, quant::DType::kQ4_0, std::vector<std::byte>(16 * 18));
  EXPECT_NE(error_of_file(quantized, "Q8_0").find("tensor a.weight is Q4_0, expected F32, F16 or BF16"), std::string::npos);
  EXPECT_EQ(error_of_file(quantized, "Q4_0"), "none");  // stays as it is
  EXPECT_FALSE(quantize_model(open_model(dir.write("again.gguf", quantized.build())), "Q8_0", 1, true).error);
}

}  // namespace
}  // namespace woolly::test
