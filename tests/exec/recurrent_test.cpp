// What a sequence with recurrent state can do: the numbers must be those of a sequence that never went back.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <string>

#include "exec/support.h"

namespace woolly::test {
namespace {

/// One architecture for each kind of state.
class Recurrent : public testing::TestWithParam<const char*> {
 protected:
  Recurrent()
      : path_(dir_.write("tiny.gguf", TinyModel{.architecture = GetParam(), .n_layers = 4}.build().build())),
        loaded_(path_),
        tokens_(some_tokens(300, 1)) {}

  [[nodiscard]] std::unique_ptr<Session> session(const SessionOptions& options = {.chunk = 32, .max_logit_rows = 32}) const {
    auto created = Session::create(loaded_.model, options);
    EXPECT_TRUE(created) << created.error().message;
    return std::move(created).value();
  }
  /// The logits after the last of tokens [from, to).
  std::vector<float> append(Session& to_session, std::size_t from, std::size_t to) const {
    const auto logits = to_session.append(std::span(tokens_).subspan(from, to - from));
    EXPECT_TRUE(logits) << logits.error().message;
    return {logits->begin(), logits->end()};
  }
  void append_one_by_one(Session& to_session, std::size_t from, std::size_t to) const {
    for (std::size_t i = from; i < to; ++i) append(to_session, i, i + 1);
  }

