// Runs of one character, and words without an end, in every kind of tokenizer: other engines died of these.
#include <gtest/gtest.h>

#include <cstddef>
#include <string>
#include <string_view>

#include "models.h"
#include "sample_text.h"

namespace woolly::test {
namespace {

#ifdef WOOLLY_SANITIZED
constexpr std::size_t kBytes = 1'000'000;
#else
constexpr std::size_t kBytes = 10'000'000;
#endif

class LongText : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    const std::string path = std::string("tokenizers/") + GetParam() + ".gguf";
    WOOLLY_NEEDS_SHARED(path);
    auto loaded = shared_tokenizer(path);
    ASSERT_TRUE(loaded);
    tokenizer_ = std::move(*loaded);
  }

  void expect_survives(const std::string& text) const {
    const std::vector<TokenId> tokens = tokenizer_->encode(text, {.add_special = true, .parse_special = true});
    if (tokenizer_->model_name() == "gpt2") {
      EXPECT_EQ(pieces(*tokenizer_, tokens), text);
    } else if (tokenizer_->model_name() == "llama") {
      EXPECT_EQ(pieces(*tokenizer_, tokens), " " + text);
    }
  }

  TokenizerPtr tokenizer_;
};

TEST_P(LongText, OneCharacterRepeated_IsEncoded) {
  for (const std::string_view unit :
       {"A", " ", "\n", ".", "\xE4\xB8\xAD", "\xCC\x81", "7", "<", "<|", "\xFF", "\xE1\x84\x92", "'"}) {
    std::string text;
    while (text.size() < kBytes) text += unit;
    expect_survives(text);
  }
}

TEST_P(LongText, OneWordOfRandomLetters_IsEncoded) {
  Rng rng(5);
  std::string text;
  while (text.size() < kBytes / 2) text.push_back(static_cast<char>('a' + rng.below(26)));
  expect_survives(text);
}

INSTANTIATE_TEST_SUITE_P(Vocabularies, LongText,
                         testing::Values("ggml-vocab-gpt-2", "ggml-vocab-llama-bpe", "ggml-vocab-llama-spm",
                                         "ggml-vocab-bert-bge", "vocab-qwen2"));

}  // namespace
}  // namespace woolly::test
