// What the tokenizers need to know about characters: UTF-8, classes, lower case, canonical decomposition. The tables
// are generated (tools/gen_unicode.py). Pure functions over constant data; any thread may call.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace woolly::text {

/// The general category of a character, as far as a tokenizer tells them apart. Exactly one per character; those with
/// the property White_Space are kSpace whatever their category.
enum class CharClass : std::uint8_t {
  kUnassigned,
  kControl,
  kFormat,
  kPrivateUse,
  kSurrogate,
  kUpper,
  kTitle,
  kLower,
  kModifierLetter,
  kOtherLetter,
  kNonspacingMark,
  kSpacingMark,
  kEnclosingMark,
  kDecimal,
  kLetterNumber,
  kOtherNumber,
  kPunctuation,
  kSymbol,
  kSpace,
};

/// A set of classes, one bit each.
using ClassSet = std::uint32_t;

constexpr ClassSet set_of(CharClass c) noexcept { return ClassSet{1} << static_cast<unsigned>(c); }

template <typename... Classes>
constexpr ClassSet set_of(CharClass first, Classes... rest) noexcept {
  return set_of(first) | set_of(rest...);
}

inline constexpr ClassSet kLetters = set_of(CharClass::kUpper, CharClass::kTitle, CharClass::kLower,
                                            CharClass::kModifierLetter, CharClass::kOtherLetter);  ///< \p{L}
inline constexpr ClassSet kMarks =
    set_of(CharClass::kNonspacingMark, CharClass::kSpacingMark, CharClass::kEnclosingMark);  ///< \p{M}
inline constexpr ClassSet kNumbers =
    set_of(CharClass::kDecimal, CharClass::kLetterNumber, CharClass::kOtherNumber);  ///< \p{N}
inline constexpr ClassSet kPunctuation = set_of(CharClass::kPunctuation);            ///< \p{P}
inline constexpr ClassSet kSymbols = set_of(CharClass::kSymbol);                     ///< \p{S}
inline constexpr ClassSet kSpaces = set_of(CharClass::kSpace);                       ///< \s
inline constexpr ClassSet kControls =
    set_of(CharClass::kControl, CharClass::kFormat, CharClass::kPrivateUse, CharClass::kSurrogate);

namespace tables {

struct LowerCase {
  char32_t code;
  char32_t lower;
};
struct Decomposition {
  char32_t code;
  std::uint16_t offset;  ///< Into kDecomposed.
  std::uint16_t count;
};

inline constexpr std::size_t kBlockSize = 128;
extern const std::array<std::uint16_t, 0x110000 / kBlockSize> kBlockOfCode;
extern const std::uint8_t kClassesOfBlocks[];  ///< [blocks, kBlockSize] values of CharClass.
extern const LowerCase kLowerCases[];          ///< Sorted by code.
extern const std::size_t kLowerCaseCount;
extern const Decomposition kDecompositions[];  ///< Sorted by code; Hangul syllables are not in it.
extern const std::size_t kDecompositionCount;
extern const char32_t kDecomposed[];

}  // namespace tables

inline constexpr char32_t kReplacement = 0xFFFD;

/// The class of a code point as a set of one; of nothing above U+10FFFF.
inline ClassSet class_of(char32_t code) noexcept {
  if (code >= 0x110000) return 0;
  const std::size_t block = tables::kBlockOfCode[code / tables::kBlockSize];
  return ClassSet{1} << tables::kClassesOfBlocks[block * tables::kBlockSize + code % tables::kBlockSize];
}

/// The simple lower case, or `code` itself.
char32_t to_lower(char32_t code) noexcept;

/// Appends the full canonical decomposition of one character to `out`; itself if it has none. Marks are not reordered.
void decompose(char32_t code, std::u32string& out);

/// Whether BERT sets a character apart as a word of its own (the blocks of Han ideographs, as its code lists them).
bool is_cjk_ideograph(char32_t code) noexcept;

enum class Utf8 : std::uint8_t {
  kValid,
  kInvalid,     ///< No character begins so.
  kIncomplete,  ///< The text ends inside a character.
};

struct Decoded {
  char32_t code = kReplacement;  ///< kReplacement unless valid.
  std::uint8_t n_bytes = 1;      ///< Of the character; of the longest beginning of one (at least 1) if not valid.
  Utf8 state = Utf8::kInvalid;
};

/// The character at `at`, which must be inside `text`. Strict: no overlong forms, surrogates or codes past U+10FFFF.
Decoded decode_utf8(std::string_view text, std::size_t at) noexcept;

/// Whether all of `text` is whole characters.
bool is_utf8(std::string_view text) noexcept;

void append_utf8(char32_t code, std::string& out);

}  // namespace woolly::text
