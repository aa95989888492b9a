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

/// (?i:'s|'t|'re|'ve|'m|'ll|'d) (ASCII only) |[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,max_digits}| ?[^\s\p{L}\p{N}]+[\r\n]*
/// |\s*[\r\n]+|\s+(?!\S)|\s+
template <int max_digits>
std::size_t scan_llama3(std::string_view bytes, std::size_t at) {
  const Reader text(bytes);
  const Char first = text.at(at);
  if (first.code == '\'') {
    if (const std::size_t end = end_of_contraction<false>(text, at + 1); end > at + 1) return end;
  }
  if (first.in(kLetters)) return text.run(first.end, kLetters);
  if (first.in(kNumbers)) {
    std::size_t end = first.end;
    for (int i = 1; i < max_digits && text.at(end).in(kNumbers); ++i) end = text.at(end).end;
    return end;
  }
  const Char second = text.at(first.end);
  if (second.in(kLetters) && !is_newline(first)) return text.run(second.end, kLetters);

  const Char c = first.code == ' ' ? second : first;
  if (!c.is_end() && !c.in(kSpaces | kLetters | kNumbers)) {
    return text.run(text.run(c.end, ~(kSpaces | kLetters | kNumbers)), is_newline);
  }
  // White space: up to its last line break, if it has one.
  std::size_t after_newline = at;
  for (Char space = first; space.in(kSpaces); space = text.at(space.end)) {
    if (is_newline(space)) after_newline = space.end;
  }
  return after_newline > at ? after_newline : end_of_spaces(text, at);
}

std::size_t llama3(std::string_view text, std::size_t at) { return scan_llama3<3>(text, at); }
std::size_t qwen2(std::string_view text, std::size_t at) { return scan_llama3<1>(text, at); }

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
};

}  // namespace

const PretokenizeRule* find_pretokenize_rule(std::string_view name) noexcept {
  const auto* rule = std::ranges::find(kRules, name, &PretokenizeRule::name);
  return rule == std::end(kRules) ? nullptr : rule;
}

const PretokenizeRule& default_pretokenize_rule() noexcept { return kRules[0]; }

}  // namespace woolly::text
