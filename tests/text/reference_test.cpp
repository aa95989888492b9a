// Against the ids that the reference implementation gives.
#include <gtest/gtest.h>

#include <cstdint>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "models.h"

namespace woolly::test {
namespace {

class Reference : public testing::TestWithParam<const char*> {};

std::vector<std::string> split_texts(const std::string& content) {
  constexpr std::string_view kSeparator = "\n__ggml_vocab_test__\n";
  std::vector<std::string> texts;
  std::size_t begin = 0;
  for (std::size_t end; (end = content.find(kSeparator, begin)) != std::string::npos; begin = end + kSeparator.size()) {
    texts.push_back(content.substr(begin, end - begin));
  }
  texts.push_back(content.substr(begin));
  return texts;
}

TEST_P(Reference, Encode_GivesTheReferenceIds) {
  const std::string path = std::string("tokenizers/") + GetParam() + ".gguf";
  WOOLLY_NEEDS_SHARED(path);
  const auto tokenizer = shared_tokenizer(path);
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;
  EXPECT_EQ((*tokenizer)->warnings(), std::vector<std::string>{});
  const std::vector<std::string> texts = split_texts(read_file(shared(path + ".inp")));
  std::istringstream lines(read_file(shared(path + ".out")));
  std::size_t n = 0;
  for (std::string line; std::getline(lines, line); ++n) {
    ASSERT_LT(n, texts.size());
    std::istringstream numbers(line);
    const std::vector<std::int32_t> expected(std::istream_iterator<std::int32_t>(numbers), {});
    EXPECT_EQ(encode(**tokenizer, texts[n]), expected) << "text " << n << ": " << texts[n];
  }
  EXPECT_GE(n, 46u);
}

INSTANTIATE_TEST_SUITE_P(Vocabularies, Reference,
                         testing::Values("ggml-vocab-gpt-2", "ggml-vocab-llama-bpe", "ggml-vocab-llama-spm",
                                         "ggml-vocab-phi-3", "ggml-vocab-bert-bge", "vocab-qwen2"));

class ReferencePrompts : public testing::TestWithParam<const char*> {};

TEST_P(ReferencePrompts, Encode_GivesThePromptTokensWithBos) {
  const std::string list = std::string("models/") + GetParam();
  WOOLLY_NEEDS_SHARED(list);
  const nlohmann::json reference = nlohmann::json::parse(read_file(shared(list)));
  std::size_t n_prompts = 0;
  for (const auto& model : reference.at("models")) {
    const std::string path = "models/" + model.at("file").get<std::string>();
    if (!std::filesystem::exists(shared(path)) || !model.contains("greedy")) continue;
    const auto tokenizer = shared_tokenizer(path);
    ASSERT_TRUE(tokenizer) << tokenizer.error().message;
    for (const auto& run : model.at("greedy")) {
      const auto expected = run.at("prompt_tokens").get<std::vector<std::int32_t>>();
      EXPECT_EQ(encode(**tokenizer, run.at("prompt").get<std::string>(), {.add_special = true}), expected) << path;
      ++n_prompts;
    }
  }
  EXPECT_GT(n_prompts, 0u);
}

INSTANTIATE_TEST_SUITE_P(Models, ReferencePrompts,
                         testing::Values("reference-stories260K.json", "reference-synthetic.json"));

}  // namespace
}  // namespace woolly::test
