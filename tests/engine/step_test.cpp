// Many sequences in one step: each gets the numbers that it would get alone.
#include <algorithm>
#include <random>

#include "engine/support.h"

namespace woolly::test {
namespace {

std::vector<TokenId> random_text(std::size_t n, std::size_t vocab_size, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<TokenId> tokens(n);
  for (TokenId& token : tokens) token.value = static_cast<std::int32_t>(random() % vocab_size);
  return tokens;
}

std::unique_ptr<Session> made(Result<std::unique_ptr<Session>> session) {
  EXPECT_TRUE(session) << session.error().message;
  return std::move(session).value();
}

class SameNumbersTogether : public testing::TestWithParam<const char*> {};

/// Prompts in ragged chunks, single tokens and pauses, on every table and for several numbers of threads: the logits of
/// every token are those of its sequence alone.
TEST_P(SameNumbersTogether, RaggedStepsOfManySequences) {
  WOOLLY_NEEDS_SHARED(GetParam());
  constexpr std::size_t kLengths[] = {150, 30, 70, 1, 64, 5, 12};
  const SessionOptions kOptions{.n_ctx = 160, .chunk = 80, .max_logit_rows = 24};
  for (const std::string& isa : table_names()) {
    const std::size_t scale = isa == "scalar" ? 3 : 1;
    std::vector<std::vector<float>> expected;
    for (const std::size_t n_threads : {1U, 2U, 3U}) {
      const auto engine = make_engine(isa, n_threads);
      const auto model = load(*engine, GetParam());
      std::vector<std::vector<TokenId>> texts;
      for (const std::size_t n : kLengths) {
        texts.push_back(random_text((n + scale - 1) / scale, model->vocab_size(), static_cast<unsigned>(n)));
      }
      if (expected.empty()) {
        for (const auto& text : texts) expected.push_back(all_logits(*make_session(model, kOptions), text));
      }
      std::vector<std::unique_ptr<Session>> sessions;
      sessions.push_back(make_session(model, kOptions));
      while (sessions.size() < texts.size()) sessions.push_back(made(sessions[0]->sibling()));

      std::mt19937 random(11);
      const auto has_more = [&](std::size_t i) { return sessions[i]->n_tokens() < texts[i].size(); };
      std::size_t n_left = texts.size();
      while (n_left > 0) {
        std::vector<Turn> turns;
        std::vector<std::size_t> who;
        std::size_t room = kOptions.chunk, logit_room = kOptions.max_logit_rows;
        for (std::size_t i = 0; i < texts.size(); ++i) {
          if (!has_more(i) || room == 0 || random() % 4 == 0) continue;
          const std::size_t done = sessions[i]->n_tokens(), left = texts[i].size() - done;
          const std::size_t n = std::min({left, room, random() % 2 == 0 ? std::size_t{1} : 1 + random() % 40});
          const std::size_t n_logits = std::min(logit_room, random() % (n + 1));
          turns.push_back({sessions[i].get(), std::span(texts[i]).subspan(done, n), n_logits});
          who.push_back(i);
          room -= n;
          logit_room -= n_logits;
        }
        if (turns.empty()) continue;
        const auto logits = Session::step(turns);
        ASSERT_TRUE(logits) << logits.error().message;
        std::size_t row = 0;
        for (std::size_t t = 0; t < turns.size(); ++t) {
          const std::size_t first = sessions[who[t]]->n_tokens() - turns[t].n_logits;
          for (std::size_t i = 0; i < turns[t].n_logits; ++i) {
            const auto ours = logits->row(row++);
            const auto alone = expected[who[t]].begin() + static_cast<std::ptrdiff_t>((first + i) * ours.size());
            ASSERT_TRUE(std::equal(ours.begin(), ours.end(), alone))
                << isa << ", " << n_threads << " threads, sequence " << who[t] << ", token " << first + i;
          }
        }
        ASSERT_EQ(logits->n_rows, row);
        n_left = 0;
        for (std::size_t i = 0; i < texts.size(); ++i) n_left += has_more(i) ? 1U : 0U;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Engine, SameNumbersTogether,
                         testing::Values("models/syn-llama-BF16.gguf", "models/syn-qwen3-Q4_K_M.gguf"),
                         [](const auto& tested) {
                           std::string name = std::filesystem::path(tested.param).stem().string();
                           std::ranges::replace(name, '-', '_');
                           return name;
                         });

class StepTest : public testing::Test {
 protected:
  static constexpr std::size_t kContext = 150, kChunk = 100, kLogitRows = 8;

  void SetUp() override {
    WOOLLY_NEEDS_SHARED("models/stories260K.gguf");
    engine_ = make_engine(table_names().back(), 2);
    model_ = load(*engine_, "models/stories260K.gguf");
    text_ = random_text(kContext, model_->vocab_size(), 1);
    other_text_ = random_text(kContext, model_->vocab_size(), 2);
    first_ = make_session(model_, options());
    second_ = made(first_->sibling());
  }

  static SessionOptions options() { return {.n_ctx = kContext, .chunk = kChunk, .max_logit_rows = kLogitRows}; }

  /// The logits after the last of `past` and of `more`, by a session of its own.
  std::vector<float> alone(std::span<const TokenId> past, std::span<const TokenId> more) {
    const auto session = make_session(model_, options());
    if (!past.empty()) {
      EXPECT_TRUE(session->append(past));
    }
    const auto logits = session->append(more);
    EXPECT_TRUE(logits) << logits.error().message;
    return {logits->begin(), logits->end()};
  }
  static bool is_same(std::span<const float> row, const std::vector<float>& expected) {
    return std::equal(row.begin(), row.end(), expected.begin(), expected.end());
  }
  std::span<const TokenId> text(std::size_t from, std::size_t n) const { return std::span(text_).subspan(from, n); }
  std::span<const TokenId> other(std::size_t from, std::size_t n) const {
    return std::span(other_text_).subspan(from, n);
  }

  std::unique_ptr<Engine> engine_;
  std::shared_ptr<const Model> model_;
  std::vector<TokenId> text_, other_text_;
  std::unique_ptr<Session> first_, second_;
};

TEST_F(StepTest, ASiblingHasNoPast) {
  ASSERT_TRUE(first_->append(text(0, 70)));
  const auto sibling = made(first_->sibling());
  EXPECT_EQ(sibling->n_tokens(), 0U);
  EXPECT_EQ(sibling->n_ctx(), kContext);
  first_.reset();
  const auto logits = sibling->append(other(0, 20));
  ASSERT_TRUE(logits);
  EXPECT_TRUE(is_same(*logits, alone({}, other(0, 20)))) << "it outlives the session that it came from";
}

/// Both write into a block that they share, in the same step.
TEST_F(StepTest, ForksGoTheirWaysInOneStep) {
  for (const std::size_t past : {30U, 64U, 90U}) {
    first_->truncate(0);
    ASSERT_TRUE(first_->append(text(0, past)));
    const auto forked = made(first_->fork());
    const Turn turns[] = {{first_.get(), text(past, 1)}, {forked.get(), other(0, 30)}, {second_.get(), other(0, 9)}};
    second_->truncate(0);
    const auto logits = Session::step(turns);
    ASSERT_TRUE(logits) << logits.error().message;
    EXPECT_TRUE(is_same(logits->row(0), alone(text(0, past), text(past, 1)))) << past;
    EXPECT_TRUE(is_same(logits->row(1), alone(text(0, past), other(0, 30)))) << past;
    EXPECT_TRUE(is_same(logits->row(2), alone({}, other(0, 9)))) << past;
  }
}

TEST_F(StepTest, TruncatedSequencesGoOnTogether) {
  Turn turns[] = {{first_.get(), text(0, 40), 0}, {second_.get(), other(0, 60), 0}};
  auto logits = Session::step(turns);
  ASSERT_TRUE(logits) << logits.error().message;
  EXPECT_EQ(logits->n_rows, 0U);
  first_->truncate(13);
  second_->truncate(0);
  turns[0] = {first_.get(), other(0, 5)};
  turns[1] = {second_.get(), text(0, 1)};
  logits = Session::step(turns);
  ASSERT_TRUE(logits) << logits.error().message;
  EXPECT_TRUE(is_same(logits->row(0), alone(text(0, 13), other(0, 5))));
  EXPECT_TRUE(is_same(logits->row(1), alone({}, text(0, 1))));
}

TEST_F(StepTest, OneSessionMayAskForEveryRow) {
  const auto expected = all_logits(*make_session(model_, options()), text(0, kLogitRows));
  const Turn turn{first_.get(), text(0, kLogitRows), kLogitRows};
  const auto logits = Session::step({&turn, 1});
  ASSERT_TRUE(logits) << logits.error().message;
  std::vector<float> rows;
  for (std::size_t i = 0; i < kLogitRows; ++i) {
    const auto row = logits->row(i);
    rows.insert(rows.end(), row.begin(), row.end());
  }
  EXPECT_TRUE(rows == expected);
}

TEST_F(StepTest, RefusesTurnsThatDoNotFitAndLeavesAllAsTheyWere) {
  ASSERT_TRUE(first_->append(text(0, 70)));
  ASSERT_TRUE(second_->append(other(0, 100)));
  const auto stranger = make_session(model_, options());
  const auto vocab_size = static_cast<std::int32_t>(model_->vocab_size());
  const std::vector<TokenId> unknown = ids({1, vocab_size});
  Session* const first = first_.get();
  Session* const second = second_.get();
  struct Case {
    std::vector<Turn> turns;
    ErrorCode code;
    std::vector<std::string> parts;
  };
  const Case cases[] = {
      {{}, ErrorCode::kInvalidArgument, {"no turns"}},
      {{{first, text(70, 1)}, {nullptr, text(0, 1)}}, ErrorCode::kInvalidArgument, {"turn 1", "no session"}},
      {{{first, text(70, 1)}, {second, {}}}, ErrorCode::kInvalidArgument, {"turn 1", "no tokens"}},
      {{{first, text(70, 1)}, {second, unknown}}, ErrorCode::kInvalidArgument, {"turn 1", std::to_string(vocab_size)}},
      {{{first, text(70, 1)}, {second, other(0, 1)}, {first, text(71, 1)}}, ErrorCode::kInvalidArgument, {"turn 2", "turn 0"}},
      {{{first, text(70, 1)}, {stranger.get(), text(0, 1)}}, ErrorCode::kInvalidArgument, {"turn 1", "family"}},
      {{{first, text(70, 2), 3}}, ErrorCode::kInvalidArgument, {"turn 0", "3", "2"}},
      {{{first, text(70, 61)}, {second, other(100, 40)}}, ErrorCode::kInvalidArgument, {"101", "100"}},
      {{{first, text(70, 5), 5}, {second, other(100, 4), 4}}, ErrorCode::kInvalidArgument, {"9", "8"}},
      {{{first, text(0, 70)}, {second, other(0, 10)}, {second, other(0, 1)}}, ErrorCode::kInvalidArgument, {"turn 2", "turn 1"}},
      {{{first, text(70, 40)}, {second, other(0, 51)}}, ErrorCode::kLimitExceeded, {"51", "150"}},
  };
  for (const auto& [turns, code, parts] : cases) {
    const auto logits = Session::step(turns);
    ASSERT_FALSE(logits) << parts[0];
    EXPECT_EQ(logits.error().code, code) << logits.error().message;
    for (const std::string& part : parts) {
      EXPECT_NE(logits.error().message.find(part), std::string::npos) << part << " in " << logits.error().message;
    }
    EXPECT_EQ(first->n_tokens(), 70U);
    EXPECT_EQ(second->n_tokens(), 100U);
  }
  const Turn turns[] = {{first, text(70, 50)}, {second, other(100, 50)}};  // all that they can still take
  const auto logits = Session::step(turns);
  ASSERT_TRUE(logits) << logits.error().message;
  EXPECT_TRUE(is_same(logits->row(0), alone(text(0, 70), text(70, 50))));
  EXPECT_TRUE(is_same(logits->row(1), alone(other(0, 100), other(100, 50))));
}

}  // namespace
}  // namespace woolly::test
