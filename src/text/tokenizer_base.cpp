#include "text/tokenizer_base.h"

#include "base/assert.h"

namespace woolly::text {

std::vector<TokenId> TokenizerBase::encode(std::string_view text, EncodeOptions options) const {
  const Trusted all{0, text.size()};
  return encode(text, std::span(&all, options.parse_special ? 1 : 0), options.add_special);
}

std::vector<TokenId> TokenizerBase::encode(std::span<const TextPart> parts, bool add_special) const {
  std::string text;
  std::vector<Trusted> trusted;
  for (const TextPart& part : parts) {
    const std::size_t begin = text.size();
    text += part.text;
    if (!part.parse_special || part.text.empty()) continue;
    if (!trusted.empty() && trusted.back().end == begin) {
      trusted.back().end = text.size();
    } else {
      trusted.push_back({begin, text.size()});
    }
  }
  return encode(text, trusted, add_special);
}

std::vector<TokenId> TokenizerBase::encode(std::string_view text, std::span<const Trusted> trusted,
                                           bool add_special) const {
  std::vector<TokenId> tokens;
  tokens.reserve(text.size() / 4 + 2);  // about what ordinary text needs
  if (add_special && vocabulary_.adds_bos()) tokens.push_back({vocabulary_.bos()});

  const Trie &special = vocabulary_.special_tokens(true), &user_defined = vocabulary_.special_tokens(false);
  bool is_first = true;
  std::size_t begin = 0;  // of the ordinary text before `at`
  const auto flush = [&](std::size_t end) {
    if (end == begin) return;
    encode_ordinary(text.substr(begin, end - begin), is_first, tokens);
    is_first = false;
  };
  const auto match_at = [&](std::size_t at) {
    Trie::Match match{};
    match.token = kNoToken;
    if (user_defined.begins_with(text[at])) match = user_defined.longest(text, at);
    if (trusted.empty() || at < trusted.front().begin || !special.begins_with(text[at])) return match;
    const Trie::Match control = special.longest(text.substr(0, trusted.front().end), at);
    const bool is_longer = control.token != kNoToken && (match.token == kNoToken || control.n_bytes >= match.n_bytes);
    return is_longer ? control : match;
  };
  for (std::size_t at = 0; at < text.size() && !(special.empty() && user_defined.empty());) {
    while (!trusted.empty() && trusted.front().end <= at) trusted = trusted.subspan(1);
    const Trie::Match match = match_at(at);
    if (match.token == kNoToken) {
      ++at;
      continue;
    }
    flush(at);
    tokens.push_back({match.token});
    is_first = true;
    at += match.n_bytes;
    begin = at;
  }
  flush(text.size());

  if (add_special && vocabulary_.adds_separator()) tokens.push_back({vocabulary_.separator()});
  if (add_special && vocabulary_.adds_eos()) tokens.push_back({vocabulary_.eos()});
  return tokens;
}

std::string_view TokenizerBase::piece(TokenId token, bool show_special) const {
  WOOLLY_ASSERT(token.value >= 0 && static_cast<std::size_t>(token.value) < vocabulary_.size());
  return vocabulary_.is_hidden(token.value) && !show_special ? std::string_view{} : vocabulary_.piece(token.value);
}

bool TokenizerBase::is_end_of_generation(TokenId token) const noexcept {
  return token.value >= 0 && static_cast<std::size_t>(token.value) < vocabulary_.size() &&
         vocabulary_.is_end(token.value);
}

}  // namespace woolly::text
