#include <gtest/gtest.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "models.h"
#include "sample_text.h"
#include "text/detokenizer.h"
#include "text/unicode.h"

namespace woolly::test {
namespace {

using Ids = std::vector<std::int32_t>;
const std::string kSpace = "\xE2\x96\x81";  // U+2581

std::string detokenized(const Tokenizer& tokenizer, const std::vector<TokenId>& tokens) {
  text::Detokenizer detokenizer(tokenizer, true);
  std::string text;
  for (const TokenId token : tokens) text += detokenizer.push(token);
  text += detokenizer.finish();
  return text;
}

/// The definition without any short cut: the whole text is one word, spaces are U+2581, ids begin at 259.
Ids encode_plainly(const std::vector<std::string>& words, const std::string& text) {
  std::map<std::string, std::int32_t> ids;
  for (std::size_t i = 0; i < words.size(); ++i) ids.emplace(words[i], static_cast<std::int32_t>(i) + 259);
  std::vector<std::string> symbols;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t n_bytes = text::decode_utf8(text, at).n_bytes;
    symbols.push_back(text[at] == ' ' ? kSpace : text.substr(at, n_bytes));
    at += n_bytes;
  }
  while (true) {
    std::size_t best = symbols.size();
    std::int32_t best_id = INT32_MAX;  // scores fall with the id
    for (std::size_t i = 0; i + 1 < symbols.size(); ++i) {
      const auto found = ids.find(symbols[i] + symbols[i + 1]);
      if (found == ids.end() || found->second >= best_id) continue;
      best = i;
      best_id = found->second;
    }
    if (best == symbols.size()) break;
    symbols[best] += symbols[best + 1];
    symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(best) + 1);
  }
  Ids tokens;
  for (const std::string& symbol : symbols) {
    if (const auto found = ids.find(symbol); found != ids.end()) {
      tokens.push_back(found->second);
    } else {
      for (const char byte : symbol) tokens.push_back(3 + static_cast<unsigned char>(byte));
    }
  }
  return tokens;
}

TEST(SentencePiece, Encode_GivesWhatTheDefinitionGives) {
  Rng rng(11);
  const std::vector<std::string> letters = {"a", "b", "c", kSpace, "\xC3\xA9", "\n"};
  for (int round = 0; round < 150; ++round) {
    std::vector<std::string> words;
    for (std::size_t i = rng.below(40); i > 0; --i) {
      std::string word;
      for (std::size_t n = 1 + rng.below(5); n > 0; --n) word += letters[rng.below(letters.size())];
      words.push_back(word);
    }
    const auto tokenizer = build_tokenizer(sentencepiece_model(words));
    ASSERT_TRUE(tokenizer);
    for (const std::size_t n_letters : {rng.below(10), 60 + rng.below(100), 260 + rng.below(200)}) {
      std::string text;
      for (std::size_t n = n_letters; n > 0; --n) text += rng.below(4) == 0 ? " " : letters[rng.below(letters.size())];
      if (text.empty()) continue;
      std::string spaced = " ";
      for (std::size_t at = 0; at < text.size(); ++at) {
        const bool is_marked = text.compare(at, kSpace.size(), kSpace) == 0;
        spaced += is_marked ? ' ' : text[at];
        at += is_marked ? kSpace.size() - 1 : 0;
      }
      EXPECT_EQ(encode(**tokenizer, text), encode_plainly(words, spaced)) << text;
    }
  }
}

TEST(SentencePiece, Encode_PutsASpaceFirstWhereTheFileSaysSo) {
  const auto with = build_tokenizer(sentencepiece_model({kSpace, "a", kSpace + "a"}));
  const auto without = build_tokenizer(
      sentencepiece_model({kSpace, "a", kSpace + "a"}).add_bool("tokenizer.ggml.add_space_prefix", false));
  ASSERT_TRUE(with && without);
  EXPECT_EQ(encode(**with, "a a"), (Ids{261, 261}));
  EXPECT_EQ(encode(**without, "a a"), (Ids{260, 261}));
  EXPECT_TRUE((*with)->strips_leading_space());
  EXPECT_FALSE((*without)->strips_leading_space());
  EXPECT_EQ(encode(**with, ""), (Ids{}));
}

