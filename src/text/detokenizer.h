// Tokens to text that can be shown: whole UTF-8 characters only.
#pragma once

#include <string>
#include <string_view>

#include "woolly/tokenizer.h"

namespace woolly::text {

/// One stream of tokens becoming text. Owned by one thread.
class Detokenizer {
 public:
  /// Borrows `tokenizer`. `at_start`: the tokens begin a text (SentencePiece then drops the space that it put first);
  /// off for a continuation.
  explicit Detokenizer(const Tokenizer& tokenizer, bool at_start = false, bool show_special = false);

  /// Appends `token`; returns the characters that became complete, possibly none. The view lives until the next call.
  std::string_view push(TokenId token);
  /// What is left: bytes that never became a character, as U+FFFD.
  std::string_view finish();

 private:
  const Tokenizer& tokenizer_;
  bool at_start_;
  bool show_special_;
  std::string pending_;
  std::string ready_;
};

}  // namespace woolly::text
