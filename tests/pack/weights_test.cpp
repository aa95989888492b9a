#include "pack/weights.h"

#include <gtest/gtest.h>

#include <cstring>

#include "arch/architecture.h"
#include "gguf/load.h"
#include "kernels/dispatch.h"
#include "support/shared.h"
#include "support/temp_dir.h"
#include "support/tiny_model.h"

namespace woolly::test {
namespace {

/// A model up to its weights, and its file to read from.
struct Packed {
  os::TensorSource source;
  gguf::File file;
  plan::Plan plan;
  pack::Weights weights;
};

Result<plan::Plan> compile(const gguf::File& file, const kernels::KernelTable& table, plan::MatrixPlace place) {
  WOOLLY_TRY(const arch::Architecture* architecture, arch::find(file.metadata));
  WOOLLY_TRY(model::Spec spec, architecture->read_spec(file.metadata));
  plan::GraphBuilder builder(std::move(spec), file);
  architecture->build(builder);
  WOOLLY_TRY(plan::Graph graph, builder.finish());
  return plan::compile(std::move(graph), table, place);
}

Result<Packed> open(const std::filesystem::path& path, plan::MatrixPlace place, std::size_t n_threads,
                    const kernels::KernelTable& table = *kernels::available_tables().back()) {
  WOOLLY_TRY(const auto pool, os::ThreadPool::create(n_threads));
  const os::Access access = place == plan::MatrixPlace::kFile ? os::Access::kMap : os::Access::kRead;
  WOOLLY_TRY(os::TensorSource weights_source, os::TensorSource::open(path, access));
  WOOLLY_TRY(gguf::File file, gguf::load(weights_source));
  WOOLLY_TRY(plan::Plan plan, compile(file, table, place));
  WOOLLY_TRY(pack::Weights weights, pack::fulfil(plan, std::move(weights_source), *pool));
  WOOLLY_TRY(os::TensorSource source, os::TensorSource::open(path));
  return Packed{std::move(source), std::move(file), std::move(plan), std::move(weights)};
}

/// Every row of every matrix comes back as the file's own decoder gives it.
void expect_every_weight(const Packed& packed) {
  for (const plan::PackedMatrix& matrix : packed.plan.matrices) {
    const auto n_cols = static_cast<std::size_t>(matrix.n_cols);
    const auto n_rows = static_cast<std::size_t>(matrix.n * matrix.n_rows);
    std::vector<std::byte> bytes(static_cast<std::size_t>(matrix.tensor->size));
    ASSERT_TRUE(packed.source.read(matrix.tensor->file, matrix.tensor->offset, bytes));
    std::vector<float> expected(n_cols * n_rows), row(n_cols);
    const quant::DTypeInfo& info = quant::info(matrix.tensor->type);
    info.decode(bytes.data(), n_cols * n_rows / info.block_k, expected.data());
    std::vector<std::byte> scratch(pack::Weights::row_scratch_bytes(matrix));
    for (std::size_t i = 0; i < n_rows; ++i) {
      packed.weights.decode_row(matrix, i, scratch.data(), row.data());
      ASSERT_EQ(std::memcmp(row.data(), expected.data() + i * n_cols, n_cols * sizeof(float)), 0)
          << matrix.tensor->name << " row " << i;
    }
  }
}

class Pack : public testing::TestWithParam<const char*> {};

/// Packed or in the mapped file, by one thread or three, on all tables.
TEST_P(Pack, KeepsEveryWeight) {
  const std::string path = std::string("models/") + GetParam();
  WOOLLY_NEEDS_SHARED(path);
  for (const kernels::KernelTable* table : kernels::available_tables()) {
    for (const plan::MatrixPlace place : {plan::MatrixPlace::kPanels, plan::MatrixPlace::kFile}) {
      const auto packed = open(shared(path), place, place == plan::MatrixPlace::kPanels ? 3 : 1, *table);
      ASSERT_TRUE(packed) << packed.error().message;
      expect_every_weight(*packed);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Weights, Pack,
                         testing::Values("syn-llama-F32.gguf", "syn-llama-Q4_K_M.gguf", "syn-llama-Q2_K.gguf",
                                         "syn-llama-Q3_K_M.gguf", "syn-llama-IQ4_XS.gguf", "stories260K-Q8_0.gguf"),
                         [](const auto& tested) {
                           std::string name = tested.param;
                           for (char& c : name) c = std::isalnum(static_cast<unsigned char>(c)) != 0 ? c : '_';
                           return name;
                         });

/// A matrix of more bytes than a thread takes at once, which ends within a panel.
TEST(Weights, ThreadsShareALargeMatrix) {
  const TempDir dir;
  TinyModel model;
  model.n_layers = 1;
  model.hidden_dim = 64;
  model.vocab_size = 40001;
  model.is_tied = true;
  const auto path = dir.write("large.gguf", model.build().build());
  for (const std::size_t n_threads : {std::size_t{1}, std::size_t{3}}) {
    const auto packed = open(path, plan::MatrixPlace::kPanels, n_threads);
    ASSERT_TRUE(packed) << packed.error().message;
    expect_every_weight(*packed);
  }
}

/// Stacks of matrices that end within a panel: of one share, and of several that begin within a stack.
TEST(Weights, KeepEveryExpert) {
  const TempDir dir;
  for (const std::uint32_t ffn_dim : {1U, 40U, 3001U}) {
    TinyModel model{.architecture = "qwen3moe", .n_layers = 1};
    model.n_experts = 40;
    model.expert_ffn_dim = ffn_dim;
    const auto path = dir.write("experts.gguf", model.build().build());
    for (const plan::MatrixPlace place : {plan::MatrixPlace::kPanels, plan::MatrixPlace::kFile}) {
      const auto packed = open(path, place, 3);
      ASSERT_TRUE(packed) << packed.error().message;
      expect_every_weight(*packed);
    }
  }
}

TEST(Weights, AFileThatIsCutAfterItWasOpenedIsAnError) {
  const TempDir dir;
  const auto path = dir.write("tiny.gguf", TinyModel{}.build().build());
  const auto pool = os::ThreadPool::create(2);
  auto source = os::TensorSource::open(path);
  ASSERT_TRUE(pool && source);
  const auto file = gguf::load(*source);
  ASSERT_TRUE(file);
  const auto plan = compile(*file, *kernels::available_tables().back(), plan::MatrixPlace::kPanels);
  ASSERT_TRUE(plan);
  std::filesystem::resize_file(path, std::filesystem::file_size(path) / 2);
  const auto weights = pack::fulfil(*plan, std::move(*source), **pool);
  ASSERT_FALSE(weights);
  EXPECT_NE(weights.error().message.find("tiny.gguf"), std::string::npos) << weights.error().message;
}

}  // namespace
}  // namespace woolly::test
