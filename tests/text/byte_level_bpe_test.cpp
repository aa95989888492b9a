#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

#include "models.h"
#include "sample_text.h"

namespace woolly::test {
namespace {

using Ids = std::vector<std::int32_t>;

TEST(ByteLevelBpe, Encode_MergesInTheOrderOfTheFile) {
  const auto tokenizer = build_tokenizer(byte_level_model({{"b", "c"}, {"a", "b"}, {"a", "bc"}, {"x", "x"}}));
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;
  EXPECT_EQ(encode(**tokenizer, "abc"), (Ids{258}));
  EXPECT_EQ(encode(**tokenizer, "ab"), (Ids{257}));
  EXPECT_EQ(encode(**tokenizer, "xxx"), (Ids{259, 'x'}));
  EXPECT_EQ(encode(**tokenizer, ""), (Ids{}));
}

TEST(ByteLevelBpe, Encode_TakesAWholeWordOnlyWhereTheRuleSaysSo) {
  // "ab" comes first, so merging never makes "abc" out of "a" and "bc".
  const std::vector<std::pair<std::string, std::string>> merges = {{"a", "b"}, {"b", "c"}, {"a", "bc"}};
  const auto merging = build_tokenizer(byte_level_model(merges, "gpt-2"));
  const auto whole = build_tokenizer(byte_level_model(merges, "llama-bpe"));
  ASSERT_TRUE(merging && whole);
  EXPECT_EQ(encode(**merging, "abc"), (Ids{256, 'c'}));
  EXPECT_EQ(encode(**whole, "abc"), (Ids{258}));
}

TEST(ByteLevelBpe, Encode_UsesUnknownOrNothingForABytesWithoutAToken) {
  GgufBuilder builder;
  builder.add_string("tokenizer.ggml.model", "gpt2").add_string("tokenizer.ggml.pre", "gpt-2");
  builder.add_strings("tokenizer.ggml.tokens", {"a", "b", "ab", "?"});
  builder.add_strings("tokenizer.ggml.merges", {"a b"});
  const auto without = build_tokenizer(builder);
  const auto with = build_tokenizer(builder.add_u32("tokenizer.ggml.unknown_token_id", 3));
  ASSERT_TRUE(without && with);
  EXPECT_EQ(encode(**without, "abxab"), (Ids{2, 2}));
  EXPECT_EQ(encode(**with, "abxab"), (Ids{2, 3, 2}));
}

TEST(ByteLevelBpe, Decode_GivesBackAnyBytes) {
  const auto tokenizer = build_tokenizer(byte_level_model({{"a", "b"}, {" ", "a"}, {"\xC3", "\xA9"}, {"\n", "\n"}}));
  ASSERT_TRUE(tokenizer);
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    const std::string bytes = sample_bytes(seed, 1 + seed);
    EXPECT_EQ(pieces(**tokenizer, (*tokenizer)->encode(bytes, {})), bytes);
  }
}

TEST(ByteLevelBpe, Decode_GivesBackAnyBytesWithRealVocabularies) {
  for (const char* path :
       {"tokenizers/ggml-vocab-gpt-2.gguf", "tokenizers/ggml-vocab-llama-bpe.gguf", "tokenizers/vocab-qwen2.gguf"}) {
    WOOLLY_NEEDS_SHARED(path);
    const auto tokenizer = shared_tokenizer(path);
    ASSERT_TRUE(tokenizer);
    for (std::uint64_t seed = 0; seed < 20; ++seed) {
      const std::string bytes = sample_bytes(seed, 4000) + sample_text(seed, 4000);
      EXPECT_EQ(pieces(**tokenizer, (*tokenizer)->encode(bytes, {})), bytes) << path;
    }
  }
}

TEST(ByteLevelBpe, Load_FallsBackToTheDefaultRuleWithAWarning) {
  const auto tokenizer = build_tokenizer(byte_level_model({}, "no-such\nrule"));
  ASSERT_TRUE(tokenizer);
  ASSERT_EQ((*tokenizer)->warnings().size(), 1u);
  EXPECT_EQ((*tokenizer)->warnings()[0],
            "tokenizer.ggml.pre: 'no-such\\x0arule' is not known, words are split as for 'default'");
  EXPECT_EQ((*tokenizer)->pre_name(), "no-such\nrule");
}

TEST(ByteLevelBpe, Load_CountsMergesThatNameNoToken) {
  GgufBuilder builder;
  builder.add_string("tokenizer.ggml.model", "gpt2").add_string("tokenizer.ggml.pre", "gpt-2");
  builder.add_strings("tokenizer.ggml.tokens", {"a", "b", "ab", "c"});
  builder.add_strings("tokenizer.ggml.merges", {"a b", "b c", "x a", "ab", "", " ", "a  b", "\xFF a", "b a c"});
  const auto tokenizer = build_tokenizer(builder);
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;
  ASSERT_EQ((*tokenizer)->warnings().size(), 1u);
  EXPECT_EQ((*tokenizer)->warnings()[0],
            "tokenizer.ggml.merges: 8 of 9 name texts that are no tokens and are left out");
  EXPECT_EQ(encode(**tokenizer, "abc"), (Ids{2, 3}));
}

TEST(ByteLevelBpe, AddSpecial_FollowsTheRuleUnlessTheFileSaysOtherwise) {
  const auto first = [](GgufBuilder builder) {
    const auto tokenizer = build_tokenizer(builder.add_u32("tokenizer.ggml.bos_token_id", 256));
    EXPECT_TRUE(tokenizer);
    return encode(**tokenizer, "a", {.add_special = true});
  };
  EXPECT_EQ(first(byte_level_model({}, "gpt-2")), (Ids{'a'}));
  EXPECT_EQ(first(byte_level_model({}, "llama-bpe")), (Ids{256, 'a'}));
  EXPECT_EQ(first(byte_level_model({}, "gpt-2").add_bool("tokenizer.ggml.add_bos_token", true)), (Ids{256, 'a'}));
  EXPECT_EQ(first(byte_level_model({}, "llama-bpe").add_bool("tokenizer.ggml.add_bos_token", false)), (Ids{'a'}));
}

}  // namespace
}  // namespace woolly::test
