#include "bench/measure.h"

#include <gtest/gtest.h>

#include "engine/parts.h"
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
  EXPECT_EQ((bench::Test{bench::Test::Kind::kPrompt, 512, 4096}).name(), "pp512@4096");
  EXPECT_EQ((bench::Test{bench::Test::Kind::kGenerate, 64, 4096}).name(), "tg64@4096");
  EXPECT_EQ((bench::Test{bench::Test::Kind::kGenerate, 64, 0, 8}).name(), "tg64x8");
  EXPECT_EQ((bench::Test{bench::Test::Kind::kGenerate, 64, 4096, 8}).name(), "tg64x8@4096");
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

TEST(WorkOf, CountsTheExpertsThatATokenGoesThrough) {
  const TinyModel tiny{.architecture = "qwen3moe"};
  const Loaded loaded(tiny);
  const ModelWork work = work_of(*loaded.model, KvType::kF16);
  const std::uint64_t q_dim = tiny.n_heads * tiny.head_dim, kv_dim = tiny.n_kv_heads * tiny.head_dim;
  const std::uint64_t experts = tiny.n_experts + 3 * tiny.n_experts_used * tiny.expert_ffn_dim;  // the router is one matrix
  const std::uint64_t layer = tiny.hidden_dim * (2 * q_dim + 2 * kv_dim + experts);
  const std::uint64_t all = tiny.n_layers * layer + tiny.vocab_size * tiny.hidden_dim;
  EXPECT_EQ(work.parameters_of_each_token + work.parameters_of_last_token, all);
  EXPECT_EQ(work.matrix_bytes, all * 4);
}

TEST(RoofShare, OfReadsForTokensAndOfOperationsForPrompts) {
  const ModelWork work{.matrix_bytes = 1000,
                       .parameters_of_each_token = 90,
                       .parameters_of_last_token = 40,
                       .cache_bytes_per_position = 10};
  const Roof roof{.read_bytes_per_second = 1e6, .integer_ops_per_second = 1e5, .bytes = 0};
  // 1000 + 10 * (1 + 2 + 3) / 3 bytes a token.
  EXPECT_DOUBLE_EQ(roof_share({bench::Test::Kind::kGenerate, 3}, 500, work, roof), 1020 * 500 / 1e6);
  // Five sequences: 1000 + 5 * 10 * (100 + 2) bytes a step, which gives five tokens.
  EXPECT_DOUBLE_EQ(roof_share({bench::Test::Kind::kGenerate, 3, 100, 5}, 500, work, roof), 6100 * 100 / 1e6);
  // 2 * (90 * 4 + 40) operations for 4 tokens.
  EXPECT_DOUBLE_EQ(roof_share({bench::Test::Kind::kPrompt, 4}, 100, work, roof), 800.0 / 4 * 100 / 1e5);
  EXPECT_DOUBLE_EQ(roof_share({bench::Test::Kind::kPrompt, 4, 100}, 100, work, roof), 800.0 / 4 * 100 / 1e5);
}

/// Up and down, so that pasts become longer and shorter and sequences come and go. What a run computes shows in what the
/// recorder counts: tokens, the positions that they see and those that the cache held.
TEST(Runner, RunsEachTestFromItsPast) {
  using enum bench::Test::Kind;
  const Loaded loaded(TinyModel{});
  const bench::Test tests[] = {{kPrompt, 100},     {kGenerate, 7},      {kPrompt, 40, 90},     {kGenerate, 7, 130},
                               {kGenerate, 5, 0, 3}, {kGenerate, 5, 70, 4}, {kGenerate, 3, 130, 2}, {kPrompt, 3}};
  auto runner = Runner::create(loaded.model, tests, {.chunk = 32});
  ASSERT_TRUE(runner) << runner.error().message;
  exec::Recorder recorder(loaded.model->parts().plan.steps.size(), 2);
  for (int i = 0; i < 2; ++i) {
    for (const bench::Test& test : tests) {
      ASSERT_TRUE(runner->run(test)) << test.name();  // computes the past
      recorder.clear_sums();
      runner->session().parts().executor->record_to(&recorder);
      const auto rate = runner->run(test);
      runner->session().parts().executor->record_to(nullptr);
      ASSERT_TRUE(rate) << rate.error().message;
      EXPECT_GT(rate.value(), 0);
      EXPECT_EQ(runner->session().n_tokens(), test.depth) << test.name();
      const exec::Work& work = recorder.work(test.kind == kPrompt ? exec::Stage::kPrompt : exec::Stage::kGeneration);
      EXPECT_EQ(work.n_rows, test.n * test.n_sequences) << test.name();
      EXPECT_EQ(work.n_pairs, test.n_sequences * (test.n * test.depth + test.n * (test.n + 1) / 2)) << test.name();
      EXPECT_EQ(work.n_logit_rows, test.kind == kPrompt ? 1 : work.n_rows) << test.name();
      EXPECT_EQ(work.n_runs, test.kind == kPrompt ? (test.n + 31) / 32 : test.n) << test.name();
    }
  }
}

TEST(Runner, RefusesMoreSequencesThanAChunkHolds) {
  const Loaded loaded(TinyModel{});
  const bench::Test test{bench::Test::Kind::kGenerate, 7, 0, 33};
  const auto runner = Runner::create(loaded.model, {&test, 1}, {.chunk = 32});
  ASSERT_FALSE(runner);
  for (const char* part : {"tg7x33", "33 sequences", "32 tokens"}) {
    EXPECT_NE(runner.error().message.find(part), std::string::npos) << part << " in " << runner.error().message;
  }
}

}  // namespace
}  // namespace woolly::bench
