#include "speculate/generator.h"

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <random>

#include "engine/support.h"
#include "speculate/lookup_drafter.h"
#include "speculate/model_drafter.h"
#include "support/temp_dir.h"
#include "support/tiny_model.h"

namespace woolly::speculate {
namespace {

using test::ids;

constexpr const char* kModel = "models/stories260K-Q8_0.gguf";
const std::vector<std::int32_t> kPrompt = {1, 403, 407, 261, 378, 403, 407, 261};

/// Every pass takes as long as any other and drafting nothing, so that drafts are made wherever they are ever right.
double even_clock() {
  static int n_read = 0;
  static double time = 0;
  if (++n_read % 3 == 0) time += 1;
  return time;
}

/// What generation is by definition: one token after the other.
std::vector<TokenId> plain_text(const std::shared_ptr<const Model>& model, const SamplingOptions& sampling,
                                std::size_t n_ctx, std::size_t n) {
  const auto session = test::make_session(model, {.n_ctx = n_ctx});
  auto sampler = sample::Sampler::create(sampling, model->vocab_size());
  EXPECT_TRUE(sampler);
  const std::vector<TokenId> prompt = ids(kPrompt);
  for (const TokenId token : prompt) sampler->accept(token);
  auto logits = session->append(prompt);
  std::vector<TokenId> text;
  while (text.size() < n) {
    EXPECT_TRUE(logits);
    text.push_back(sampler->pick(*logits));
    sampler->accept(text.back());
    if (text.size() < n) logits = session->append({&text.back(), 1});
  }
  return text;
}

struct Generated {
  std::vector<TokenId> text;
  DraftCounts counts;
};

Generated generated_text(const std::shared_ptr<const Model>& model, const SamplingOptions& sampling, std::size_t n_ctx,
                         std::size_t n, Drafter* drafter, std::size_t logit_rows = Generator::kLogitRows) {
  const auto session = test::make_session(model, {.n_ctx = n_ctx, .max_logit_rows = logit_rows});
  auto sampler = sample::Sampler::create(sampling, model->vocab_size());
  EXPECT_TRUE(sampler);
  Generator generator(*session, std::move(*sampler), model->vocab_size(), drafter, even_clock);
  EXPECT_TRUE(generator.append(ids(kPrompt)));
  Generated result;
  while (result.text.size() < n) {
    const auto token = generator.pick();
    EXPECT_TRUE(token) << token.error().message;
    if (!token) break;
    generator.accept(*token);
    result.text.push_back(*token);
  }
  result.counts = generator.draft_counts();
  return result;
}

/// Right now and then, and always sure of itself.
class GuessingDrafter final : public Drafter {
 public:
  GuessingDrafter(std::vector<TokenId> text, std::size_t vocab_size) : text_(std::move(text)), vocab_(vocab_size) {}
  [[nodiscard]] std::span<const double> priors() const noexcept override { return kPriors; }
  [[nodiscard]] DraftingCost cost() const noexcept override { return {}; }
  [[nodiscard]] bool is_free() const noexcept override { return true; }
  Status append(std::span<const TokenId>) override { return {}; }
  void accept(TokenId) override { ++at_; }
  void truncate(std::size_t) override {}  // the text only grows
  Result<std::span<const Draft>> propose(std::size_t n) override {
    drafts_.clear();
    for (std::size_t i = 0; i < n; ++i) {
      const bool is_right = at_ + i < text_.size() && random_() % 5 != 0;
      drafts_.push_back({is_right ? text_[at_ + i] : TokenId{static_cast<std::int32_t>(random_() % vocab_)}});
    }
    return std::span<const Draft>(drafts_);
  }

 private:
  static constexpr std::array<double, 1> kPriors = {0.99};
  std::vector<TokenId> text_;
  std::size_t vocab_, at_ = 0;
  std::mt19937 random_{5};
  std::vector<Draft> drafts_;
};

std::vector<SamplingOptions> samplings() {
  std::vector<SamplingOptions> all = {{.temperature = 0}, {.temperature = 0, .repeat_penalty = 1.2F}};
  for (const std::uint64_t seed : {1U, 2U, 3U}) all.push_back({.seed = seed});
  all.push_back({.temperature = 1.2F, .repeat_penalty = 1.1F, .frequency_penalty = 0.2F, .repeat_last_n = 16, .seed = 4});
  return all;
}

class Speculation : public ::testing::Test {
 protected:
  void SetUp() override {
    WOOLLY_NEEDS_SHARED(kModel);
    engine_ = test::make_engine(test::table_names().back(), 1);
    model_ = test::load(*engine_, kModel);
  }
  [[nodiscard]] sample::Sampler greedy() const {
    auto sampler = sample::Sampler::create({.temperature = 0}, model_->vocab_size());
    EXPECT_TRUE(sampler);
    return std::move(sampler).value();
  }

