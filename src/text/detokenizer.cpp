#include "text/detokenizer.h"

#include <cstddef>

#include "text/unicode.h"

namespace woolly::text {

Detokenizer::Detokenizer(const Tokenizer& tokenizer, bool at_start, bool show_special)
    : tokenizer_(tokenizer), at_start_(at_start && tokenizer.strips_leading_space()), show_special_(show_special) {}

std::string_view Detokenizer::push(TokenId token) {
  std::string_view piece = tokenizer_.piece(token, show_special_);
  if (at_start_ && !piece.empty()) {
    if (piece.front() == ' ') piece.remove_prefix(1);
    at_start_ = false;
  }
  pending_ += piece;
  ready_.clear();
  std::size_t at = 0;
  while (at < pending_.size()) {
    const Decoded decoded = decode_utf8(pending_, at);
    if (decoded.state == Utf8::kIncomplete) break;
    if (decoded.state == Utf8::kValid) {
      ready_.append(pending_, at, decoded.n_bytes);
    } else {
      append_utf8(kReplacement, ready_);
    }
    at += decoded.n_bytes;
  }
  pending_.erase(0, at);
  return ready_;
}

std::string_view Detokenizer::finish() {
  ready_.clear();
  if (!pending_.empty()) append_utf8(kReplacement, ready_);  // one unfinished character at most
  pending_.clear();
  return ready_;
}

}  // namespace woolly::text
