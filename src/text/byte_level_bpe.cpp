#include "text/byte_level_bpe.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "gguf/printable.h"
#include "text/byte_level.h"

namespace woolly::text {
namespace {

/// Adds the merges of the file, each two texts with a space between. Returns how many name no tokens.
std::size_t insert_merges(std::span<const std::string_view> merges, const Vocabulary& vocabulary, RankedPairs& pairs) {
  pairs.reserve(merges.size());
  std::size_t n_unknown = 0;
  std::string joined;
  for (std::size_t rank = 0; rank < merges.size(); ++rank) {
    const std::string_view merge = merges[rank];
    const std::size_t space = std::min(merge.find(' '), merge.size());
    joined.clear();
    const bool is_left_spelled = append_byte_level_decoded(merge.substr(0, space), joined);
    const std::size_t n_left = joined.size();
    const bool is_right_spelled = space < merge.size() && append_byte_level_decoded(merge.substr(space + 1), joined);
    const std::string_view text = joined;
    const std::int32_t left = vocabulary.find(text.substr(0, n_left));
    const std::int32_t right = vocabulary.find(text.substr(n_left));
    const std::int32_t whole = vocabulary.find(text);
    if (!is_left_spelled || !is_right_spelled || left == kNoToken || right == kNoToken || whole == kNoToken) {
      ++n_unknown;
      continue;
    }
    pairs.insert(left, right, {static_cast<std::uint32_t>(rank), whole});
  }
  return n_unknown;
}

}  // namespace

Result<std::unique_ptr<const Tokenizer>> ByteLevelBpe::from(const gguf::Metadata& metadata) {
  WOOLLY_TRY(const std::optional<std::string_view> pre, metadata.find_string("tokenizer.ggml.pre"));
  const PretokenizeRule* rule = pre ? find_pretokenize_rule(*pre) : nullptr;
  WOOLLY_TRY(Vocabulary vocabulary, Vocabulary::from(metadata, {.spelling = Spelling::kByteLevel,
                                                                .adds_bos = rule != nullptr && rule->adds_bos,
                                                                .adds_separator = false}));
  if (rule == nullptr) {
    vocabulary.warn(pre ? fmt::format("tokenizer.ggml.pre: '{}' is not known, words are split as for 'default'",
                                      gguf::printable(*pre))
                        : "tokenizer.ggml.pre: missing, words are split as for 'default'");
    rule = &default_pretokenize_rule();
  }
  WOOLLY_TRY(const std::span<const std::string_view> merges, metadata.strings("tokenizer.ggml.merges"));
  RankedPairs pairs;
  if (const std::size_t n_unknown = insert_merges(merges, vocabulary, pairs); n_unknown > 0) {
    vocabulary.warn(fmt::format("tokenizer.ggml.merges: {} of {} name texts that are no tokens and are left out",
                                n_unknown, merges.size()));
  }
  return std::unique_ptr<const Tokenizer>(
      new ByteLevelBpe(std::move(vocabulary), pre.value_or("default"), *rule, std::move(pairs)));
}

ByteLevelBpe::ByteLevelBpe(Vocabulary vocab, std::string_view pre_name, const PretokenizeRule& rule, RankedPairs pairs)
    : TokenizerBase(std::move(vocab), "gpt2", pre_name), rule_(rule), pairs_(std::move(pairs)) {
  Merger merger(pairs_);
  std::vector<Symbol> symbols;
  is_whole_word_.resize(vocab_size());
  for (std::size_t i = 0; i < vocab_size(); ++i) {
    const auto token = static_cast<std::int32_t>(i);
    if (!vocabulary().is_ordinary(token)) continue;
    if (!rule_.takes_whole_words) merge_word(vocabulary().piece(token), merger, symbols);
    is_whole_word_[i] = rule_.takes_whole_words || (symbols.size() == 1 && symbols[0].token == token);
  }
}

void ByteLevelBpe::encode_ordinary(std::string_view text, bool /*is_first*/, std::vector<TokenId>& tokens) const {
  Merger merger(pairs_);
  std::vector<Symbol> symbols;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(rule_.end_of_word(text, at), at + kMaxWordBytes);
    const std::string_view word = text.substr(at, end - at);
    at = end;
    const std::int32_t token = vocabulary().find(word);
    if (token != kNoToken && is_whole_word_[static_cast<std::size_t>(token)]) {
      tokens.push_back({token});
      continue;
    }
    merge_word(word, merger, symbols);
    for (const Symbol& symbol : symbols) {
      const std::int32_t known = symbol.token != kNoToken ? symbol.token : vocabulary().unknown();
      if (known != kNoToken) tokens.push_back({known});
    }
  }
}

void ByteLevelBpe::merge_word(std::string_view word, Merger<RankedPairs>& merger, std::vector<Symbol>& symbols) const {
  symbols.clear();
  for (std::size_t i = 0; i < word.size(); ++i) {
    symbols.push_back({vocabulary().byte_token(word[i]), static_cast<std::uint32_t>(i)});
  }
  merger.merge(symbols, static_cast<std::uint32_t>(word.size()));
}

}  // namespace woolly::text