TEST(SentencePiece, Encode_PutsASpaceAfterASpecialTokenToo) {
  const auto tokenizer = build_tokenizer(sentencepiece_model({kSpace, "a", kSpace + "a"}));
  ASSERT_TRUE(tokenizer);
  EXPECT_EQ(encode(**tokenizer, "a</s>a", {.add_special = true, .parse_special = true}), (Ids{1, 261, 2, 261}));
}

TEST(SentencePiece, Encode_FallsBackToBytes) {
  const auto tokenizer = build_tokenizer(sentencepiece_model({}));
  ASSERT_TRUE(tokenizer);
  EXPECT_EQ(encode(**tokenizer, "\xC3\xA9\xFF"), (Ids{3 + 0xE2, 3 + 0x96, 3 + 0x81, 3 + 0xC3, 3 + 0xA9, 3 + 0xFF}));
}

TEST(SentencePiece, Encode_UsesUnknownWhereThereAreNoBytes) {
  GgufBuilder builder;
  builder.add_string("tokenizer.ggml.model", "llama").add_bool("tokenizer.ggml.add_space_prefix", false);
  builder.add_strings("tokenizer.ggml.tokens", {"<unk>", "<s>", "</s>", "a", "\xEF\xBF\xBD"});
  builder.add_i32s("tokenizer.ggml.token_type", {2, 3, 3, 1, 1});
  const auto tokenizer = build_tokenizer(builder);
  ASSERT_TRUE(tokenizer);
  EXPECT_EQ(encode(**tokenizer,
                   "a\xE4\xB8\xAD"
                   "a\xFF"),
            (Ids{3, 0, 3, 4}));
}

TEST(SentencePiece, Decode_GivesBackAnyBytes) {
  const auto tokenizer = build_tokenizer(sentencepiece_model({kSpace, "a", "b", kSpace + "a", "ab"}));
  ASSERT_TRUE(tokenizer);
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    std::string bytes = sample_bytes(seed, 1 + seed);
    while (bytes.find(kSpace) != std::string::npos) bytes.erase(bytes.find(kSpace), kSpace.size());
    const std::vector<TokenId> tokens = (*tokenizer)->encode(bytes, {});
    EXPECT_EQ(pieces(**tokenizer, tokens), " " + bytes);
  }
}

TEST(SentencePiece, Detokenizer_GivesBackRealText) {
  constexpr const char* kPath = "tokenizers/ggml-vocab-llama-spm.gguf";
  WOOLLY_NEEDS_SHARED(kPath);
  const auto tokenizer = shared_tokenizer(kPath);
  ASSERT_TRUE(tokenizer);
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    std::string text = sample_text(seed, 3000);
    while (text.find(kSpace) != std::string::npos) text.erase(text.find(kSpace), kSpace.size());
    EXPECT_EQ(detokenized(**tokenizer, (*tokenizer)->encode(text, {.add_special = true})), text);
  }
}

TEST(SentencePiece, Load_TakesDefaultsOfTheFormat) {
  const auto tokenizer = build_tokenizer(sentencepiece_model({"a"}));
  ASSERT_TRUE(tokenizer);
  EXPECT_EQ((*tokenizer)->model_name(), "llama");
  EXPECT_EQ((*tokenizer)->pre_name(), "default");
  EXPECT_TRUE((*tokenizer)->adds_bos());
  EXPECT_EQ((*tokenizer)->bos(), TokenId{1});
  EXPECT_EQ((*tokenizer)->eos(), TokenId{2});
  EXPECT_TRUE((*tokenizer)->is_end_of_generation({2}));
  EXPECT_FALSE((*tokenizer)->is_end_of_generation({1}));
}

}  // namespace
}  // namespace woolly::test
