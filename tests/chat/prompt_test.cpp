#include "chat/prompt.h"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "gguf/load.h"
#include "os/tensor_source.h"
#include "support/shared.h"
#include "text/load.h"

namespace woolly::test {
namespace {

using Json = nlohmann::ordered_json;

std::unique_ptr<const Tokenizer> tokenizer_of(const std::string& path) {
  const auto source = os::TensorSource::open(shared(path));
  EXPECT_TRUE(source);
  const auto file = gguf::load(*source);
  EXPECT_TRUE(file) << file.error().message;
  auto tokenizer = text::load_tokenizer(file->metadata);
  EXPECT_TRUE(tokenizer);
  return std::move(tokenizer).value();
}

bool is_control(const Tokenizer& tokenizer, TokenId id) {
  return tokenizer.piece(id).empty() && !tokenizer.piece(id, true).empty();
}

/// Through every template, a message of all special tokens of a vocabulary gives as many control tokens as one of none.
TEST(Prompt, AMessageYieldsNoControlToken) {
  WOOLLY_NEEDS_SHARED("templates");
  std::size_t n_prompts = 0;
  for (const char* vocabulary : {"vocab-qwen2", "ggml-vocab-llama-bpe", "ggml-vocab-phi-3"}) {
    const auto tokenizer = tokenizer_of("tokenizers/" + std::string(vocabulary) + ".gguf");
    std::string special = "a";
    for (std::size_t i = 0; i < tokenizer->vocab_size(); ++i) {
      const TokenId id{static_cast<std::int32_t>(i)};
      if (is_control(*tokenizer, id)) special += std::string(tokenizer->piece(id, true)) + " b";
    }
    for (const auto& entry : std::filesystem::directory_iterator(shared("templates"))) {
      std::stringstream source;
      source << std::ifstream(entry.path()).rdbuf();
      const auto parsed = chat::Template::parse(source.str());
      ASSERT_TRUE(parsed) << entry.path() << parsed.error().message;
      const auto n_control = [&](const std::string& message) {
        const Json messages = {{{"role", "user"}, {"content", message}}};
        // One of the templates goes through tools without asking whether there are any.
        const auto spans = chat::render(*parsed, {.messages = messages, .tools = Json::array()}, *tokenizer);
        EXPECT_TRUE(spans) << entry.path() << spans.error().message;
        if (!spans) return std::ptrdiff_t{-1};
        const auto tokens = chat::encode(*tokenizer, *spans);
        EXPECT_TRUE(tokens);
        return std::ranges::count_if(*tokens, [&](TokenId id) { return is_control(*tokenizer, id); });
      };
      EXPECT_EQ(n_control(special), n_control("a")) << vocabulary << entry.path();
      ++n_prompts;
    }
  }
  EXPECT_GE(n_prompts, 60U);
}

TEST(Prompt, BeginsWithOneBosWhoeverWritesIt) {
  WOOLLY_NEEDS_SHARED("tokenizers/ggml-vocab-llama-spm.gguf");
  const auto tokenizer = tokenizer_of("tokenizers/ggml-vocab-llama-spm.gguf");
  const TokenId bos = *tokenizer->bos();
  const auto plain = chat::encode(*tokenizer, "a", true);
  ASSERT_TRUE(plain);
  EXPECT_EQ(plain->at(0), bos);
  const auto parsed = chat::Template::parse("{{ bos_token }}{{ messages[0].content }}");
  ASSERT_TRUE(parsed);
  const auto spans = chat::render(*parsed, {.messages = {{{"role", "user"}, {"content", "a"}}}}, *tokenizer);
  ASSERT_TRUE(spans) << spans.error().message;
  const auto with = chat::encode(*tokenizer, *spans);
  ASSERT_TRUE(with);
  EXPECT_EQ(std::ranges::count(*with, bos), 1);
  EXPECT_EQ(with->at(0), bos);
  const auto nothing = chat::encode(*tokenizer, "", true);
  ASSERT_TRUE(nothing);
  EXPECT_EQ(*nothing, std::vector<TokenId>{bos});
}

}  // namespace
}  // namespace woolly::test
