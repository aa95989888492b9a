#include "exec/input_squares.h"

#include <gtest/gtest.h>

#include <cmath>

#include "engine/parts.h"
#include "exec/support.h"
#include "gguf/load.h"

namespace woolly::test {
namespace {

/// The sums of all steps, one after the other, and how many rows each matrix saw.
struct Counted {
  std::vector<double> squares;
  std::vector<std::uint64_t> n_rows;
};

Counted count(const std::filesystem::path& path, std::span<const TokenId> tokens, std::size_t n_threads, std::size_t chunk) {
  const Loaded loaded(path, n_threads);
  const auto session = Session::create(loaded.model, {.chunk = chunk});
  EXPECT_TRUE(session);
  exec::InputSquares squares(loaded.model->parts().plan);
  exec::Executor& executor = *(*session)->parts().executor;
  executor.count_inputs(&squares);
  EXPECT_TRUE((*session)->append(tokens));
  executor.count_inputs(nullptr);
  EXPECT_TRUE((*session)->append(tokens.first(1)));  // is not counted
  Counted counted;
  for (std::size_t step = 0; step < loaded.model->parts().plan.steps.size(); ++step) {
    for (const exec::InputSquares::Sums& sums : squares.of(step)) {
      counted.squares.insert(counted.squares.end(), sums.squares.begin(), sums.squares.end());
      counted.n_rows.push_back(sums.n_rows);
    }
  }
  return counted;
}

/// The first matrices read the normed embeddings.
TEST(InputSquares, AreThoseOfTheNormedRows) {
  const TempDir dir;
  const auto path = dir.write("tiny.gguf", TinyModel{}.build().build());
  const auto tokens = some_tokens(40, 5);
  const Counted counted = count(path, tokens, 2, 16);

  const auto source = os::TensorSource::open(path);
  const auto file = gguf::load(*source);
  const auto floats = [&](std::string_view name) {
    const gguf::TensorView& tensor = *file->find_tensor(name);
    std::vector<float> values(tensor.size / 4);
    EXPECT_TRUE(source->read(0, tensor.offset, std::as_writable_bytes(std::span(values))));
    return values;
  };
  const std::vector<float> table = floats("token_embd.weight"), norm = floats("blk.0.attn_norm.weight");
  const std::size_t n = norm.size();
  std::vector<double> expected(n);
  for (const TokenId token : tokens) {
    const float* x = table.data() + static_cast<std::size_t>(token.value) * n;
    double mean = 0;
    for (std::size_t i = 0; i < n; ++i) mean += static_cast<double>(x[i]) * static_cast<double>(x[i]) / static_cast<double>(n);
    for (std::size_t i = 0; i < n; ++i) {
      expected[i] += std::pow(static_cast<double>(x[i]) * static_cast<double>(norm[i]), 2) / (mean + 1e-5);
    }
  }
  for (std::size_t i = 0; i < n; ++i) EXPECT_NEAR(counted.squares[i], expected[i], 1e-5 * expected[i]);
  EXPECT_EQ(counted.n_rows.front(), tokens.size());
  EXPECT_EQ(counted.n_rows.back(), 1U);  // the output's
}

TEST(InputSquares, AreTheSameForAnyThreadsAndChunks) {
  const TempDir dir;
  const auto tokens = some_tokens(40, 6);
  for (const TinyModel& model : {TinyModel{}, TinyModel{.architecture = "qwen3moe"}}) {
    const auto path = dir.write("tiny.gguf", model.build().build());
    const Counted expected = count(path, tokens, 1, 40);
    for (const std::size_t n_threads : {1U, 3U}) {
      for (const std::size_t chunk : {1U, 7U, 40U}) {
        const Counted counted = count(path, tokens, n_threads, chunk);
        EXPECT_TRUE(counted.squares == expected.squares)
            << model.architecture << ", " << n_threads << " threads, chunks of " << chunk;
        EXPECT_EQ(counted.n_rows, expected.n_rows);
      }
    }
    if (model.architecture != "qwen3moe") continue;
    std::uint64_t of_experts = 0;
    for (std::size_t i = 2; i < 2 + model.n_experts; ++i) of_experts += expected.n_rows[i];  // behind qkv and output
    EXPECT_EQ(of_experts, tokens.size() * model.n_experts_used);
  }
}

}  // namespace
}  // namespace woolly::test
