#include "bench/measure.h"

#include <gtest/gtest.h>

#include "support/temp_dir.h"
#include "support/tiny_model.h"

namespace woolly::bench {
namespace {

using test::TempDir;
using test::TinyModel;

struct Loaded {
  TempDir dir;
  std::unique_ptr<Engine> engine;
  std::shared_ptr<const Model> model;

  explicit Loaded(const TinyModel& tiny) {
    auto created = Engine::create({.n_threads = 2});
    EXPECT_TRUE(created) << created.error().message;
    engine = std::move(created).value();
    auto loaded = Model::load(*engine, dir.write("tiny.gguf", tiny.build().build()));
    EXPECT_TRUE(loaded) << loaded.error().message;
    model = std::move(loaded).value();
  }
};

TEST(Summarize, MedianAndInterquartileRange) {
  EXPECT_EQ(summarize({7}).median, 7);
  EXPECT_EQ(summarize({7}).spread, 0);
  EXPECT_EQ(summarize({4, 2}).median, 3);
  EXPECT_DOUBLE_EQ(summarize({4, 2}).spread, 1.0 / 3);  // quartiles 2.5 and 3.5
  const Summary summary = summarize({50, 10, 40, 20, 30});
  EXPECT_EQ(summary.median, 30);
  EXPECT_DOUBLE_EQ(summary.spread, 20.0 / 30);
  EXPECT_EQ(summarize({30, 30, 30, 30, 1000}).spread, 0) << "one that stands out does not count";
}

TEST(Test, IsNamedAsByLlamaBench) {
  EXPECT_EQ((bench::Test{bench::Test::Kind::kPrompt, 512}).name(), "pp512");
  EXPECT_EQ((bench::Test{bench::Test::Kind::kGenerate, 64}).name(), "tg64");
}

/// The matrices of TinyModel, F32: what lies before the rows with logits are chosen, and what after.
TEST(WorkOf, CountsEachMatrixButTheTableOfEmbeddings) {
  for (const bool is_tied : {false, true}) {
    const TinyModel tiny{.is_tied = is_tied};
    const Loaded loaded(tiny);
    const ModelWork work = work_of(*loaded.model, KvType::kF16);
    const std::uint64_t q_dim = tiny.n_heads * tiny.head_dim, kv_dim = tiny.n_kv_heads * tiny.head_dim;
    const std::uint64_t layer = tiny.hidden_dim * (2 * q_dim + 2 * kv_dim + 3 * tiny.ffn_dim);
    const std::uint64_t all = tiny.n_layers * layer + tiny.vocab_size * tiny.hidden_dim;
    EXPECT_EQ(work.parameters_of_each_token + work.parameters_of_last_token, all);
    EXPECT_GE(work.parameters_of_last_token, tiny.vocab_size * tiny.hidden_dim);
    EXPECT_GE(work.parameters_of_each_token, (tiny.n_layers - 1) * layer);
    EXPECT_EQ(work.matrix_bytes, all * 4);
    // Keys as they are, values padded to 16: two bytes each.
    EXPECT_EQ(work.cache_bytes_per_position, tiny.n_layers * tiny.n_kv_heads * (tiny.head_dim + 16) * 2);
    EXPECT_EQ(work_of(*loaded.model, KvType::kF32).cache_bytes_per_position, 2 * work.cache_bytes_per_position);
  }
}

TEST(RoofShare, OfReadsForTokensAndOfOperationsForPrompts) {
  const ModelWork work{.matrix_bytes = 1000,
                       .parameters_of_each_token = 90,
                       .parameters_of_last_token = 40,
                       .cache_bytes_per_position = 10};
  const Roof roof{.read_bytes_per_second = 1e6, .integer_ops_per_second = 1e5, .bytes = 0};
  // 1000 + 10 * (1 + 2 + 3) / 3 bytes a token.
  EXPECT_DOUBLE_EQ(roof_share({bench::Test::Kind::kGenerate, 3}, 500, work, roof), 1020 * 500 / 1e6);
  // 2 * (90 * 4 + 40) operations for 4 tokens.
  EXPECT_DOUBLE_EQ(roof_share({bench::Test::Kind::kPrompt, 4}, 100, work, roof), 800.0 / 4 * 100 / 1e5);
}

TEST(Runner, RunsEachTestFromAnEmptyCache) {
  const Loaded loaded(TinyModel{});
  const bench::Test tests[] = {{bench::Test::Kind::kPrompt, 100}, {bench::Test::Kind::kGenerate, 7}};
  auto runner = Runner::create(loaded.model, tests, {.chunk = 32});
  ASSERT_TRUE(runner) << runner.error().message;
  for (int i = 0; i < 3; ++i) {
    for (const bench::Test& test : tests) {
      const auto rate = runner->run(test);
      ASSERT_TRUE(rate) << rate.error().message;
      EXPECT_GT(rate.value(), 0);
      EXPECT_EQ(runner->session().n_tokens(), test.n);
    }
  }
}

}  // namespace
}  // namespace woolly::bench
