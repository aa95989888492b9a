#include "text/pretokenize.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <iterator>

#include "text/unicode.h"

namespace woolly::text {
namespace {

/// A character of the text; the end of the text is one without a class.
struct Char {
  ClassSet classes = 0;  ///< At most one.
  char32_t code = 0;
  std::size_t end = 0;  ///< The place after it.

  [[nodiscard]] bool in(ClassSet set) const noexcept { return (classes & set) != 0; }
  [[nodiscard]] bool is_end() const noexcept { return classes == 0; }
};

constexpr bool never(const Char&) noexcept { return false; }

/// Reads characters; one for which `is_boundary` holds ends the text, as if an earlier expression had split there.
template <auto is_boundary = never>
class Reader {
 public:
  explicit Reader(std::string_view text) noexcept : text_(text) {}

  [[nodiscard]] Char at(std::size_t i) const noexcept {
    const Char c = raw(i);
    return is_boundary(c) ? Char{0, 0, i} : c;
  }

  [[nodiscard]] Char raw(std::size_t i) const noexcept {
    if (i >= text_.size()) return {0, 0, text_.size()};
    if (const auto byte = static_cast<unsigned char>(text_[i]); byte < 0x80) return {class_of(byte), byte, i + 1};
    const Decoded decoded = decode_utf8(text_, i);
    return {class_of(decoded.code), decoded.code, i + decoded.n_bytes};
  }

  /// The end of the characters from `i` on for which `belongs` holds.
  template <typename Predicate>
  [[nodiscard]] std::size_t run(std::size_t i, Predicate belongs) const noexcept {
    for (Char c = at(i); !c.is_end() && belongs(c); c = at(i)) i = c.end;
    return i;
  }

  [[nodiscard]] std::size_t run(std::size_t i, ClassSet set) const noexcept {
    return run(i, [set](const Char& c) { return c.in(set); });
  }

