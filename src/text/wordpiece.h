// WordPiece ("bert"): text is normalised and split at spaces, punctuation and ideographs; each word becomes the longest
// pieces from left to right, or the unknown token. Source: BERT, tokenization.py; which characters are dropped and what
// splits follows llama.cpp, src/llama-vocab.cpp.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "gguf/gguf.h"
#include "text/tokenizer_base.h"
#include "text/trie.h"

namespace woolly::text {

class WordPiece final : public TokenizerBase {
 public:
  static Result<std::unique_ptr<const Tokenizer>> from(const gguf::Metadata& metadata);

  bool strips_leading_space() const noexcept override { return true; }

 private:
  struct Normalizer {
    bool lowers_case;
    bool strips_accents;
  };

  WordPiece(Vocabulary vocabulary, std::string_view pre_name, Normalizer normalizer);

  void encode_ordinary(std::string_view text, bool is_first, std::vector<TokenId>& tokens) const override;
  void encode_word(std::string_view word, std::vector<TokenId>& tokens) const;

  Normalizer normalizer_;
  Trie pieces_;  ///< Pieces that begin a word begin with a space.
};

}  // namespace woolly::text
