// Control tokens come out of a text only where the caller asks for them.
#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

#include "models.h"
#include "sample_text.h"

namespace woolly::test {
namespace {

using Ids = std::vector<std::int32_t>;

TEST(SpecialTokens, Encode_RecognisesControlTokensOnRequestOnly) {
  const auto tokenizer = build_tokenizer(byte_level_model({}));
  ASSERT_TRUE(tokenizer);
  EXPECT_EQ(encode(**tokenizer, "a<|im_end|>b", {.parse_special = true}), (Ids{'a', 257, 'b'}));
  EXPECT_EQ(encode(**tokenizer, "<|im_end|>").size(), 10u);
  EXPECT_EQ(encode(**tokenizer, "<|im_end|<|im_end|>", {.parse_special = true}).size(), 10u);
}

TEST(SpecialTokens, Encode_AlwaysRecognisesUserDefinedTokens) {
  const auto tokenizer = build_tokenizer(byte_level_model({}));
  ASSERT_TRUE(tokenizer);
  EXPECT_EQ(encode(**tokenizer, "a<tool>b"), (Ids{'a', 258, 'b'}));
  EXPECT_EQ(encode(**tokenizer, "<tool><tool>", {.parse_special = true}), (Ids{258, 258}));
  EXPECT_EQ((*tokenizer)->piece({258}), "<tool>");
}

TEST(SpecialTokens, Encode_TakesTheLongestOfSeveral) {
  GgufBuilder builder;
  builder.add_string("tokenizer.ggml.model", "llama").add_bool("tokenizer.ggml.add_space_prefix", false);
  builder.add_strings("tokenizer.ggml.tokens", {"<unk>", "<s>", "</s>", "<a", "<a><b>", "b"});
  builder.add_i32s("tokenizer.ggml.token_type", {2, 3, 3, 3, 3, 1});
  const auto tokenizer = build_tokenizer(builder);
  ASSERT_TRUE(tokenizer);
  EXPECT_EQ(encode(**tokenizer, "<a><b>b", {.parse_special = true}), (Ids{4, 5}));
  EXPECT_EQ(encode(**tokenizer, "<ab", {.parse_special = true}), (Ids{3, 5}));
}

class RealVocabulary : public testing::TestWithParam<const char*> {};

TEST_P(RealVocabulary, UserText_NeverBecomesAControlToken) {
  const std::string path = std::string("tokenizers/") + GetParam() + ".gguf";
  WOOLLY_NEEDS_SHARED(path);
  const auto loaded = shared_tokenizer(path);
  ASSERT_TRUE(loaded);
  const Tokenizer& tokenizer = **loaded;
  std::vector<bool> hidden(tokenizer.vocab_size());
  std::string text;
  std::size_t n_hidden = 0;
  for (std::size_t id = 0; id < hidden.size(); ++id) {
    const auto token = static_cast<std::int32_t>(id);
    hidden[id] = is_hidden(tokenizer, token);
    if (!hidden[id]) continue;
    ++n_hidden;
    const std::string special(tokenizer.piece({token}, true));
    EXPECT_EQ(encode(tokenizer, special, {.parse_special = true}), (Ids{token}));
    text += special + special + sample_text(id, 5) + special + " " + special + "\n";
  }
  EXPECT_GT(n_hidden, 0u);
  const bool has_unknown = tokenizer.model_name() == "bert";  // what a word outside the vocabulary has to be
  for (const std::int32_t token : encode(tokenizer, text)) {
    const bool is_unknown = has_unknown && tokenizer.piece({token}, true) == "[UNK]";
    EXPECT_TRUE(is_unknown || !hidden[static_cast<std::size_t>(token)]) << tokenizer.piece({token}, true);
  }
}

INSTANTIATE_TEST_SUITE_P(Vocabularies, RealVocabulary,
                         testing::Values("ggml-vocab-gpt-2", "ggml-vocab-llama-bpe", "ggml-vocab-llama-spm",
                                         "ggml-vocab-phi-3", "ggml-vocab-bert-bge", "vocab-qwen2"));

TEST(SpecialTokens, EndOfGeneration_CoversEndMarkersByTheirTexts) {
  const auto tokenizer = build_tokenizer(byte_level_model({}).add_u32("tokenizer.ggml.eot_token_id", 256));
  ASSERT_TRUE(tokenizer);
  EXPECT_TRUE((*tokenizer)->is_end_of_generation({256}));
  EXPECT_TRUE((*tokenizer)->is_end_of_generation({257}));
  EXPECT_FALSE((*tokenizer)->is_end_of_generation({258}));
  EXPECT_FALSE((*tokenizer)->is_end_of_generation({-1}));
  EXPECT_FALSE((*tokenizer)->is_end_of_generation({259}));
}

TEST(SpecialTokens, EndMarkers_AreControlTokensWhateverTheFileCallsThem) {
  GgufBuilder builder;
  builder.add_string("tokenizer.ggml.model", "gpt2").add_string("tokenizer.ggml.pre", "gpt-2");
  builder.add_strings("tokenizer.ggml.tokens", {"<|im_end|>", "</s>", "<|eot_id|>"});
  builder.add_i32s("tokenizer.ggml.token_type", {4, 1, 1});
  const auto tokenizer = build_tokenizer(builder);
  ASSERT_TRUE(tokenizer);
  EXPECT_EQ(encode(**tokenizer, "<|im_end|>"), (Ids{}));
  EXPECT_TRUE(is_hidden(**tokenizer, 0));
  EXPECT_TRUE((*tokenizer)->is_end_of_generation({0}));
  EXPECT_FALSE((*tokenizer)->is_end_of_generation({1}));  // an ordinary word here
  EXPECT_TRUE((*tokenizer)->is_end_of_generation({2}));
}

TEST(SpecialTokens, EndOfMessage_IsNotTheEndWhereCallAndReturnAre) {
  GgufBuilder builder;
  builder.add_string("tokenizer.ggml.model", "gpt2").add_string("tokenizer.ggml.pre", "gpt-2");
  builder.add_strings("tokenizer.ggml.tokens", {"<|return|>", "<|call|>", "<|end|>"});
  builder.add_i32s("tokenizer.ggml.token_type", {3, 3, 3});
  const auto tokenizer = build_tokenizer(builder);
  ASSERT_TRUE(tokenizer);
  EXPECT_TRUE((*tokenizer)->is_end_of_generation({0}));
  EXPECT_TRUE((*tokenizer)->is_end_of_generation({1}));
  EXPECT_FALSE((*tokenizer)->is_end_of_generation({2}));
}

}  // namespace
}  // namespace woolly::test
