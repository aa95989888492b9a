// Byte-level BPE ("gpt2"): a text is split into words by a pre-tokenizer rule, and the bytes of each word are merged in
// the order of the merges that the file lists. Source: GPT-2, src/encoder.py.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "gguf/gguf.h"
#include "text/flat_map.h"
#include "text/merge.h"
#include "text/pretokenize.h"
#include "text/tokenizer_base.h"

namespace woolly::text {

/// The merges, by the tokens of their two parts.
class RankedPairs {
 public:
  void reserve(std::size_t n) { merges_.reserve(n); }
  void insert(std::int32_t left, std::int32_t right, Merge merge) { merges_.insert(key(left, right), merge); }

  [[nodiscard]] Merge find(const Symbol& left, const Symbol& right, std::uint32_t /*end*/) const noexcept {
    if (left.token == kNoToken || right.token == kNoToken) return {};
    const Merge* merge = merges_.find(key(left.token, right.token));
    return merge == nullptr ? Merge{} : *merge;
  }

 private:
  static std::uint64_t key(std::int32_t left, std::int32_t right) noexcept {
    return std::uint64_t{static_cast<std::uint32_t>(left)} << 32 | static_cast<std::uint32_t>(right);
  }

  FlatMap<Merge> merges_;
};

class ByteLevelBpe final : public TokenizerBase {
 public:
  static Result<std::unique_ptr<const Tokenizer>> from(const gguf::Metadata& metadata);

  bool strips_leading_space() const noexcept override { return false; }

 private:
  ByteLevelBpe(Vocabulary vocabulary, std::string_view pre_name, const PretokenizeRule& rule, RankedPairs pairs);

  void encode_ordinary(std::string_view text, bool is_first, std::vector<TokenId>& tokens) const override;
  /// Replaces `symbols` by the bytes of `word`, merged.
  void merge_word(std::string_view word, Merger<RankedPairs>& merger, std::vector<Symbol>& symbols) const;

  const PretokenizeRule& rule_;  ///< A row of the table.
  RankedPairs pairs_;
  std::vector<bool> is_whole_word_;  ///< By token: whether a word of its text becomes that token alone.
};

}  // namespace woolly::text
