#include "exec/recorder.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <optional>
#include <set>

#include "exec/support.h"

namespace woolly::exec {
namespace {

constexpr Stage kBothStages[] = {Stage::kPrompt, Stage::kGeneration};

std::vector<Phase> all_phases() {
  std::vector<Phase> phases;
  for (std::size_t i = 0; i < kPhases; ++i) phases.push_back(static_cast<Phase>(i));
  return phases;
}

/// A session of a tiny model whose executor is recorded.
class Recorded : public testing::Test {
 protected:
  static constexpr std::size_t kThreads = 2;

  Recorded() : loaded_(dir_.write("tiny.gguf", test::TinyModel{.architecture = "qwen3moe"}.build().build()), kThreads) {
    auto session = Session::create(loaded_.model, {.chunk = 32});
    EXPECT_TRUE(session) << session.error().message;
    session_ = std::move(session).value();
  }

  Recorder& record(std::size_t max_spans = 0) {
    recorder_.emplace(plan().steps.size(), kThreads, max_spans);
    session_->parts().executor->record_to(&*recorder_);
    return *recorder_;
  }

  /// The logits after `n` more tokens at once.
  std::vector<float> append(std::size_t n) {
    const auto logits = session_->append(test::some_tokens(n, 3));
    EXPECT_TRUE(logits) << logits.error().message;
    return {logits->begin(), logits->end()};
  }

  const plan::Plan& plan() { return loaded_.model->parts().plan; }

