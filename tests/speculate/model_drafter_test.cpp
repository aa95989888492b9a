#include "speculate/model_drafter.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <string>

#include "engine/support.h"
#include "sample/sampler.h"
#include "support/temp_dir.h"

namespace woolly::speculate {
namespace {

using test::ids;

constexpr const char* kModel = "models/stories260K-Q8_0.gguf";

std::vector<TokenId> greedy(const std::shared_ptr<const Model>& model, std::vector<TokenId> text, std::size_t n) {
  const auto session = test::make_session(model);
  auto sampler = sample::Sampler::create({.temperature = 0}, model->vocab_size());
  auto logits = session->append(text);
  std::vector<TokenId> continuation;
  for (std::size_t i = 0; i < n; ++i) {
    continuation.push_back(sampler->pick(*logits));
    logits = session->append({&continuation.back(), 1});
  }
  return continuation;
}

std::vector<TokenId> tokens_of(std::span<const Draft> drafts) {
  std::vector<TokenId> tokens;
  for (const Draft& draft : drafts) tokens.push_back(draft.token);
  return tokens;
}

TEST(ModelDrafter, DraftsTheLikeliestTokensOfTheTextSoFar) {
  WOOLLY_NEEDS_SHARED(kModel);
  const auto engine = test::make_engine(test::table_names().back(), 1);
  const auto model = test::load(*engine, kModel);
  auto drafter = ModelDrafter::create(*model, model, {.n_ctx = 100});
  ASSERT_TRUE(drafter) << drafter.error().message;
  std::vector<TokenId> text = ids({1, 403, 407, 261, 378});
  ASSERT_TRUE((*drafter)->append(text));
  // Drafts all right, some right, none right, none asked for.
  for (const std::size_t n_right : {4U, 2U, 0U, 0U, 3U}) {
    const std::vector<TokenId> expected = greedy(model, text, 5);
    const auto drafts = (*drafter)->propose(4);
    ASSERT_TRUE(drafts) << drafts.error().message;
    EXPECT_EQ(tokens_of(*drafts), std::vector<TokenId>(expected.begin(), expected.begin() + 4));
    for (std::size_t i = 0; i <= n_right; ++i) {
      const TokenId token = i < n_right || n_right == 4 ? expected[i] : TokenId{(expected[i].value + 1) % 400 + 3};
      text.push_back(token);
      (*drafter)->accept(token);
    }
    text.push_back({300});
    (*drafter)->accept({300});
  }
}

TEST(ModelDrafter, DraftsNothingBeyondItsContext) {
  WOOLLY_NEEDS_SHARED(kModel);
  const auto engine = test::make_engine(test::table_names().back(), 1);
  const auto model = test::load(*engine, kModel);
  auto drafter = ModelDrafter::create(*model, model, {.n_ctx = 8});
  ASSERT_TRUE(drafter);
  ASSERT_TRUE((*drafter)->append(ids({1, 403, 407, 261, 378})));
  EXPECT_EQ((*drafter)->propose(10)->size(), 3U);
  for (int i = 0; i < 3; ++i) (*drafter)->accept({300});
  EXPECT_EQ((*drafter)->propose(10)->size(), 0U);
  for (int i = 0; i < 9; ++i) (*drafter)->accept({300});
  EXPECT_EQ((*drafter)->propose(10)->size(), 0U);
  ASSERT_TRUE((*drafter)->append(ids({1, 403})));
  EXPECT_EQ((*drafter)->propose(10)->size(), 0U);
}

TEST(ModelDrafter, RefusesAnotherVocabulary) {
  WOOLLY_NEEDS_SHARED(kModel);
  WOOLLY_NEEDS_SHARED("models/syn-llama-F16.gguf");
  const auto engine = test::make_engine(test::table_names().back(), 1);
  const auto model = test::load(*engine, kModel);
  const auto larger = ModelDrafter::create(*model, test::load(*engine, "models/syn-llama-F16.gguf"), {});
  ASSERT_FALSE(larger);
  EXPECT_EQ(larger.error().message,
            "the draft model must have the model's vocabulary: it has 2048 tokens, the model 512");

  std::ifstream file(test::shared(kModel), std::ios::binary);
  std::string bytes(std::istreambuf_iterator<char>(file), {});
  const std::size_t at = bytes.find("little");
  ASSERT_NE(at, std::string::npos);
  bytes[at] = 'k';
  const test::TempDir folder;
  const auto other = Model::load(*engine, folder.write("other.gguf", bytes));
  ASSERT_TRUE(other) << other.error().message;
  const auto drafter = ModelDrafter::create(*model, *other, {});
  ASSERT_FALSE(drafter);
  EXPECT_NE(drafter.error().message.find("is \" kittle\", the model's \" little\""), std::string::npos)
      << drafter.error().message;
}

}  // namespace
}  // namespace woolly::speculate
