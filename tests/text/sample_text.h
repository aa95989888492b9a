// Texts that make trouble for tokenizers, from a seed.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "text/unicode.h"

namespace woolly::test {

/// Marsaglia's xorshift64: the same numbers everywhere.
class Rng {
 public:
  explicit Rng(std::uint64_t seed) : state_(seed * 2 + 1) {
    for (int i = 0; i < 8; ++i) next();
  }
  /// Below `n` (> 0).
  std::size_t below(std::size_t n) { return static_cast<std::size_t>(next() >> 11) % n; }

 private:
  std::uint64_t next() {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    return state_ ^= state_ << 17;
  }
  std::uint64_t state_;
};

/// At least `n_bytes` of valid UTF-8: scripts, digits, marks, emoji, white space and control characters in short runs.
/// All code points have been in Unicode long enough that every library knows them.
inline std::string sample_text(std::uint64_t seed, std::size_t n_bytes) {
  using Range = std::pair<char32_t, char32_t>;
  static constexpr std::array kRanges = {
      Range{'a', 'z'},         Range{'a', 'z'},         Range{'A', 'Z'},         Range{'0', '9'},
      Range{'0', '9'},         Range{'!', '/'},         Range{':', '@'},         Range{'[', '`'},
      Range{'{', '~'},         Range{0x00, 0x1F},       Range{0x7F, 0xA0},       Range{0xA1, 0xFF},
      Range{0x100, 0x24F},     Range{0x300, 0x36F},     Range{0x391, 0x3A1},     Range{0x400, 0x45F},
      Range{0x5D0, 0x5EA},     Range{0x621, 0x64A},     Range{0x660, 0x669},     Range{0x905, 0x939},
      Range{0x93E, 0x94D},     Range{0x966, 0x96F},     Range{0xE01, 0xE3A},     Range{0x1780, 0x17D3},
      Range{0x1100, 0x1112},   Range{0x1E00, 0x1EFF},   Range{0x2000, 0x200F},   Range{0x2010, 0x206F},
      Range{0x20A0, 0x20BF},   Range{0x2150, 0x218B},   Range{0x2190, 0x21FF},   Range{0x2460, 0x24FF},
      Range{0x3000, 0x303F},   Range{0x3041, 0x3096},   Range{0x4E00, 0x9FA5},   Range{0x4E00, 0x9FA5},
      Range{0xAC00, 0xD7A3},   Range{0xE000, 0xE010},   Range{0xF900, 0xFA0D},   Range{0xFE00, 0xFE0F},
      Range{0xFF10, 0xFF5A},   Range{0x1D7CE, 0x1D7FF}, Range{0x1F600, 0x1F64F}, Range{0x20000, 0x20100},
      Range{0x2B820, 0x2B830}, Range{0x378, 0x379},
  };
  static constexpr const char* kTexts[] = {
      "'s",
      "'S",
      "'T",
      "'t",
      "'re",
      "'RE",
      "'rE",
      "'Ve",
      "'ve",
      "'m",
      "'M",
      "'ll",
      "'LL",
      "'lL",
      "'d",
      "'D",
      "'x",
      "''",
      "'\xC5\xBF",
      "'l",
      "'r",
      "\xE2\x80\x99s",
      " 's",
      "\xE2\x84\xAA",
      " ",
      " ",
      "  ",
      "   ",
      "\n",
      "\n\n",
      "\r\n",
      "\t",
      " \n",
      "\n ",
      " \t ",
      "\r",
      "\xC2\xA0",
      "\xE3\x80\x80",
      "\xE1\xA0\x8E",
      "\xC2\x85",
      "\xE2\x80\xA8",
      "\xF0\x9F\x91\xA9\xE2\x80\x8D\xF0\x9F\x92\xBB",
      "\xF0\x9F\x87\xA9\xF0\x9F\x87\xAA",
      "1234567",
      "12",
      "3.14",
      "1,000,000",
      "the",
      " the",
      " The",
      "Hello",
      "<|im_end|>",
      "</s>",
      "[CLS]",
      "\xE2\x96\x81",
      "e\xCC\x81",
      "foo_bar",
      "==",
      "...",
      "--",
      "x\n\n\ny",
      "    return 0;\n",
      "$5",
      "+1",
      "~`^|",
  };
  Rng rng(seed);
  std::string text;
  while (text.size() < n_bytes) {
    if (rng.below(3) == 0) {
      text += kTexts[rng.below(std::size(kTexts))];
      continue;
    }
    const Range range = kRanges[rng.below(kRanges.size())];
    const std::size_t n = rng.below(8) == 0 ? 1 + rng.below(60) : 1 + rng.below(5);
    const bool repeats = rng.below(6) == 0;
    char32_t code = range.first;
    for (std::size_t i = 0; i < n; ++i) {
      if (i == 0 || !repeats) code = range.first + static_cast<char32_t>(rng.below(range.second - range.first + 1));
      text::append_utf8(code, text);
    }
  }
  return text;
}

/// `n_bytes` of anything, valid UTF-8 by chance only.
inline std::string sample_bytes(std::uint64_t seed, std::size_t n_bytes) {
  Rng rng(seed);
  std::string bytes;
  while (bytes.size() < n_bytes) {
    if (rng.below(2) == 0) {
      bytes += sample_text(rng.below(1000), 1 + rng.below(12));
    } else {
      bytes.push_back(static_cast<char>(rng.below(256)));
    }
  }
  return bytes;
}

}  // namespace woolly::test
