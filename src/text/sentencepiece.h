// SentencePiece BPE ("llama"): characters are merged, the pair with the best score first; what is no token falls back
// to bytes. Spaces are part of the tokens. Source: SentencePiece, src/bpe_model.cc.
#pragma once

#include <bitset>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "gguf/gguf.h"
#include "text/merge.h"
#include "text/tokenizer_base.h"

namespace woolly::text {

class SentencePiece final : public TokenizerBase {
 public:
  static Result<std::unique_ptr<const Tokenizer>> from(const gguf::Metadata& metadata);

  bool strips_leading_space() const noexcept override { return adds_space_prefix_; }

 private:
  class Encoder;

  SentencePiece(Vocabulary vocabulary, std::string_view pre_name, bool adds_space_prefix);

  void find_joints();
  void find_whole_words();
  void encode_ordinary(std::string_view text, bool is_first, std::vector<TokenId>& tokens) const override;

  /// Whether any token has these two bytes next to each other: if none has, no merge reaches across.
  [[nodiscard]] bool is_joint(char left, char right) const noexcept { return joints_[joint(left, right)]; }
  static std::size_t joint(char left, char right) noexcept {
    return std::size_t{static_cast<unsigned char>(left)} << 8 | static_cast<unsigned char>(right);
  }

  bool adds_space_prefix_;
  std::bitset<65536> joints_;
  std::size_t max_token_bytes_ = 0;
  std::vector<std::uint32_t> priorities_;  ///< By token: its score, best first.
  std::vector<bool> is_whole_word_;        ///< By token: whether a word of its text becomes that token alone.
};

}  // namespace woolly::text
