// Splits text into words before byte-level BPE merges inside each of them. A rule is a hand-written scanner that runs
// in linear time on any bytes; each is equal to a list of regular expressions (tests/text holds them against PCRE2).
#pragma once

#include <cstddef>
#include <string_view>

namespace woolly::text {

/// The end of the word that begins at `at` (< text.size()). Invalid UTF-8 is taken as U+FFFD.
using WordScanner = std::size_t (*)(std::string_view text, std::size_t at);

/// One row of the table of rules.
struct PretokenizeRule {
  std::string_view name;  ///< `tokenizer.ggml.pre`.
  WordScanner end_of_word;
  bool takes_whole_words;  ///< A word that is a token is taken as it is, merges or not.
  bool adds_bos;           ///< Where the file does not say.
};

/// The rule of that name; nullptr if it is not known.
const PretokenizeRule* find_pretokenize_rule(std::string_view name) noexcept;

/// For names that are not known, and files without a name.
const PretokenizeRule& default_pretokenize_rule() noexcept;

}  // namespace woolly::text
