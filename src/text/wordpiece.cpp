#include "text/wordpiece.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>

#include "text/unicode.h"

namespace woolly::text {
namespace {

/// What a character does to the words around it.
enum class Role : std::uint8_t { kPartOfWord, kEndsWord, kOwnWord, kDropped };

Role role_of(char32_t code, bool strips_accents) noexcept {
  const ClassSet classes = class_of(code);
  if ((classes & kSpaces) != 0) return Role::kEndsWord;
  if (code == 0 || code == kReplacement || (classes & kControls) != 0) return Role::kDropped;
  if (strips_accents && (classes & set_of(CharClass::kNonspacingMark)) != 0) return Role::kDropped;
  const bool is_ascii_symbol = code < 0x80 && (classes & kSymbols) != 0;
  return (classes & kPunctuation) != 0 || is_ascii_symbol || is_cjk_ideograph(code) ? Role::kOwnWord
                                                                                    : Role::kPartOfWord;
}

}  // namespace

Result<std::unique_ptr<const Tokenizer>> WordPiece::from(const gguf::Metadata& metadata) {
  WOOLLY_TRY(const std::optional<std::string_view> pre, metadata.find_string("tokenizer.ggml.pre"));
  WOOLLY_TRY(const std::optional<bool> lower, metadata.find_bool("tokenizer.ggml.normalizer.lowercase"));
  WOOLLY_TRY(const std::optional<bool> strip, metadata.find_bool("tokenizer.ggml.normalizer.strip_accents"));
  WOOLLY_TRY(Vocabulary vocabulary, Vocabulary::from(metadata, {.spelling = Spelling::kMarkedSpace,
                                                                .adds_bos = true,
                                                                .adds_separator = true,
                                                                .bos = 101,
                                                                .unknown = 100,
                                                                .separator = 102}));
  const bool lowers_case = lower.value_or(true);
  return std::unique_ptr<const Tokenizer>(
      new WordPiece(std::move(vocabulary), pre.value_or("default"), {lowers_case, strip.value_or(lowers_case)}));
}

WordPiece::WordPiece(Vocabulary vocab, std::string_view pre_name, Normalizer normalizer)
    : TokenizerBase(std::move(vocab), "bert", pre_name), normalizer_(normalizer) {
  for (std::size_t i = 0; i < vocab_size(); ++i) {
    const auto token = static_cast<std::int32_t>(i);
    if (vocabulary().is_ordinary(token)) pieces_.insert(vocabulary().piece(token), token);
  }
}

void WordPiece::encode_ordinary(std::string_view text, bool /*is_first*/, std::vector<TokenId>& tokens) const {
  std::string word = " ";
  const auto end_word = [&] {
    if (word.size() > 1) encode_word(word, tokens);
    word.resize(1);
  };
  const auto add = [&](char32_t code) {
    const Role role = role_of(code, normalizer_.strips_accents);
    if (role == Role::kDropped) return;
    if (role != Role::kPartOfWord) end_word();
    if (role == Role::kEndsWord) return;
    append_utf8(normalizer_.lowers_case ? to_lower(code) : code, word);
    if (role == Role::kOwnWord) end_word();
  };
  std::u32string parts;
  for (std::size_t at = 0; at < text.size();) {
    const Decoded decoded = decode_utf8(text, at);
    at += decoded.n_bytes;
    if (decoded.code < 0x80 || !normalizer_.strips_accents) {
      add(decoded.code);
      continue;
    }
    parts.clear();
    decompose(decoded.code, parts);
    for (const char32_t code : parts) add(code);
  }
  end_word();
}

void WordPiece::encode_word(std::string_view word, std::vector<TokenId>& tokens) const {
  const std::size_t n_before = tokens.size();
  for (std::size_t at = 0; at < word.size();) {
    const Trie::Match match = pieces_.longest(word, at);
    if (match.token == kNoToken) {
      tokens.resize(n_before);
      if (vocabulary().unknown() != kNoToken) tokens.push_back({vocabulary().unknown()});
      return;
    }
    tokens.push_back({match.token});
    at += match.n_bytes;
  }
}

}  // namespace woolly::text