  const test::TempDir dir_;
  test::Loaded loaded_;
  std::unique_ptr<Session> session_;
  std::optional<Recorder> recorder_;
};

TEST_F(Recorded, RecordingChangesNoResult) {
  const auto prompt = append(40), token = append(1);
  session_->truncate(0);
  record(1000);
  EXPECT_EQ(append(40), prompt);
  EXPECT_EQ(append(1), token);
}

TEST_F(Recorded, WorkIsCountedByStage) {
  const Recorder& recorder = record();
  append(40);  // chunks of 32 and 8
  append(1);
  append(1);
  const Work& prompt = recorder.work(Stage::kPrompt);
  EXPECT_EQ(prompt.n_runs, 2u);
  EXPECT_EQ(prompt.n_rows, 40u);
  EXPECT_EQ(prompt.n_logit_runs, 1u);
  EXPECT_EQ(prompt.n_logit_rows, 1u);
  EXPECT_EQ(prompt.n_positions, 32u + 40u);
  EXPECT_EQ(prompt.n_pairs, 40u * 41u / 2u);
  const Work& generation = recorder.work(Stage::kGeneration);
  EXPECT_EQ(generation.n_runs, 2u);
  EXPECT_EQ(generation.n_rows, 2u);
  EXPECT_EQ(generation.n_logit_runs, 2u);
  EXPECT_EQ(generation.n_logit_rows, 2u);
  EXPECT_EQ(generation.n_positions, 41u + 42u);
  EXPECT_EQ(generation.n_pairs, 41u + 42u);
}

TEST_F(Recorded, EveryStepHasItsPhasesAndNoOther) {
  const Recorder& recorder = record();
  append(40);
  append(1);
  for (std::size_t step = 0; step < plan().steps.size(); ++step) {
    const plan::Op& op = plan().steps[step].op;
    std::set<Phase> allowed = {Phase::kWait}, expected = {Phase::kWait};
    if (std::holds_alternative<plan::Embed>(op)) expected.insert({Phase::kStart, Phase::kEmbed});
    if (std::holds_alternative<plan::Linear>(op)) expected.insert({Phase::kPrepare, Phase::kKernel, Phase::kEpilogue});
    if (std::holds_alternative<plan::Route>(op)) expected.insert({Phase::kPrepare, Phase::kKernel});
    if (std::holds_alternative<plan::ExpertsUp>(op)) expected.insert({Phase::kPrepare, Phase::kKernel, Phase::kEpilogue});
    if (std::holds_alternative<plan::ExpertsDown>(op)) expected.insert({Phase::kPrepare, Phase::kKernel, Phase::kEpilogue});
    if (std::holds_alternative<plan::Attend>(op)) expected.insert({Phase::kAppend, Phase::kAttention});
    for (const Stage stage : kBothStages) {
      const bool is_idle = std::holds_alternative<plan::SelectRows>(op) && stage == Stage::kGeneration;
      if (std::holds_alternative<plan::SelectRows>(op) && !is_idle) expected.insert(Phase::kSelect);
      for (const Phase phase : all_phases()) {
        // The experts of several rows are chosen here, those of one row in the step behind.
        if (phase == Phase::kEpilogue && std::holds_alternative<plan::Route>(op)) continue;
        EXPECT_EQ(recorder.nanoseconds(stage, step, phase) > 0, !is_idle && expected.contains(phase))
            << plan().steps[step].name << ", " << name_of(phase);
      }
      expected.erase(Phase::kSelect);
    }
  }
}

TEST_F(Recorded, SumsAreNoMoreThanTheTimeOfAllThreads) {
  const Recorder& recorder = record();
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < 20; ++i) append(1);
  const auto elapsed = std::chrono::nanoseconds(std::chrono::steady_clock::now() - begin).count();
  std::int64_t sum = 0;
  for (std::size_t step = 0; step < plan().steps.size(); ++step) {
    for (const Phase phase : all_phases()) sum += recorder.nanoseconds(Stage::kGeneration, step, phase);
  }
  EXPECT_LE(sum, elapsed * static_cast<std::int64_t>(kThreads));
  EXPECT_GT(sum, 0);
}

TEST_F(Recorded, SpansCoverEachRunWithoutGapsAndAddUpToTheSums) {
  const Recorder& recorder = record(100'000);
  append(40);
  for (int i = 0; i < 5; ++i) append(1);
  EXPECT_EQ(recorder.n_runs_without_spans(), 0u);
  std::map<Phase, std::int64_t> of_spans, of_sums;
  for (std::size_t thread = 0; thread < kThreads; ++thread) {
    std::size_t n_runs = 0;
    const Span* before = nullptr;
    for (const Span& span : recorder.spans(thread)) {
      ASSERT_LT(span.step, plan().steps.size());
      EXPECT_LE(span.begin_ns + span.second_ns, span.end_ns);
      if (span.phase == Phase::kStart) {
        ++n_runs;
        EXPECT_EQ(span.step, 0u);
        EXPECT_TRUE(before == nullptr || before->end_ns <= span.begin_ns);
      } else {
        EXPECT_EQ(span.begin_ns, before->end_ns);
        EXPECT_GE(span.step, before->step);
      }
      const bool is_kernel = span.phase == Phase::kKernel, is_append = span.phase == Phase::kAppend;
      of_spans[span.phase] += span.end_ns - span.begin_ns - span.second_ns;
      if (is_kernel || is_append) of_spans[is_kernel ? Phase::kEpilogue : Phase::kAttention] += span.second_ns;
      before = &span;
    }
    EXPECT_EQ(n_runs, 7u);
    EXPECT_EQ(before->step, plan().steps.size() - 1);
    EXPECT_EQ(before->n_rows, 1u);
    EXPECT_EQ(recorder.spans(thread).front().n_rows, 32u);
  }
  for (const Phase phase : all_phases()) {
    for (const Stage stage : kBothStages) {
      for (std::size_t step = 0; step < plan().steps.size(); ++step) {
        of_sums[phase] += recorder.nanoseconds(stage, step, phase);
      }
    }
    EXPECT_EQ(of_spans[phase], of_sums[phase]) << name_of(phase);
  }
}

TEST_F(Recorded, AFullTimelineKeepsWholeRunsAndCountsTheOthers) {
  const Recorder& recorder = record(1);  // room for the longest run there can be
  append(1);
  const auto n_of_a_token = recorder.spans(0).size();
  ASSERT_GT(n_of_a_token, 0u);
  std::uint64_t n_tokens = 1;
  for (; recorder.n_runs_without_spans() < 3; ++n_tokens) append(1);
  EXPECT_EQ(recorder.spans(0).size(), n_of_a_token * (n_tokens - 3));
  EXPECT_EQ(recorder.spans(0).back().step, plan().steps.size() - 1);
}

TEST_F(Recorded, ClearingTheSumsKeepsSpans) {
  Recorder& recorder = record(1000);
  append(1);
  const std::size_t n_spans = recorder.spans(0).size();
  recorder.clear_sums();
  EXPECT_EQ(recorder.work(Stage::kGeneration).n_rows, 0u);
  EXPECT_EQ(recorder.nanoseconds(Stage::kGeneration, 1, Phase::kKernel), 0);
  EXPECT_EQ(recorder.spans(0).size(), n_spans);
}

}  // namespace
}  // namespace woolly::exec