 private:
  std::string_view text_;
};

constexpr ClassSet kLettersAndMarks = kLetters | kMarks;

bool is_newline(const Char& c) noexcept { return c.code == '\r' || c.code == '\n'; }

/// The end of 's, 't, 're, 've, 'm, 'll or 'd after the apostrophe before `i`; `i` where there is none.
template <bool is_case_sensitive, typename Text>
std::size_t end_of_contraction(const Text& text, std::size_t i) noexcept {
  const auto letter = [&](std::size_t at) -> char32_t {
    const char32_t code = text.at(at).code;
    return !is_case_sensitive && code >= 'A' && code <= 'Z' ? code + ('a' - 'A') : code;
  };
  const char32_t first = letter(i);
  if (first == 's' || first == 't' || first == 'm' || first == 'd') return i + 1;
  if (first != 'r' && first != 'v' && first != 'l') return i;
  const char32_t second = letter(i + 1);
  return second == (first == 'l' ? U'l' : U'e') ? i + 2 : i;
}

/// \s+(?!\S) or else one character of white space, which must be at `i`: the last one of a run is left for the word
/// after it.
template <typename Text>
std::size_t end_of_spaces(const Text& text, std::size_t i) noexcept {
  std::size_t last = i;
  std::size_t end = i;
  for (Char c = text.at(i); c.in(kSpaces); c = text.at(end)) {
    last = end;
    end = c.end;
  }
  return text.at(end).is_end() || last == i ? end : last;
}

/// 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)
template <typename Text>
std::size_t scan_gpt2(const Text& text, std::size_t at) noexcept {
  const Char first = text.at(at);
  if (first.code == '\'') {
    if (const std::size_t end = end_of_contraction<true>(text, at + 1); end > at + 1) return end;
  }
  const Char c = first.code == ' ' ? text.at(first.end) : first;
  const std::size_t begin = first.code == ' ' ? first.end : at;
  if (c.in(kLetters)) return text.run(c.end, kLetters);
  if (c.in(kNumbers)) return text.run(c.end, kNumbers);
  if (c.is_end() || c.in(kSpaces)) return end_of_spaces(text, at);
  return text.run(begin, ~(kSpaces | kLetters | kNumbers));
}

std::size_t gpt2(std::string_view text, std::size_t at) { return scan_gpt2(Reader(text), at); }

bool is_number(const Char& c) noexcept { return c.in(kNumbers); }

/// \p{N}, then GPT-2's expression on what lies between.
std::size_t smollm(std::string_view text, std::size_t at) {
  const Reader<is_number> reader(text);
  const Char c = reader.raw(at);
  return is_number(c) ? c.end : scan_gpt2(reader, at);
}

/// [\p{P}\$\+<=>\^~\|]
bool is_default_punctuation(const Char& c) noexcept {
  return c.in(kPunctuation) || (c.in(kSymbols) && c.code < 0x80 && c.code != '`');
}

/// [0-9][0-9][0-9] in a run of \p{N}: three ASCII digits, or what lies before the next three.
std::size_t end_of_triple(std::string_view text, std::size_t at) noexcept {
  const Reader reader(text);
  std::size_t end = at;
  std::size_t n_digits = 0;
  for (Char c = reader.at(at); c.in(kNumbers); c = reader.at(end)) {
    end = c.end;
    n_digits = c.code >= '0' && c.code <= '9' ? n_digits + 1 : 0;
    if (n_digits == 3) return end == at + 3 ? end : end - 3;
  }
  return end;
}

/// [\p{P}\$\+<=>\^~\|]+, then GPT-2's expression on each piece, then \p{N}+, then [0-9][0-9][0-9].
std::size_t default_rule(std::string_view text, std::size_t at) {
  const Reader<is_default_punctuation> reader(text);
  const Char c = reader.raw(at);
  if (is_default_punctuation(c)) return Reader(text).run(at, is_default_punctuation);
  if (c.in(kNumbers)) return end_of_triple(text, at);
  if (c.code == ' ' && reader.at(c.end).in(kNumbers)) return c.end;
  return scan_gpt2(reader, at);
}

/// \s*[\r\n]+|\s+(?!\S)|\s+ at white space: up to its last line break, if it has one.
template <typename Text>
std::size_t end_of_lines(const Text& text, std::size_t at) noexcept {
  std::size_t after_newline = at;
  for (Char c = text.at(at); c.in(kSpaces); c = text.at(c.end)) {
    if (is_newline(c)) after_newline = c.end;
  }
  return after_newline > at ? after_newline : end_of_spaces(text, at);
}

/// \p{N}{1,max_digits} after its first digit.
template <int max_digits, typename Text>
std::size_t end_of_number(const Text& text, std::size_t i) noexcept {
  for (int n = 1; n < max_digits && text.at(i).in(kNumbers); ++n) i = text.at(i).end;
  return i;
}

/// (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?W+|\p{N}{1,max_digits}| ?[^\sW\p{N}]+[\r\n]*
/// |\s*[\r\n]+|\s+(?!\S)|\s+ where W are `word_classes`, and contractions are ASCII as in llama.cpp.
template <ClassSet word_classes, int max_digits>
std::size_t scan_llama3(std::string_view bytes, std::size_t at) {
  const Reader text(bytes);
  const Char first = text.at(at);
  if (first.code == '\'') {
    if (const std::size_t end = end_of_contraction<false>(text, at + 1); end > at + 1) return end;
  }
  if (first.in(word_classes)) return text.run(first.end, word_classes);
  if (first.in(kNumbers)) return end_of_number<max_digits>(text, first.end);
  const Char second = text.at(first.end);
  if (second.in(word_classes) && !is_newline(first)) return text.run(second.end, word_classes);

  constexpr ClassSet kOthers = ~(kSpaces | word_classes | kNumbers);
  const Char c = first.code == ' ' ? second : first;
  return c.in(kOthers) ? text.run(text.run(c.end, kOthers), is_newline) : end_of_lines(text, at);
}

std::size_t llama3(std::string_view text, std::size_t at) { return scan_llama3<kLetters, 3>(text, at); }
std::size_t qwen2(std::string_view text, std::size_t at) { return scan_llama3<kLetters, 1>(text, at); }
std::size_t qwen35(std::string_view text, std::size_t at) { return scan_llama3<kLettersAndMarks, 1>(text, at); }

// U and L of the expressions below: \p{Lu}, \p{Lt} or \p{Ll}, each with \p{Lm}, \p{Lo} and \p{M}. They are the models'
// own; llama.cpp, whose regular expressions know no case beyond ASCII, has others.
constexpr ClassSet kCaseless = set_of(CharClass::kModifierLetter, CharClass::kOtherLetter) | kMarks;
constexpr ClassSet kUppers = set_of(CharClass::kUpper, CharClass::kTitle) | kCaseless;
constexpr ClassSet kLowers = set_of(CharClass::kLower) | kCaseless;

/// U*L+; `at` where there is none.
std::size_t end_of_lowers(const Reader<>& text, std::size_t at) noexcept {
  std::size_t end = at;
  std::size_t after_caseless = at;  // where U* can give a character back to L+
  for (Char c = text.at(at); c.in(kUppers); c = text.at(end)) {
    end = c.end;
    if (c.in(kCaseless)) after_caseless = end;
  }
  const std::size_t after_lowers = text.run(end, kLowers);
  return after_lowers > end ? after_lowers : after_caseless;
}

/// [^\r\n\p{L}\p{N}]?U*L+|[^\r\n\p{L}\p{N}]?U+L*: a capital ends a word that began with small letters. `at` where
/// there is none.
std::size_t end_of_cased_word(const Reader<>& text, std::size_t at) noexcept {
  const Char first = text.at(at);
  const bool may_lead = !is_newline(first) && !first.in(kLetters | kNumbers);
  if (may_lead) {
    if (const std::size_t end = end_of_lowers(text, first.end); end > first.end) return end;
  }
  if (const std::size_t end = end_of_lowers(text, at); end > at) return end;
  // No small letter follows the capitals, or the first expression would have matched.
  const std::size_t after_capitals = may_lead ? text.run(first.end, kUppers) : first.end;
  return after_capitals > first.end ? after_capitals : text.run(at, kUppers);
}

/// [^\r\n\p{L}\p{N}]?U*L+|[^\r\n\p{L}\p{N}]?U+L*, each with a contraction after it if `has_suffix`
/// |\p{N}{1,max_digits}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+
template <bool has_suffix, int max_digits>
std::size_t scan_cased(std::string_view bytes, std::size_t at) {
  const Reader text(bytes);
  if (const std::size_t end = end_of_cased_word(text, at); end > at) {
    if (!has_suffix || text.at(end).code != '\'') return end;
    const std::size_t suffix = end_of_contraction<false>(text, end + 1);
    return suffix > end + 1 ? suffix : end;
  }
  const Char first = text.at(at);
  if (first.in(kNumbers)) return end_of_number<max_digits>(text, first.end);
  constexpr ClassSet kOthers = ~(kSpaces | kLetters | kNumbers);
  const Char c = first.code == ' ' ? text.at(first.end) : first;
  if (!c.in(kOthers)) return end_of_lines(text, at);
  return text.run(text.run(c.end, kOthers), [](const Char& after) { return is_newline(after) || after.code == '/'; });
}

std::size_t gpt4o(std::string_view text, std::size_t at) { return scan_cased<true, 3>(text, at); }
std::size_t tekken(std::string_view text, std::size_t at) { return scan_cased<false, 1>(text, at); }

/// [一-龥぀-ゟ゠-ヿ]
bool is_han_or_kana(const Char& c) noexcept {
  return (c.code >= 0x4E00 && c.code <= 0x9FA5) || (c.code >= 0x3040 && c.code <= 0x30FF);
}

bool is_number_or_han(const Char& c) noexcept { return is_number(c) || is_han_or_kana(c); }

bool is_ascii_letter(const Char& c) noexcept { return c.code < 0x80 && c.in(kLetters); }

/// \p{N}{1,3}, then [一-龥぀-ゟ゠-ヿ]+, then on what is left, where A is ASCII punctuation:
/// A[A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
std::size_t deepseek3(std::string_view bytes, std::size_t at) {
  constexpr ClassSet kSigns = kPunctuation | kSymbols;
  const Reader<is_number_or_han> text(bytes);
  Char first = text.raw(at);
  if (is_number(first)) return end_of_number<3>(Reader(bytes), first.end);
  if (is_han_or_kana(first)) return Reader(bytes).run(at, is_han_or_kana);

  const Char second = text.at(first.end);
  if (first.code < 0x80 && first.in(kSigns) && is_ascii_letter(second)) return text.run(second.end, is_ascii_letter);
  if (first.in(kLettersAndMarks)) return text.run(first.end, kLettersAndMarks);
  if (second.in(kLettersAndMarks) && !is_newline(first) && !first.in(kSigns))
    return text.run(second.end, kLettersAndMarks);
  const Char c = first.code == ' ' ? second : first;
  if (c.in(kSigns)) return text.run(text.run(c.end, kSigns), is_newline);
  if (first.in(kSpaces)) return end_of_lines(text, at);
  // Control characters and the like match nothing: they are one piece, up to where something matches again.
  constexpr ClassSet kMatched = kLettersAndMarks | kSigns | kSpaces;
  while (!text.at(first.end).is_end() && !text.at(first.end).in(kMatched)) {
    const Char next = text.at(first.end);
    if (text.at(next.end).in(kLettersAndMarks)) break;
    first = next;
  }
  return first.end;
}

/// THE table of rules. Names and what goes with them: llama.cpp, src/llama-vocab.cpp.
constexpr PretokenizeRule kRules[] = {
    {"default", default_rule, false, false},

    {"gpt-2", gpt2, false, false},
    {"phi-2", gpt2, false, false},
    {"jina-es", gpt2, false, false},
    {"jina-de", gpt2, false, false},
    {"jina-v1-en", gpt2, false, false},
    {"jina-v2-es", gpt2, false, false},
    {"jina-v2-de", gpt2, false, false},
    {"jina-v2-code", gpt2, false, false},
    {"roberta-bpe", gpt2, false, false},
    {"gigachat", gpt2, false, false},
    {"a.x-4.0", gpt2, false, false},
    {"mellum", gpt2, false, false},
    {"modern-bert", gpt2, false, false},
    {"mpt", gpt2, false, false},
    {"olmo", gpt2, false, false},
    {"jais", gpt2, false, false},
    {"trillion", gpt2, false, false},
    {"granite-docling", gpt2, false, false},
    {"exaone4", gpt2, false, false},

    {"smollm", smollm, false, false},
    {"starcoder", smollm, false, false},
    {"refact", smollm, false, false},
    {"command-r", smollm, false, false},
    {"codeshell", smollm, false, false},
    {"exaone", smollm, false, false},
    {"minerva-7b", smollm, false, false},
    {"mellum2", smollm, false, false},

    {"llama-bpe", llama3, true, true},
    {"llama3", llama3, true, true},
    {"llama-v3", llama3, true, true},
    {"falcon3", llama3, true, true},
    {"falcon-h1", llama3, true, true},
    {"pixtral", llama3, true, true},
    {"midm-2.0", llama3, true, true},
    {"lfm2", llama3, true, true},
    {"jina-v5-nano", llama3, true, true},
    {"dbrx", llama3, false, false},
    {"smaug-bpe", llama3, false, false},
    {"glm4", llama3, false, false},
    {"chatglm-bpe", llama3, false, false},

    {"qwen2", qwen2, false, false},
    {"deepseek-r1-qwen", qwen2, false, false},
    {"megrez", qwen2, false, false},
    {"stablelm2", qwen2, false, false},
    {"hunyuan", qwen2, false, false},
    {"solar-open", qwen2, false, false},
    {"grok-2", qwen2, false, false},
    {"kormo", qwen2, false, false},
    {"f2llmv2", qwen2, false, false},

    {"qwen35", qwen35, false, false},

    {"gpt-4o", gpt4o, false, false},
    {"llama4", gpt4o, false, false},
    {"kanana2", gpt4o, false, false},
    {"talkie", gpt4o, false, false},
    {"minimax-m2", gpt4o, false, false},

    {"tekken", tekken, true, true},

    {"deepseek-v3", deepseek3, false, false},
    {"hunyuan-dense", deepseek3, false, false},
    {"joyai-llm", deepseek3, false, false},
    {"hy_v4", deepseek3, false, false},
};

}  // namespace

const PretokenizeRule* find_pretokenize_rule(std::string_view name) noexcept {
  const auto* rule = std::ranges::find(kRules, name, &PretokenizeRule::name);
  return rule == std::end(kRules) ? nullptr : rule;
}

const PretokenizeRule& default_pretokenize_rule() noexcept { return kRules[0]; }

}  // namespace woolly::text
