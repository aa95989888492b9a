#include "text/unicode.h"

#include <algorithm>
#include <span>

namespace woolly::text {

char32_t to_lower(char32_t code) noexcept {
  if (code < 0x80) return code >= 'A' && code <= 'Z' ? code + ('a' - 'A') : code;
  const std::span table(tables::kLowerCases, tables::kLowerCaseCount);
  const auto found = std::ranges::lower_bound(table, code, {}, &tables::LowerCase::code);
  return found != table.end() && found->code == code ? found->lower : code;
}

void decompose(char32_t code, std::u32string& out) {
  // Hangul syllables by arithmetic: the Unicode Standard, section 3.12.
  constexpr char32_t kSyllableBase = 0xAC00, kLeadBase = 0x1100, kVowelBase = 0x1161, kTrailBase = 0x11A7;
  constexpr char32_t kVowels = 21, kTrails = 28, kSyllables = 11172;
  if (code >= kSyllableBase && code < kSyllableBase + kSyllables) {
    const char32_t syllable = code - kSyllableBase;
    out.push_back(kLeadBase + syllable / (kVowels * kTrails));
    out.push_back(kVowelBase + syllable / kTrails % kVowels);
    if (syllable % kTrails != 0) out.push_back(kTrailBase + syllable % kTrails);
    return;
  }
  const std::span table(tables::kDecompositions, tables::kDecompositionCount);
  const auto found = std::ranges::lower_bound(table, code, {}, &tables::Decomposition::code);
  if (found == table.end() || found->code != code) {
    out.push_back(code);
    return;
  }
  out.append(tables::kDecomposed + found->offset, found->count);
}

bool is_cjk_ideograph(char32_t code) noexcept {
  // 0x2B920 for 0x2B820 is what the tokenizers that the models were trained with have.
  return (code >= 0x4E00 && code <= 0x9FFF) || (code >= 0x3400 && code <= 0x4DBF) ||
         (code >= 0x20000 && code <= 0x2A6DF) || (code >= 0x2A700 && code <= 0x2B73F) ||
         (code >= 0x2B740 && code <= 0x2B81F) || (code >= 0x2B920 && code <= 0x2CEAF) ||
         (code >= 0xF900 && code <= 0xFAFF) || (code >= 0x2F800 && code <= 0x2FA1F);
}

Decoded decode_utf8(std::string_view text, std::size_t at) noexcept {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned lead = byte(at);
  if (lead < 0x80) return {lead, 1, Utf8::kValid};
  if (lead < 0xC2 || lead > 0xF4) return {};
  const unsigned n_bytes = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  // The second byte's range shuts out overlong forms, surrogates and what is past U+10FFFF (Unicode, table 3-7).
  unsigned low = 0x80;
  unsigned high = 0xBF;
  if (lead == 0xE0) low = 0xA0;
  if (lead == 0xED) high = 0x9F;
  if (lead == 0xF0) low = 0x90;
  if (lead == 0xF4) high = 0x8F;
  char32_t code = lead & (0x7Fu >> n_bytes);
  for (unsigned i = 1; i < n_bytes; ++i) {
    if (at + i >= text.size()) return {kReplacement, static_cast<std::uint8_t>(i), Utf8::kIncomplete};
    const unsigned next = byte(at + i);
    if (next < low || next > high) return {kReplacement, static_cast<std::uint8_t>(i), Utf8::kInvalid};
    low = 0x80;
    high = 0xBF;
    code = code << 6 | (next & 0x3F);
  }
  return {code, static_cast<std::uint8_t>(n_bytes), Utf8::kValid};
}

bool is_utf8(std::string_view text) noexcept {
  for (std::size_t at = 0; at < text.size();) {
    const Decoded decoded = decode_utf8(text, at);
    if (decoded.state != Utf8::kValid) return false;
    at += decoded.n_bytes;
  }
  return true;
}

void append_utf8(char32_t code, std::string& out) {
  const auto put = [&](char32_t value) { out.push_back(static_cast<char>(value)); };
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xC0 | code >> 6);
    put(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    put(0xE0 | code >> 12);
    put(0x80 | (code >> 6 & 0x3F));
    put(0x80 | (code & 0x3F));
  } else {
    put(0xF0 | code >> 18);
    put(0x80 | (code >> 12 & 0x3F));
    put(0x80 | (code >> 6 & 0x3F));
    put(0x80 | (code & 0x3F));
  }
}

}  // namespace woolly::text
