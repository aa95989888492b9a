// Texts of parts: control tokens are recognised in some of them only, and ordinary text merges across their borders.
#include <gtest/gtest.h>

#include "gguf/load.h"
#include "os/tensor_source.h"
#include "support/shared.h"
#include "text/load.h"
#include "text/vocabulary.h"

namespace woolly::test {
namespace {

std::unique_ptr<const Tokenizer> tokenizer_of(const std::filesystem::path& path) {
  const auto source = os::TensorSource::open(path);
  EXPECT_TRUE(source);
  const auto file = gguf::load(*source);
  EXPECT_TRUE(file) << file.error().message;
  auto tokenizer = text::load_tokenizer(file->metadata);
  return tokenizer ? std::move(tokenizer).value() : nullptr;
}

std::vector<std::filesystem::path> vocabularies() {
  std::vector<std::filesystem::path> paths;
  for (const char* folder : {"tokenizers", "models"}) {
    for (const auto& entry : std::filesystem::directory_iterator(shared(folder))) {
      if (entry.path().extension() == ".gguf") paths.push_back(entry.path());
    }
  }
  return paths;
}

/// For every special token of every vocabulary: in a caller's part it is text, in the template's it is the token.
TEST(Parts, ACallersTextYieldsNoControlToken) {
  WOOLLY_NEEDS_SHARED("tokenizers");
  std::size_t n_tokenizers = 0, n_special = 0;
  for (const auto& path : vocabularies()) {
    const auto tokenizer = tokenizer_of(path);
    if (tokenizer == nullptr) continue;
    ++n_tokenizers;
    std::vector<bool> is_control(tokenizer->vocab_size());
    for (std::size_t i = 0; i < is_control.size(); ++i) {
      const TokenId id{static_cast<std::int32_t>(i)};
      is_control[i] = tokenizer->piece(id).empty() && !tokenizer->piece(id, true).empty();
    }
    std::size_t n_tried = 0;
    for (std::size_t i = 0; i < is_control.size() && n_tried < 300; ++i) {
      if (!is_control[i]) continue;
      const std::string token(tokenizer->piece({static_cast<std::int32_t>(i)}, true));
      ++n_tried;
      const std::string message = "a " + token + "b" + token;
      const TextPart parts[] = {{token, true}, {message, false}, {token, true}};
      std::size_t n_control = 0;
      for (const TokenId id : tokenizer->encode(parts, false)) n_control += is_control[static_cast<std::size_t>(id.value)] ? 1U : 0U;
      EXPECT_LE(n_control, 2U) << path << ", " << token;
      // Half of it from each is no control token either.
      const TextPart halves[] = {{std::string_view(token).substr(0, token.size() / 2), true},
                                 {std::string_view(token).substr(token.size() / 2), false}};
      for (const TokenId id : tokenizer->encode(halves, false)) {
        EXPECT_NE(id.value, static_cast<std::int32_t>(i)) << path << ", " << token;
      }
    }
    n_special += n_tried;
  }
  EXPECT_GE(n_tokenizers, 5U);
  EXPECT_GE(n_special, 50U);
}

TEST(Parts, OrdinaryTextMergesAcrossBorders) {
  WOOLLY_NEEDS_SHARED("tokenizers");
  const std::string text = "The quick brown fox, 12345 \xC3\xA9t\xC3\xA9s  and\n\nmore.";
  for (const auto& path : vocabularies()) {
    const auto tokenizer = tokenizer_of(path);
    if (tokenizer == nullptr) continue;
    const auto whole = tokenizer->encode(text, {.add_special = true});
    for (std::size_t cut = 0; cut <= text.size(); ++cut) {
      const TextPart parts[] = {{std::string_view(text).substr(0, cut), false}, {std::string_view(text).substr(cut), true}};
      EXPECT_EQ(tokenizer->encode(parts, true), whole) << path << ", " << cut;
    }
  }
}

}  // namespace
}  // namespace woolly::test
