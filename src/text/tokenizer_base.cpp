#include "text/tokenizer_base.h"

#include "base/assert.h"

namespace woolly::text {

std::vector<TokenId> TokenizerBase::encode(std::string_view text, EncodeOptions options) const {
  std::vector<TokenId> tokens;
  tokens.reserve(text.size() / 4 + 2);  // about what ordinary text needs
  if (options.add_special && vocabulary_.adds_bos()) tokens.push_back({vocabulary_.bos()});

  const Trie& special = vocabulary_.special_tokens(options.parse_special);
  bool is_first = true;
  std::size_t begin = 0;  // of the ordinary text before `at`
  const auto flush = [&](std::size_t end) {
    if (end == begin) return;
    encode_ordinary(text.substr(begin, end - begin), is_first, tokens);
    is_first = false;
  };
  for (std::size_t at = 0; at < text.size() && !special.empty();) {
    if (!special.begins_with(text[at])) {
      ++at;
      continue;
    }
    const Trie::Match match = special.longest(text, at);
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

  if (options.add_special && vocabulary_.adds_separator()) tokens.push_back({vocabulary_.separator()});
  if (options.add_special && vocabulary_.adds_eos()) tokens.push_back({vocabulary_.eos()});
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
