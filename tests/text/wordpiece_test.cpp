#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

#include "models.h"
#include "text/detokenizer.h"

namespace woolly::test {
namespace {

using Ids = std::vector<std::int32_t>;
const std::string kSpace = "\xE2\x96\x81";  // U+2581

TEST(WordPiece, Encode_TakesTheLongestPieces) {
  const auto tokenizer =
      build_tokenizer(wordpiece_model({kSpace + "un", kSpace + "u", "aff", "able", "a", kSpace + ","}));
  ASSERT_TRUE(tokenizer);
  EXPECT_EQ(encode(**tokenizer, "unaffable"), (Ids{4, 6, 7}));
  EXPECT_EQ(encode(**tokenizer, "un, u"), (Ids{4, 9, 5}));
  EXPECT_EQ(encode(**tokenizer, "unx un"), (Ids{1, 4}));
  EXPECT_EQ(encode(**tokenizer, "a"), (Ids{1}));
}

TEST(WordPiece, Encode_LowersCaseAndStripsAccents) {
  const auto model = wordpiece_model({kSpace + "fuhrer", kSpace + "F\xC3\xBChrer", kSpace + "f\xC3\xBChrer"});
  const auto plain = build_tokenizer(model);
  const auto cased = build_tokenizer(GgufBuilder(model).add_bool("tokenizer.ggml.normalizer.lowercase", false));
  const auto accents = build_tokenizer(GgufBuilder(model).add_bool("tokenizer.ggml.normalizer.strip_accents", false));
  ASSERT_TRUE(plain && cased && accents);
  EXPECT_EQ(encode(**plain, "F\xC3\xBChrer"), (Ids{4}));
  EXPECT_EQ(encode(**plain, "Fu\xCC\x88hrer"), (Ids{4}));
  EXPECT_EQ(encode(**cased, "F\xC3\xBChrer"), (Ids{5}));
  EXPECT_EQ(encode(**accents, "F\xC3\xBChrer"), (Ids{6}));
}

TEST(WordPiece, Encode_SplitsHangulIntoItsLetters) {
  const auto tokenizer = build_tokenizer(wordpiece_model({kSpace + "\xE1\x84\x92", "\xE1\x85\xA1", "\xE1\x86\xAB"}));
  ASSERT_TRUE(tokenizer);
  EXPECT_EQ(encode(**tokenizer, "\xED\x95\x9C"), (Ids{4, 5, 6}));
}

TEST(WordPiece, Encode_SetsIdeographsAndPunctuationApart) {
  const auto tokenizer = build_tokenizer(
      wordpiece_model({kSpace + "a", kSpace + "\xE4\xB8\xAD", kSpace + "$", kSpace + "\xE2\x80\x94", "a"}));
  ASSERT_TRUE(tokenizer);
  EXPECT_EQ(encode(**tokenizer,
                   "a\xE4\xB8\xAD"
                   "a$a\xE2\x80\x94"
                   "a"),
            (Ids{4, 5, 4, 6, 4, 7, 4}));
}

TEST(WordPiece, Encode_DropsControlCharactersAndInvalidBytes) {
  const auto tokenizer = build_tokenizer(wordpiece_model({kSpace + "ab"}));
  ASSERT_TRUE(tokenizer);
  EXPECT_EQ(encode(**tokenizer, std::string("a\0\x01\xE2\x80\x8B\xFF\xEF\xBF\xBD"
                                            "b\t\n",
                                            13)),
            (Ids{4}));
  EXPECT_EQ(encode(**tokenizer, " \t\xFF"), (Ids{}));
}

TEST(WordPiece, AddSpecial_PutsClsAndSepAround) {
  const auto tokenizer = build_tokenizer(wordpiece_model({kSpace + "a"}));
  ASSERT_TRUE(tokenizer);
  EXPECT_TRUE((*tokenizer)->adds_bos());
  EXPECT_EQ(encode(**tokenizer, "a", {.add_special = true}), (Ids{2, 4, 3}));
  EXPECT_EQ(encode(**tokenizer, "", {.add_special = true}), (Ids{2, 3}));
  EXPECT_EQ(encode(**tokenizer, "a[SEP]a", {.parse_special = true}), (Ids{4, 3, 4}));
}

TEST(WordPiece, Detokenizer_PutsSpacesBetweenWordsOnly) {
  const auto tokenizer = build_tokenizer(wordpiece_model({kSpace + "un", "able", kSpace + "word"}));
  ASSERT_TRUE(tokenizer);
  text::Detokenizer detokenizer(**tokenizer, true);
  std::string text;
  for (const TokenId token : (*tokenizer)->encode("unable word", {.add_special = true}))
    text += detokenizer.push(token);
  EXPECT_EQ(text, "unable word");
}

}  // namespace
}  // namespace woolly::test