  std::unique_ptr<Engine> engine_;
  std::shared_ptr<const Model> model_;
};

/// The text is the same for every way of sampling, up to the last position of the context; tells how many drafts were
/// right in all.
template <typename MakeDrafter>
DraftCounts expect_same_texts(const std::shared_ptr<const Model>& model, MakeDrafter make_drafter,
                              std::size_t logit_rows = Generator::kLogitRows) {
  constexpr std::size_t kContext = 200;
  const std::size_t n = kContext - kPrompt.size() + 1;  // the last token is in the text, not in the session
  DraftCounts sum;
  for (const SamplingOptions& sampling : samplings()) {
    const std::vector<TokenId> expected = plain_text(model, sampling, kContext, n);
    const std::unique_ptr<Drafter> drafter = make_drafter(expected);
    const Generated with = generated_text(model, sampling, kContext, n, drafter.get(), logit_rows);
    EXPECT_EQ(with.text, expected) << "temperature " << sampling.temperature << ", seed " << sampling.seed;
    sum.n_passes += with.counts.n_passes;
    sum.n_drafted += with.counts.n_drafted;
    sum.n_accepted += with.counts.n_accepted;
  }
  return sum;
}

TEST_F(Speculation, TextIsTheSameWithoutADrafter) {
  const DraftCounts counts =
      expect_same_texts(model_, [](const auto&) { return std::unique_ptr<Drafter>(); }, 1);
  EXPECT_EQ(counts.n_drafted, 0U);
}

TEST_F(Speculation, TextIsTheSameWithLookup) {
  const DraftCounts counts =
      expect_same_texts(model_, [](const auto&) { return std::make_unique<LookupDrafter>(200); });
  EXPECT_GT(counts.n_accepted, 0U);
}

TEST_F(Speculation, TextIsTheSameWithDraftsThatAreOftenWrong) {
  const auto make = [&](const auto& text) { return std::make_unique<GuessingDrafter>(text, model_->vocab_size()); };
  for (const std::size_t logit_rows : {Generator::kLogitRows, std::size_t{3}}) {
    const DraftCounts counts = expect_same_texts(model_, make, logit_rows);
    EXPECT_GT(counts.n_accepted, 100U);
    EXPECT_GT(counts.n_drafted, counts.n_accepted);
  }
}

/// Their state cannot be cut behind the drafts that were right.
TEST(SpeculationWithRecurrentState, TextIsTheSame) {
  const test::TempDir dir;
  const auto engine = test::make_engine(test::table_names().back(), 2);
  for (const char* architecture : {"lfm2", "qwen35", "mamba2"}) {
    const test::TinyModel tiny{.architecture = architecture, .n_layers = 3, .vocab_size = 512};
    const auto model = Model::load(*engine, dir.write("tiny.gguf", tiny.build().build()));
    ASSERT_TRUE(model) << model.error().message;
    const DraftCounts counts = expect_same_texts(
        *model, [&](const auto& text) { return std::make_unique<GuessingDrafter>(text, (*model)->vocab_size()); });
    EXPECT_GT(counts.n_accepted, 100U) << architecture;
    EXPECT_GT(counts.n_drafted, counts.n_accepted) << architecture;
  }
}

TEST_F(Speculation, WithOneRowOfLogitsNothingIsDrafted) {
  const auto make = [&](const auto& text) { return std::make_unique<GuessingDrafter>(text, model_->vocab_size()); };
  EXPECT_EQ(expect_same_texts(model_, make, 1).n_drafted, 0U);
}

TEST_F(Speculation, TextIsTheSameWithADraftModel) {
  for (const char* draft : {kModel, "models/stories260K-Q4_0.gguf"}) {
    const auto draft_model = test::load(*engine_, draft);
    const DraftCounts counts = expect_same_texts(model_, [&](const auto&) {
      auto drafter = ModelDrafter::create(*model_, draft_model, {.n_ctx = 200});
      EXPECT_TRUE(drafter) << drafter.error().message;
      return std::move(*drafter);
    });
    EXPECT_GT(counts.n_accepted, 100U) << draft;
  }
}

TEST_F(Speculation, NoMoreIsDraftedThanIsWanted) {
  const std::vector<TokenId> expected = plain_text(model_, {.temperature = 0}, 200, 60);
  GuessingDrafter drafter(expected, model_->vocab_size());
  const auto session = test::make_session(model_, {.n_ctx = 200, .max_logit_rows = Generator::kLogitRows});
  Generator generator(*session, greedy(), model_->vocab_size(), &drafter, even_clock);
  ASSERT_TRUE(generator.append(ids(kPrompt)));
  for (std::size_t i = 0; i < 60; ++i) {
    const auto token = generator.pick(60 - i);
    ASSERT_TRUE(token);
    ASSERT_EQ(*token, expected[i]);
    ASSERT_LE(session->n_tokens(), kPrompt.size() + 59);
    generator.accept(*token);
  }
  EXPECT_GT(generator.draft_counts().n_accepted, 10U);
}

TEST_F(Speculation, TextThatIsGivenLaterFollowsTheTextSoFar) {
  // As in a chat: what was drafted beyond the end of an answer is gone, and its last token is there.
  const std::vector<TokenId> expected = plain_text(model_, {.temperature = 0}, 200, 30);
  const std::vector<TokenId> more = ids({403, 407, 261});
  std::vector<TokenId> whole = ids(kPrompt);
  whole.insert(whole.end(), expected.begin(), expected.end());
  whole.insert(whole.end(), more.begin(), more.end());
  const auto plain = test::make_session(model_, {.n_ctx = 200});
  const auto logits = plain->append(whole);
  ASSERT_TRUE(logits);
  for (std::size_t n_more_drafts : {std::size_t{1}, std::size_t{40}}) {
    GuessingDrafter drafter(plain_text(model_, {.temperature = 0}, 200, 100), model_->vocab_size());
    const auto session = test::make_session(model_, {.n_ctx = 200, .max_logit_rows = Generator::kLogitRows});
    Generator generator(*session, greedy(), model_->vocab_size(), &drafter, even_clock);
    ASSERT_TRUE(generator.append(ids(kPrompt)));
    for (std::size_t i = 0; i < 30; ++i) {
      const auto token = generator.pick(30 - i - 1 + n_more_drafts);
      ASSERT_TRUE(token);
      ASSERT_EQ(*token, expected[i]);
      generator.accept(*token);
    }
    ASSERT_TRUE(generator.append(more));
    EXPECT_EQ(session->n_tokens(), whole.size());
    const auto next = generator.pick();
    ASSERT_TRUE(next);
    EXPECT_EQ(*next, greedy().pick(*logits));
  }
}

TEST_F(Speculation, GoesOnFromABeginningOfTheText) {
  // As in a chat whose template leaves out of an answer what is not to be remembered.
  const SamplingOptions penalized{.temperature = 0, .repeat_penalty = 1.3F, .repeat_last_n = -1};
  const std::vector<TokenId> first = plain_text(model_, penalized, 300, 40);
  std::vector<TokenId> kept = ids(kPrompt);
  kept.insert(kept.end(), first.begin(), first.begin() + 10);
  std::vector<TokenId> whole = kept;
  const std::vector<TokenId> more = ids({403, 407, 261});
  whole.insert(whole.end(), more.begin(), more.end());
  const auto draft_model = test::load(*engine_, "models/stories260K-Q4_0.gguf");
  auto with_model = ModelDrafter::create(*model_, draft_model, {.n_ctx = 300});
  ASSERT_TRUE(with_model);
  LookupDrafter lookup(300);
  for (Drafter* drafter : {static_cast<Drafter*>(nullptr), static_cast<Drafter*>(&lookup), static_cast<Drafter*>(with_model->get())}) {
    const auto generate = [&](Generator& generator, std::size_t n) {
      std::vector<TokenId> text;
      while (text.size() < n) {
        const auto token = generator.pick();
        EXPECT_TRUE(token);
        generator.accept(*token);
        text.push_back(*token);
      }
      return text;
    };
    const auto make = [&](Session& session, Drafter* with) {
      auto sampler = sample::Sampler::create(penalized, model_->vocab_size());
      EXPECT_TRUE(sampler);
      return Generator(session, std::move(*sampler), model_->vocab_size(), with, even_clock);
    };
    const auto session = test::make_session(model_, {.n_ctx = 300, .max_logit_rows = Generator::kLogitRows});
    Generator generator = make(*session, drafter);
    ASSERT_TRUE(generator.append(ids(kPrompt)));
    EXPECT_EQ(generate(generator, 40), first);
    generator.rewind(kept);
    EXPECT_EQ(session->n_tokens(), kept.size());
    ASSERT_TRUE(generator.append(more));

    const auto other = test::make_session(model_, {.n_ctx = 300});
    Generator plain = make(*other, nullptr);
    ASSERT_TRUE(plain.append(whole));
    EXPECT_EQ(generate(generator, 60), generate(plain, 60));
  }
}

TEST_F(Speculation, AFullContextIsAnError) {
  const auto session = test::make_session(model_, {.n_ctx = kPrompt.size()});
  Generator generator(*session, greedy(), model_->vocab_size(), nullptr);
  ASSERT_TRUE(generator.append(ids(kPrompt)));
  const auto token = generator.pick();
  ASSERT_TRUE(token);
  generator.accept(*token);
  const auto beyond = generator.pick();
  ASSERT_FALSE(beyond);
  EXPECT_EQ(beyond.error().code, ErrorCode::kLimitExceeded);
}

}  // namespace
}  // namespace woolly::speculate
