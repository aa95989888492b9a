// What must not change the numbers, and what a sequence can do.
#include <fstream>
#include <random>

#include "engine/support.h"

namespace woolly::test {
namespace {

/// One file of each family of kernels, and one of each architecture.
constexpr const char* kModels[] = {
    "models/syn-llama-F32.gguf",    "models/syn-llama-F16.gguf",    "models/syn-llama-BF16.gguf",
    "models/syn-llama-Q4_0.gguf",   "models/syn-llama-Q4_1.gguf",   "models/syn-llama-Q5_0.gguf",
    "models/syn-llama-Q5_1.gguf",   "models/syn-llama-Q8_0.gguf",   "models/syn-llama-Q2_K.gguf",
    "models/syn-llama-Q3_K_M.gguf", "models/syn-llama-Q5_K_M.gguf", "models/syn-llama-Q6_K.gguf",
    "models/syn-llama-IQ4_NL.gguf", "models/syn-llama-IQ4_XS.gguf", "models/syn-qwen2-Q4_K_M.gguf",
    "models/syn-qwen3-Q4_K_M.gguf", "models/stories260K.gguf",      "models/stories260K-Q8_0.gguf",
};

std::vector<TokenId> random_tokens(std::size_t n, std::size_t vocab_size, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<TokenId> tokens;
  for (std::size_t i = 0; i < n; ++i) tokens.push_back({static_cast<std::int32_t>(random() % vocab_size)});
  return tokens;
}

class SameNumbers : public testing::TestWithParam<const char*> {};

/// On one table results are identical for any number of threads, for any chunk, and between a prompt in one piece and
/// tokens one by one.
TEST_P(SameNumbers, ForAnyThreadsAndChunks) {
  WOOLLY_NEEDS_SHARED(GetParam());
  for (const std::string& isa : table_names()) {
    std::vector<float> expected;
    for (const std::size_t n_threads : {1U, 2U, 3U}) {
      const auto engine = make_engine(isa, n_threads);
      const auto model = load(*engine, GetParam());
      const auto tokens = random_tokens(isa == "scalar" ? 40 : 150, model->vocab_size(), 7);
      for (const std::size_t chunk : {150U, 1U, 7U, 64U}) {
        if (n_threads == 3 && chunk == 1) continue;  // three threads on fewer cores wait for each other at each barrier
        const auto session = make_session(model, {.chunk = chunk, .max_logit_rows = chunk});
        const auto logits = all_logits(*session, tokens);
        if (expected.empty()) expected = logits;
        ASSERT_TRUE(logits == expected) << isa << ", " << n_threads << " threads, chunk " << chunk;
      }
    }
  }
}

/// Prompts and single tokens, from weights that are no copy of the file's.
TEST_P(SameNumbers, FromAMappedFile) {
  WOOLLY_NEEDS_SHARED(GetParam());
  for (const std::string& isa : table_names()) {
    const auto engine = make_engine(isa, 2);
    const auto packed = load(*engine, GetParam()), mapped = load(*engine, GetParam(), {.map_file = true});
    EXPECT_EQ(packed->mapped_bytes(), 0U);
    EXPECT_LT(20 * mapped->weight_bytes(), packed->weight_bytes());
    EXPECT_GT(mapped->mapped_bytes(), 0U);
    EXPECT_LE(mapped->weight_bytes() + mapped->mapped_bytes(), packed->weight_bytes());
    const auto tokens = random_tokens(isa == "scalar" ? 20 : 60, packed->vocab_size(), 8);
    const auto expected = all_logits(*make_session(packed, {.max_logit_rows = 32}), tokens);
    for (const std::size_t chunk : {1U, 3U, 32U}) {
      const auto logits = all_logits(*make_session(mapped, {.max_logit_rows = chunk}), tokens);
      ASSERT_TRUE(logits == expected) << isa << ", " << chunk << " tokens at once";
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Engine, SameNumbers, testing::ValuesIn(kModels), [](const auto& tested) {
  std::string name = std::filesystem::path(tested.param).stem().string();
  for (char& c : name) c = c == '-' ? '_' : c;
  return name;
});

class SessionTest : public testing::Test {
 protected:
  void SetUp() override {
    WOOLLY_NEEDS_SHARED("models/stories260K.gguf");
    engine_ = make_engine(table_names().back(), 2);
    model_ = load(*engine_, "models/stories260K.gguf");
    tokens_ = random_tokens(200, model_->vocab_size(), 1);
  }

  std::vector<float> logits_after(Session& session, std::span<const TokenId> tokens) {
    const auto logits = session.append(tokens);
    EXPECT_TRUE(logits) << logits.error().message;
    return {logits->begin(), logits->end()};
  }
  std::span<const TokenId> tokens(std::size_t from, std::size_t to) const {
    return std::span(tokens_).subspan(from, to - from);
  }

  std::unique_ptr<Engine> engine_;
  std::shared_ptr<const Model> model_;
  std::vector<TokenId> tokens_;
};

TEST_F(SessionTest, TruncateForgetsWhatCameAfter) {
  const auto straight = make_session(model_);
  const auto expected = logits_after(*straight, tokens(0, 100));
  for (const std::size_t keep : {0U, 1U, 63U, 64U, 65U, 99U}) {
    const auto session = make_session(model_);
    logits_after(*session, tokens(0, keep + 1));
    logits_after(*session, tokens(100, 200));
    session->truncate(keep);
    EXPECT_EQ(session->n_tokens(), keep);
    EXPECT_TRUE(logits_after(*session, tokens(keep, 100)) == expected) << keep;
  }
}

TEST_F(SessionTest, ForksShareThePastAndNothingElse) {
  for (const std::size_t shared_past : {30U, 64U, 90U}) {
    const auto first = make_session(model_);
    logits_after(*first, tokens(0, shared_past));
    auto forked = first->fork();
    ASSERT_TRUE(forked);
    const auto ours = logits_after(*first, tokens(shared_past, 120));
    const auto theirs = logits_after(**forked, tokens(150, 200));
    const auto alone = make_session(model_);
    EXPECT_TRUE(logits_after(*alone, tokens(0, 120)) == ours);
    alone->truncate(shared_past);
    EXPECT_TRUE(logits_after(*alone, tokens(150, 200)) == theirs);
  }
}

TEST_F(SessionTest, AForkOutlivesTheSessionItCameFrom) {
  auto first = make_session(model_);
  logits_after(*first, tokens(0, 90));
  auto forked = first->fork();
  ASSERT_TRUE(forked);
  const auto expected = logits_after(*first, tokens(90, 100));
  first.reset();
  EXPECT_TRUE(logits_after(**forked, tokens(90, 100)) == expected);
}

TEST_F(SessionTest, RestoreGoesOnWhereSaveWas) {
  const auto session = make_session(model_);
  logits_after(*session, tokens(0, 90));
  const std::vector<std::byte> state = session->save();
  const auto expected = logits_after(*session, tokens(90, 130));
  const auto other = make_session(model_);
  logits_after(*other, tokens(130, 150));
  ASSERT_TRUE(other->restore(state));
  EXPECT_EQ(other->n_tokens(), 90U);
  EXPECT_TRUE(logits_after(*other, tokens(90, 130)) == expected);
}

TEST_F(SessionTest, RestoreRefusesWhatIsNotItsOwn) {
  const auto session = make_session(model_);
  logits_after(*session, tokens(0, 10));
  const std::vector<std::byte> state = session->save();
  const auto expect_refused = [&](std::span<const std::byte> bytes, const char* why) {
    const Status status = session->restore(bytes);
    ASSERT_FALSE(status) << why;
    EXPECT_NE(status.error().message.find(why), std::string::npos) << status.error().message;
    EXPECT_EQ(session->n_tokens(), 10U);
  };
  for (const std::size_t n : {std::size_t{0}, std::size_t{7}, std::size_t{55}}) {
    expect_refused(std::span(state).first(n), "not a state");
  }
  expect_refused(std::span(state).first(state.size() - 1), "bytes of tokens and blocks");
  std::vector<std::byte> damaged = state;
  damaged[200] ^= std::byte{1};
  expect_refused(damaged, "checksum");
  damaged = state;
  damaged[39] = std::byte{0xFF};  // the top of the number of tokens
  expect_refused(damaged, "tokens, the context is");
  const auto f32 = make_session(model_, {.kv_type = KvType::kF32});
  EXPECT_FALSE(f32->restore(state));
}

TEST_F(SessionTest, RefusesWhatDoesNotFitAndStaysAsItWas) {
  const auto session = make_session(model_, {.n_ctx = 50});
  const auto too_long = session->append(tokens(0, 51));
  ASSERT_FALSE(too_long);
  EXPECT_EQ(too_long.error().code, ErrorCode::kLimitExceeded);
  EXPECT_NE(too_long.error().message.find("51"), std::string::npos);
  EXPECT_NE(too_long.error().message.find("50"), std::string::npos);
  EXPECT_EQ(session->n_tokens(), 0U);
  EXPECT_TRUE(session->append(tokens(0, 50)));
  EXPECT_FALSE(session->append(tokens(0, 1)));
  EXPECT_FALSE(session->append({}));
  session->truncate(0);
  EXPECT_FALSE(session->append(ids({512})));
  EXPECT_FALSE(session->append(ids({-1})));
  EXPECT_EQ(session->n_tokens(), 0U);
}

TEST_F(SessionTest, OptionsHaveRanges) {
  EXPECT_FALSE(Session::create(model_, {.chunk = 0}));
  EXPECT_FALSE(Session::create(model_, {.chunk = 1U << 20U}));
  EXPECT_FALSE(Session::create(model_, {.max_logit_rows = 0}));
  EXPECT_FALSE(Session::create(model_, {.chunk = 8, .max_logit_rows = 9}));
}

TEST(Environment, NamesAKernelTableOrFails) {
  const auto isa_of = [](const char* name, const char* value) {
    setenv(name, value, 1);
    auto engine = Engine::create({.n_threads = 1});
    unsetenv(name);
    return engine ? std::string((*engine)->isa()) : "error: " + engine.error().message;
  };
  EXPECT_EQ(isa_of("WOOLLY_DISABLE_SIMD", "1"), "scalar");
  EXPECT_EQ(isa_of("WOOLLY_DISABLE_SIMD", "0"), table_names().back());
  for (const std::string& name : table_names()) EXPECT_EQ(isa_of("WOOLLY_ISA", name.c_str()), name);
  EXPECT_NE(isa_of("WOOLLY_ISA", "sse9").find("error: WOOLLY_ISA=\"sse9\""), std::string::npos);
}

}  // namespace
}  // namespace woolly::test