  TempDir dir_;
  std::filesystem::path path_;
  Loaded loaded_;
  std::vector<TokenId> tokens_;
};

INSTANTIATE_TEST_SUITE_P(Exec, Recurrent, testing::Values("lfm2", "qwen35", "granitehybrid", "mamba2"), [](const auto& name) { return std::string(name.param); });

TEST_P(Recurrent, NumbersDoNotDependOnThreadsOrChunks) {
  std::vector<float> expected;
  for (const std::size_t n_threads : {1U, 2U, 3U}) {
    const Loaded loaded(path_, n_threads);
    for (const std::size_t chunk : {1U, 2U, 3U, 7U, 64U, 100U}) {
      if (n_threads == 3 && chunk == 1) continue;  // three threads on fewer cores wait for each other at each barrier
      const auto of = Session::create(loaded.model, {.chunk = chunk, .max_logit_rows = chunk});
      std::vector<float> logits;
      ASSERT_TRUE(of && (*of)->append_each(std::span(tokens_).first(100), [&](std::size_t, std::span<const float> row) {
        logits.insert(logits.end(), row.begin(), row.end());
      }));
      if (expected.empty()) expected = logits;
      EXPECT_TRUE(logits == expected) << n_threads << " threads, chunk " << chunk;
    }
  }
}

/// From a text of chunks, of single tokens and of both, to positions that were kept and others, and once more.
TEST_P(Recurrent, TruncateGoesBackToAnyPosition) {
  const auto straight = session();
  append(*straight, 0, 130);
  const auto expected = append(*straight, 130, 200);
  for (const std::size_t keep : {0U, 1U, 31U, 32U, 33U, 70U, 119U, 120U, 121U, 129U, 130U}) {
    const auto of = session();
    append(*of, 0, 120);
    append_one_by_one(*of, 120, 130);
    append(*of, 200, 300);
    of->truncate(130);
    of->truncate(keep);
    EXPECT_EQ(of->n_tokens(), keep);
    if (keep > 3) {
      append(*of, 250, 260);
      of->truncate(keep - 3);
      append(*of, keep - 3, keep);
    }
    if (keep < 130) append_one_by_one(*of, keep, 130);
    EXPECT_TRUE(append(*of, 130, 200) == expected) << keep;
  }
}

TEST_P(Recurrent, ForksShareThePastAndNothingElse) {
  for (const std::size_t past : {1U, 30U, 64U, 90U}) {
    const auto first = session();
    append(*first, 0, past);
    const auto forked = first->fork();
    ASSERT_TRUE(forked);
    append_one_by_one(*first, past, past + 3);
    append_one_by_one(**forked, 150, 153);
    const auto ours = append(*first, past + 3, 120), theirs = append(**forked, 153, 200);
    const auto again = (*forked)->fork();
    ASSERT_TRUE(again);
    (*again)->truncate(past);
    EXPECT_TRUE(append(**again, past, 120) == ours) << past;
    const auto alone = session();
    EXPECT_TRUE(append(*alone, 0, 120) == ours) << past;
    alone->truncate(past);
    EXPECT_TRUE(append(*alone, 150, 200) == theirs) << past;
  }
}

TEST_P(Recurrent, RestoreGoesOnWhereSaveWas) {
  const auto first = session(), second = session();
  append(*first, 0, 90);
  const auto at_90 = first->save();
  const auto expected = append(*first, 90, 130);
  first->truncate(50);  // between what was kept
  const auto at_50 = first->save();
  append(*second, 200, 240);
  ASSERT_TRUE(second->restore(at_90));
  EXPECT_TRUE(append(*second, 90, 130) == expected);
  ASSERT_TRUE(second->restore(at_50));
  EXPECT_EQ(second->n_tokens(), 50U);
  EXPECT_TRUE(append(*second, 50, 130) == expected);
  ASSERT_TRUE(second->restore(session()->save()));
  EXPECT_EQ(second->n_tokens(), 0U);
  EXPECT_TRUE(append(*second, 0, 130) == expected);
}

/// Tokens that a sequence computes again are looked up in the embedding table; a checksum is no protection.
TEST_P(Recurrent, RestoreRefusesTokensOutsideTheVocabulary) {
  const auto of = session();
  append(*of, 0, 20);
  std::vector<std::byte> state = of->save();
  constexpr std::size_t kHeader = 7 * 8;
  const std::int32_t token = 70;
  std::memcpy(state.data() + kHeader + 5 * sizeof token, &token, sizeof token);
  std::uint64_t hash = 0xCBF29CE484222325;
  std::size_t at = 0;
  for (; at + 8 <= state.size() - 8; at += 8) {
    std::uint64_t word;
    std::memcpy(&word, state.data() + at, sizeof word);
    hash = (hash ^ word) * 0x100000001B3;
  }
  for (; at < state.size() - 8; ++at) hash = (hash ^ std::to_integer<std::uint64_t>(state[at])) * 0x100000001B3;
  std::memcpy(state.data() + state.size() - 8, &hash, sizeof hash);
  const Status status = of->restore(state);
  ASSERT_FALSE(status);
  EXPECT_NE(status.error().message.find("token id 70, allowed are 0 to 69"), std::string::npos) << status.error().message;
  EXPECT_EQ(of->n_tokens(), 20U);
}

/// Sequences that went back share steps with others, also where all that is to be computed again exceeds a chunk.
TEST_P(Recurrent, StepsComputeAgainWhatIsMissing) {
  const auto straight = session();
  const auto expected = append(*straight, 0, 112), expected_one = append(*straight, 112, 113);
  const auto first = session({.chunk = 20, .max_logit_rows = 2});
  const auto second = first->sibling();
  ASSERT_TRUE(second);
  for (const std::size_t keep : {111U, 105U, 40U, 7U}) {
    for (Session* each : {first.get(), second->get()}) {
      each->truncate(0);
      append(*each, 0, 112);
      append_one_by_one(*each, 112, 120);
      each->truncate(keep);
      if (keep < 111) append(*each, keep, 111);
      each->truncate(111);
    }
    const Turn turns[] = {{first.get(), std::span(tokens_).subspan(111, 1)}, {second->get(), std::span(tokens_).subspan(111, 2)}};
    const auto logits = Session::step(turns);
    ASSERT_TRUE(logits) << logits.error().message;
    EXPECT_TRUE(std::ranges::equal(logits->row(0), expected)) << keep;
    EXPECT_TRUE(std::ranges::equal(logits->row(1), expected_one)) << keep;
  }
}

TEST_P(Recurrent, AnExhaustedBudgetCostsTimeButNoNumbers) {
  const auto straight = session();
  const auto expected = append(*straight, 0, 130);
  const auto need = Model::need(*loaded_.engine, path_);
  ASSERT_TRUE(need) << need.error().message;
  EXPECT_GT(need->state, 0U);
  const std::uint64_t of_one = need->state / exec::Sequence::kMostStates;
  const auto budget = std::make_shared<KvBudget>(need->kv_slab + of_one);
  const auto tight = session({.chunk = 32, .kv_budget = budget});
  append(*tight, 0, 60);
  append(*tight, 200, 230);
  const auto forked = tight->fork();
  ASSERT_TRUE(forked);
  const auto refused = (*forked)->append(std::span(tokens_).first(1));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kLimitExceeded);
  (*forked)->truncate(0);
  tight->truncate(60);
  EXPECT_TRUE(append(*tight, 60, 130) == expected);
  EXPECT_LE(budget->taken(), budget->limit());
}

TEST(KvCache, StatesThatNobodyHasMakeRoomForKeys) {
  const Loaded loaded(TempDir().write("tiny.gguf", TinyModel{}.build().build()));
  exec::KvLayout layout = kv_layout(loaded.model->parts().plan, KvType::kF16);
  layout.state_floats = layout.slab_bytes() / sizeof(float);
  const auto budget = std::make_shared<KvBudget>(2 * layout.slab_bytes());
  {
    exec::KvCache cache(layout, budget);
    cache.expect(1, 2);
    const auto first = cache.take_state(), second = cache.take_state();
    ASSERT_TRUE(first && second);
    EXPECT_FALSE(cache.take());
    cache.release_state(*first);
    const auto block = cache.take();
    ASSERT_TRUE(block) << block.error().message;
    EXPECT_FALSE(cache.take_state());
    cache.release_state(*second);
    const auto third = cache.take_state();
    ASSERT_TRUE(third) << third.error().message;
    cache.state(*third)[layout.state_floats - 1] = 1.0F;
    EXPECT_EQ(budget->taken(), budget->limit());
    cache.release(*block);
    cache.release_state(*third);
  }
  EXPECT_EQ(budget->taken(), 0U);
}

}  // namespace
}  // namespace woolly::test
