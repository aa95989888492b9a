#include "text/unicode.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

namespace woolly::test {
namespace {

using text::Utf8;

std::u32string decomposed(char32_t code) {
  std::u32string out;
  text::decompose(code, out);
  return out;
}

TEST(Unicode, DecodeUtf8_ReadsWhatAppendUtf8Wrote) {
  for (char32_t code = 0; code < 0x110000; ++code) {
    if (code >= 0xD800 && code < 0xE000) continue;
    std::string bytes;
    text::append_utf8(code, bytes);
    const text::Decoded decoded = text::decode_utf8(bytes, 0);
    ASSERT_EQ(decoded.state, Utf8::kValid);
    ASSERT_EQ(decoded.code, code);
    ASSERT_EQ(decoded.n_bytes, bytes.size());
  }
}

TEST(Unicode, DecodeUtf8_TellsInvalidFromIncomplete) {
  struct Case {
    std::string_view bytes;
    Utf8 state;
    int n_bytes;
  };
  for (const Case& c : {
           Case{"\x80", Utf8::kInvalid, 1},
           Case{"\xC0\x80", Utf8::kInvalid, 1},
           Case{"\xC1\xBF", Utf8::kInvalid, 1},
           Case{"\xE0\x9F\xBF", Utf8::kInvalid, 1},
           Case{"\xED\xA0\x80", Utf8::kInvalid, 1},
           Case{"\xF0\x8F\xBF\xBF", Utf8::kInvalid, 1},
           Case{"\xF4\x90\x80\x80", Utf8::kInvalid, 1},
           Case{"\xF5\x80\x80\x80", Utf8::kInvalid, 1},
           Case{"\xFF", Utf8::kInvalid, 1},
           Case{"\xE2\x96 ", Utf8::kInvalid, 2},
           Case{"\xF0\x9F\x98 ", Utf8::kInvalid, 3},
           Case{"\xC3", Utf8::kIncomplete, 1},
           Case{"\xE2\x96", Utf8::kIncomplete, 2},
           Case{"\xF0\x9F\x98", Utf8::kIncomplete, 3},
       }) {
    const text::Decoded decoded = text::decode_utf8(c.bytes, 0);
    EXPECT_EQ(decoded.state, c.state);
    EXPECT_EQ(decoded.n_bytes, c.n_bytes);
    EXPECT_EQ(decoded.code, text::kReplacement);
  }
}

TEST(Unicode, ClassOf_KnowsTheCategories) {
  using text::CharClass;
  const auto is = [](char32_t code, CharClass c) { return text::class_of(code) == text::set_of(c); };
  EXPECT_TRUE(is('a', CharClass::kLower) && is('Z', CharClass::kUpper) && is(0x01C5, CharClass::kTitle));
  EXPECT_TRUE(is(0x02B0, CharClass::kModifierLetter) && is(0x4E2D, CharClass::kOtherLetter));
  EXPECT_TRUE(is(0x0301, CharClass::kNonspacingMark) && is(0x093E, CharClass::kSpacingMark));
  EXPECT_TRUE(is('7', CharClass::kDecimal) && is(0x2160, CharClass::kLetterNumber) &&
              is(0xBD, CharClass::kOtherNumber));
  EXPECT_TRUE(is('.', CharClass::kPunctuation) && is('$', CharClass::kSymbol) && is(0x1F600, CharClass::kSymbol));
  EXPECT_TRUE(is(0, CharClass::kControl) && is(0x200D, CharClass::kFormat) && is(0xE000, CharClass::kPrivateUse));
  EXPECT_TRUE(is(0xD800, CharClass::kSurrogate) && is(0x378, CharClass::kUnassigned));
  EXPECT_EQ(text::class_of(0x110000), 0u);
}

TEST(Unicode, ClassOf_TakesWhiteSpaceForSpace) {
  int n_spaces = 0;
  for (char32_t code = 0; code < 0x110000; ++code) n_spaces += (text::class_of(code) & text::kSpaces) != 0 ? 1 : 0;
  EXPECT_EQ(n_spaces, 25);
  EXPECT_NE(text::class_of(0x85) & text::kSpaces, 0u);
  EXPECT_EQ(text::class_of(0x180E) & text::kSpaces, 0u);  // was a space until Unicode 6.3
  EXPECT_EQ(text::class_of(0x1C) & text::kSpaces, 0u);    // a space to Python's str.isspace only
}

TEST(Unicode, ToLower_MapsOneCharacterToOne) {
  EXPECT_EQ(text::to_lower('Q'), U'q');
  EXPECT_EQ(text::to_lower('['), U'[');
  EXPECT_EQ(text::to_lower(0xC4), 0xE4u);
  EXPECT_EQ(text::to_lower(0x0130), U'i');
  EXPECT_EQ(text::to_lower(0x212A), U'k');
  EXPECT_EQ(text::to_lower(0x10400), 0x10428u);
  EXPECT_EQ(text::to_lower(0x4E2D), 0x4E2Du);
}

TEST(Unicode, Decompose_GoesAllTheWay) {
  EXPECT_EQ(decomposed('a'), U"a");
  EXPECT_EQ(decomposed(0xE9), U"e\u0301");
  EXPECT_EQ(decomposed(0x1EA4), U"A\u0302\u0301");
  EXPECT_EQ(decomposed(0xAC00), U"\u1100\u1161");
  EXPECT_EQ(decomposed(0xD55C), U"\u1112\u1161\u11AB");
  EXPECT_EQ(decomposed(0xF900), U"\u8C48");
}

TEST(Unicode, IsUtf8_MeansWholeCharacters) {
  for (const char* text : {"", "a", "\xE2\x98\x83", "a\xF0\x9F\x98\x80z"}) EXPECT_TRUE(text::is_utf8(text)) << text;
  for (const char* text : {"\xE2\x98", "\x83", "\xFF", "\xC0\x80", "\xED\xA0\x80", "a\xF4\x90\x80\x80"}) {
    EXPECT_FALSE(text::is_utf8(text)) << text;
  }
}

}  // namespace
}  // namespace woolly::test
