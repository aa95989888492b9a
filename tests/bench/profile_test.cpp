#include "bench/profile.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "bench/measure.h"
#include "exec/support.h"

namespace woolly::bench {
namespace {

using exec::Phase;
using exec::Stage;

constexpr Roof kRoof{
    .read_bytes_per_second = 40e9, .integer_ops_per_second = 900e9, .bytes = 1, .float_ops_per_second = 300e9,
    .bf16_ops_per_second = 600e9};

/// A profile of 10 single tokens in which waiting takes a quarter of the time.
Profile some_profile() {
  StepProfile start{"start"}, qkv{"qkv"};
  start.seconds_in[static_cast<std::size_t>(Phase::kStart)] = 0.001;
  qkv.seconds_in[static_cast<std::size_t>(Phase::kPrepare)] = 0.002;
  qkv.seconds_in[static_cast<std::size_t>(Phase::kKernel)] = 0.004;
  qkv.seconds_in[static_cast<std::size_t>(Phase::kWait)] = 0.001;
  qkv.bytes = 140'000'000;
  qkv.integer_operations = 2'700'000'000;
  return {{Stage::kGeneration, {.n_runs = 10, .n_rows = 10}, {start, qkv}}};
}

TEST(Profile, TextTellsSharesOfTheWholeAndTimesOfAToken) {
  const std::string text = to_text(some_profile(), kRoof);
  for (const char* part : {"generation: 10 tokens in 10 runs, 1250.00 tokens/s",
                           "start             100.00   12.5 %                              12.5 %",
                           "qkv               700.00   87.5 %   25.0 %   50.0 %            12.5 %      14.00    20.00"
                           "    385.71   50.0 %",
                           "all               800.00  100.0 %   25.0 %   50.0 %            25.0 %"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << " in\n" << text;
  }
}

TEST(Profile, JsonHasTheKeysThatProgramsRelyOn) {
  EXPECT_EQ(to_json(some_profile(), kRoof), nlohmann::ordered_json::parse(R"([
      {"stage": "generation", "tokens": 10, "runs": 10, "seconds": 0.008, "steps": [
        {"step": "start", "seconds": 0.001, "share": 0.125, "phases": {"start": 0.001}, "bytes": 0, "operations": 0,
         "roof_share": 0.0},
        {"step": "qkv", "seconds": 0.007, "share": 0.875, "phases": {"prepare": 0.002, "kernel": 0.004, "wait": 0.001},
         "bytes": 140000000, "operations": 2700000000, "roof_share": 0.5}]}])"));
  EXPECT_EQ(to_json(some_profile(), std::nullopt)[0]["steps"][1]["roof_share"], nullptr);
}

TEST(Profile, StepsAreHeldAgainstTheBoundThatTakesLonger) {
  StepProfile qkv = some_profile()[0].steps[1];
  EXPECT_DOUBLE_EQ(roof_share(qkv, kRoof), 0.5);
  qkv.integer_operations = 3'150'000'000;  // 3.5 of 7 ms
  EXPECT_DOUBLE_EQ(roof_share(qkv, kRoof), 0.5);
  qkv.float_operations = 525'000'000;  // 1.75 ms
  EXPECT_DOUBLE_EQ(roof_share(qkv, kRoof), 0.75);
  qkv.bf16_operations = 1'050'000'000;  // as much again
  EXPECT_DOUBLE_EQ(roof_share(qkv, kRoof), 1);
  EXPECT_DOUBLE_EQ(roof_share(StepProfile{"start"}, kRoof), 0);
}

/// A prompt of two chunks and three tokens of TinyModel, F32.
TEST(ProfileOf, StepsOfAllLayersTogetherDoWhatTheModelDoes) {
  const test::TempDir dir;
  const test::TinyModel tiny;
  const test::Loaded loaded(dir.write("tiny.gguf", tiny.build().build()));
  const auto session = Session::create(loaded.model, {.chunk = 32, .kv_type = KvType::kF32});
  ASSERT_TRUE(session);
  const plan::Plan& plan = loaded.model->parts().plan;
  exec::Recorder recorder(plan.steps.size(), 2);
  (*session)->parts().executor->record_to(&recorder);
  ASSERT_TRUE((*session)->append(test::some_tokens(40, 1)));
  for (int i = 0; i < 3; ++i) ASSERT_TRUE((*session)->append(test::some_tokens(1, 1)));

  const Profile profile = profile_of(recorder, plan, (*session)->parts().cache->layout());
  ASSERT_EQ(profile.size(), 2u);
  EXPECT_EQ(profile[0].stage, Stage::kPrompt);
  EXPECT_EQ(profile[1].stage, Stage::kGeneration);
  const ModelWork work = work_of(*loaded.model, KvType::kF32);
  const std::uint64_t row_bytes = tiny.hidden_dim * 4;
  for (const StageProfile& stage : profile) {
    const bool is_prompt = stage.stage == Stage::kPrompt;
    std::vector<std::string> names;
    std::uint64_t matrix_bytes = 0, matrix_operations = 0;
    double seconds = 0;
    for (const StepProfile& step : stage.steps) {
      names.push_back(step.name);
      seconds += step.seconds();
      if (step.name == "embed") {
        EXPECT_EQ(step.bytes, stage.work.n_rows * row_bytes);
      } else if (step.name == "attend") {
        EXPECT_EQ(step.bytes, (is_prompt ? 32u + 40u : 41u + 42u + 43u) * work.cache_bytes_per_position);
        const std::uint64_t n_pairs = is_prompt ? 40u * 41u / 2 : 41u + 42u + 43u;
        EXPECT_EQ(step.float_operations, n_pairs * tiny.n_layers * tiny.n_heads * tiny.head_dim * 4);
      } else {
        matrix_bytes += step.bytes;
        matrix_operations += step.operations();
      }
    }
    EXPECT_EQ(names, (std::vector<std::string>{"start", "embed", "qkv", "attend", "attn_output", "gate_up", "down",
                                               "select_rows", "logits"}));
    // The first chunk of the prompt wants no logits: it goes through no matrix behind the choice of rows.
    const std::uint64_t bytes_of_last = work.parameters_of_last_token * 4;
    EXPECT_EQ(matrix_bytes, stage.work.n_runs * work.matrix_bytes - (is_prompt ? bytes_of_last : 0));
    EXPECT_EQ(matrix_operations, 2 * (stage.work.n_rows * work.parameters_of_each_token +
                                      (is_prompt ? 1 : 3) * work.parameters_of_last_token));
    EXPECT_GT(seconds, 0);
    EXPECT_DOUBLE_EQ(seconds, stage.seconds());
  }
}

/// Three tokens go through three of six experts each; a prompt of 40 in two chunks through all of them, at most.
TEST(ProfileOf, ExpertsAreCountedAsTheyAreUsed) {
  const test::TempDir dir;
  const test::TinyModel tiny{.architecture = "qwen3moe"};
  const test::Loaded loaded(dir.write("tiny.gguf", tiny.build().build()));
  const auto session = Session::create(loaded.model, {.chunk = 32});
  ASSERT_TRUE(session);
  const plan::Plan& plan = loaded.model->parts().plan;
  exec::Recorder recorder(plan.steps.size(), 2);
  (*session)->parts().executor->record_to(&recorder);
  for (int i = 0; i < 3; ++i) ASSERT_TRUE((*session)->append(test::some_tokens(1, 1)));
  ASSERT_TRUE((*session)->append(test::some_tokens(40, 1)));
  const Profile profile = profile_of(recorder, plan, (*session)->parts().cache->layout());
  ASSERT_EQ(profile.size(), 2u);
  const std::uint64_t down = std::uint64_t{tiny.hidden_dim} * tiny.expert_ffn_dim;
  const auto expect = [&](const StageProfile& stage, std::string_view name, std::uint64_t bytes, std::uint64_t operations) {
    const auto step = std::ranges::find(stage.steps, name, &StepProfile::name);
    ASSERT_NE(step, stage.steps.end()) << name;
    EXPECT_EQ(step->bytes, bytes) << name;
    EXPECT_EQ(step->operations(), operations) << name;
    EXPECT_GT(step->seconds(), 0) << name;
  };
  // Three tokens through two layers.
  expect(profile[1], "experts_down", 3 * 2 * 3 * down * 4, 3 * 2 * 3 * down * 2);
  expect(profile[1], "experts_up", 2 * 3 * 2 * 3 * down * 4, 2 * 3 * 2 * 3 * down * 2);
  expect(profile[1], "route", 3 * 2 * 6 * tiny.hidden_dim * 4u, 3 * 2 * 6 * tiny.hidden_dim * 2u);
  // Of the last layer the second chunk computes one row, the first none.
  expect(profile[0], "experts_down", (2 * 6 + 3) * down * 4, (40 + 1) * 3 * down * 2);
  expect(profile[0], "route", 3 * 6 * tiny.hidden_dim * 4u, (40 + 1) * 6 * tiny.hidden_dim * 2u);
}

}  // namespace
}  // namespace woolly::bench
