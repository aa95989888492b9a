// What load_tokenizer refuses, and what it lets pass.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "models.h"

namespace woolly::test {
namespace {

using Ids = std::vector<std::int32_t>;

GgufBuilder two_tokens(std::string_view model = "llama") {
  GgufBuilder builder;
  builder.add_string("tokenizer.ggml.model", model).add_string("tokenizer.ggml.pre", "default");
  builder.add_strings("tokenizer.ggml.tokens", {"a", "b"});
  return builder;
}

void expect_error(GgufBuilder builder, ErrorCode code, std::string_view message) {
  const auto tokenizer = build_tokenizer(std::move(builder));
  ASSERT_FALSE(tokenizer);
  EXPECT_EQ(tokenizer.error().code, code);
  EXPECT_EQ(tokenizer.error().message, message);
}

TEST(Vocabulary, Load_NamesATokenizerThatItDoesNotKnow) {
  expect_error(two_tokens("t5"), ErrorCode::kUnsupported,
               "tokenizer.ggml.model: 't5', known are 'gpt2', 'llama' and 'bert'");
}

TEST(Vocabulary, Load_RefusesAVocabularyWithoutTokens) {
  for (const char* model : {"llama", "gpt2", "bert"}) {
    GgufBuilder builder;
    builder.add_string("tokenizer.ggml.model", model).add_strings("tokenizer.ggml.tokens", {});
    expect_error(builder, ErrorCode::kInvalidFile, "tokenizer.ggml.tokens: 0 tokens, allowed 1 to 2147483647");
  }
}

TEST(Vocabulary, Load_RefusesBadTokenTypes) {
  expect_error(two_tokens().add_i32s("tokenizer.ggml.token_type", {1, 7}), ErrorCode::kInvalidFile,
               "tokenizer.ggml.token_type[1]: 7, allowed 0 to 6");
  expect_error(two_tokens().add_i32s("tokenizer.ggml.token_type", {-1, 1}), ErrorCode::kInvalidFile,
               "tokenizer.ggml.token_type[0]: -1, allowed 0 to 6");
  expect_error(two_tokens().add_i32s("tokenizer.ggml.token_type", {1}), ErrorCode::kInvalidFile,
               "tokenizer.ggml.token_type: 1 values, expected 2 (tokenizer.ggml.tokens)");
}

TEST(Vocabulary, Load_RefusesBadScores) {
  expect_error(two_tokens().add_f32s("tokenizer.ggml.scores", {0, NAN}), ErrorCode::kInvalidFile,
               "tokenizer.ggml.scores[1]: nan, expected a number");
  expect_error(two_tokens().add_f32s("tokenizer.ggml.scores", {0, 1, 2}), ErrorCode::kInvalidFile,
               "tokenizer.ggml.scores: 3 values, expected 2 (tokenizer.ggml.tokens)");
}

TEST(Vocabulary, Load_RefusesIdsPastTheEnd) {
  for (const char* key : {"bos", "eos", "eot", "eom", "unknown", "seperator", "cls", "fim_pad"}) {
    const std::string name = std::string("tokenizer.ggml.") + key + "_token_id";
    expect_error(two_tokens().add_u32(name, 2), ErrorCode::kInvalidFile, name + ": 2, allowed 0 to 1 or -1 (not set)");
    expect_error(two_tokens().add_i32(name, -2), ErrorCode::kInvalidFile,
                 name + ": -2, allowed 0 to 1 or -1 (not set)");
    EXPECT_TRUE(build_tokenizer(two_tokens().add_i32(name, -1)));
    EXPECT_TRUE(build_tokenizer(two_tokens().add_u32(name, 0xFFFFFFFF)));
  }
}

TEST(Vocabulary, Load_RefusesMalformedByteTokens) {
  for (const char* text : {"<0x-1>", "<0x1>", "<0x001>", "<0xG0>", "<0x 1>", "<0X01>", "", "<0x+1>", "0x01"}) {
    GgufBuilder builder;
    builder.add_string("tokenizer.ggml.model", "llama").add_strings("tokenizer.ggml.tokens", {"a", text});
    builder.add_i32s("tokenizer.ggml.token_type", {1, 6});
    expect_error(builder, ErrorCode::kInvalidFile,
                 std::string("tokenizer.ggml.tokens[1]: byte token '") + text + "', allowed <0x00> to <0xFF>");
  }
}

TEST(Vocabulary, Load_RefusesAKeyOfAnotherType) {
  EXPECT_FALSE(build_tokenizer(two_tokens().add_string("tokenizer.ggml.scores", "0")));
  EXPECT_FALSE(build_tokenizer(two_tokens().add_string("tokenizer.ggml.add_bos_token", "true")));
  EXPECT_FALSE(build_tokenizer(two_tokens("gpt2").add_u32("tokenizer.ggml.merges", 1)));
  EXPECT_FALSE(build_tokenizer(two_tokens().add_f32("tokenizer.ggml.bos_token_id", 1)));
}

TEST(Vocabulary, Load_LetsTheFirstOfEqualTextsWin) {
  for (const char* model : {"llama", "gpt2"}) {
    GgufBuilder builder;
    builder.add_string("tokenizer.ggml.model", model).add_bool("tokenizer.ggml.add_space_prefix", false);
    builder.add_strings("tokenizer.ggml.tokens", {"a", "a", "b", "b"});
    const auto tokenizer = build_tokenizer(builder.add_i32s("tokenizer.ggml.token_type", {1, 1, 4, 4}));
    ASSERT_TRUE(tokenizer);
    EXPECT_EQ(encode(**tokenizer, "ab"), (Ids{0, 2}));
  }
}

TEST(Vocabulary, Load_AllowsEmptyTexts) {
  GgufBuilder builder;
  builder.add_string("tokenizer.ggml.model", "llama").add_bool("tokenizer.ggml.add_space_prefix", false);
  builder.add_strings("tokenizer.ggml.tokens", {"", "a", "", ""});
  const auto tokenizer = build_tokenizer(builder.add_i32s("tokenizer.ggml.token_type", {1, 1, 3, 4}));
  ASSERT_TRUE(tokenizer);
  EXPECT_EQ(encode(**tokenizer, "a", {.parse_special = true}), (Ids{1}));
  EXPECT_EQ((*tokenizer)->piece({0}), "");
}

TEST(Vocabulary, Load_WarnsOfTextsThatAreTooLong) {
  GgufBuilder builder;
  builder.add_string("tokenizer.ggml.model", "llama");
  builder.add_strings("tokenizer.ggml.tokens", {"a", std::string(2000, 'a'), std::string(5000, '<')});
  const auto tokenizer = build_tokenizer(builder.add_i32s("tokenizer.ggml.token_type", {1, 1, 3}));
  ASSERT_TRUE(tokenizer);
  ASSERT_EQ((*tokenizer)->warnings().size(), 1u);
  EXPECT_EQ((*tokenizer)->warnings()[0],
            "tokenizer.ggml.tokens: 2 texts are longer than 1024 bytes and never come out of a text");
  EXPECT_EQ((*tokenizer)->piece({1}).size(), 2000u);
}

TEST(Vocabulary, Load_GuessesTypesWhereTheFileHasNone) {
  GgufBuilder builder;
  builder.add_string("tokenizer.ggml.model", "llama");
  builder.add_strings("tokenizer.ggml.tokens", {"<unk>", "<s>", "</s>", "<0x41>", "b"});
  const auto tokenizer = build_tokenizer(builder);
  ASSERT_TRUE(tokenizer);
  EXPECT_TRUE(is_hidden(**tokenizer, 0) && is_hidden(**tokenizer, 1) && is_hidden(**tokenizer, 2));
  EXPECT_EQ((*tokenizer)->piece({3}), "A");
  EXPECT_EQ(encode(**tokenizer, "bA"), (Ids{0, 4, 3}));
}

TEST(Vocabulary, Load_TakesIntegerScores) {
  GgufBuilder builder = two_tokens();
  EXPECT_TRUE(build_tokenizer(builder.add_i32s("tokenizer.ggml.scores", {0, -1})));
}

TEST(Vocabulary, AddSpecial_AddsNothingThatIsNotSet) {
  const auto tokenizer = build_tokenizer(two_tokens()
                                             .add_i32("tokenizer.ggml.bos_token_id", -1)
                                             .add_bool("tokenizer.ggml.add_bos_token", true)
                                             .add_bool("tokenizer.ggml.add_eos_token", true)
                                             .add_bool("tokenizer.ggml.add_space_prefix", false));
  ASSERT_TRUE(tokenizer);
  EXPECT_EQ(encode(**tokenizer, "b", {.add_special = true}), (Ids{1}));
  EXPECT_FALSE((*tokenizer)->adds_bos());
  EXPECT_EQ((*tokenizer)->bos(), std::nullopt);
}

TEST(Vocabulary, AddSpecial_AddsEosWhereTheFileSaysSo) {
  const auto tokenizer = build_tokenizer(sentencepiece_model({"a"}).add_bool("tokenizer.ggml.add_eos_token", true));
  ASSERT_TRUE(tokenizer);
  EXPECT_EQ(encode(**tokenizer, "", {.add_special = true}), (Ids{1, 2}));
}

}  // namespace
}  // namespace woolly::test
