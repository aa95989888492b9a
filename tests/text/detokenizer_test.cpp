#include "text/detokenizer.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "models.h"
#include "sample_text.h"
#include "text/unicode.h"

namespace woolly::test {
namespace {

/// Token `i` is `pieces[i]`.
class PieceTokenizer final : public Tokenizer {
 public:
  explicit PieceTokenizer(std::vector<std::string> pieces, bool strips = true)
      : pieces_(std::move(pieces)), strips_(strips) {}
  std::vector<TokenId> encode(std::string_view, EncodeOptions) const override { return {}; }
  std::vector<TokenId> encode(std::span<const TextPart>, bool) const override { return {}; }
  std::string_view piece(TokenId token, bool) const override { return pieces_[static_cast<std::size_t>(token.value)]; }
  std::size_t vocab_size() const noexcept override { return pieces_.size(); }
  std::optional<TokenId> bos() const noexcept override { return {}; }
  std::optional<TokenId> eos() const noexcept override { return {}; }
  bool adds_bos() const noexcept override { return false; }
  bool is_end_of_generation(TokenId) const noexcept override { return false; }
  bool strips_leading_space() const noexcept override { return strips_; }
  std::string_view model_name() const noexcept override { return "pieces"; }
  std::string_view pre_name() const noexcept override { return "default"; }
  const std::vector<std::string>& warnings() const noexcept override { return warnings_; }

 private:
  std::vector<std::string> pieces_;
  bool strips_;
  std::vector<std::string> warnings_;
};

/// What each push and the finish gave.
std::vector<std::string> stream(const std::vector<std::string>& pieces, bool at_start = false, bool strips = true) {
  const PieceTokenizer tokenizer(pieces, strips);
  text::Detokenizer detokenizer(tokenizer, at_start);
  std::vector<std::string> parts;
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    parts.emplace_back(detokenizer.push({static_cast<std::int32_t>(i)}));
  }
  parts.emplace_back(detokenizer.finish());
  return parts;
}

std::string joined(const std::vector<std::string>& parts) {
  std::string text;
  for (const std::string& part : parts) text += part;
  return text;
}

using Parts = std::vector<std::string>;

TEST(Detokenizer, Push_HoldsBackAnUnfinishedCharacter) {
  EXPECT_EQ(stream({"a\xF0\x9F", "\x98", "\x80 b"}), (Parts{"a", "", "\xF0\x9F\x98\x80 b", ""}));
}

TEST(Detokenizer, Push_ReplacesBytesThatAreNoCharacter) {
  EXPECT_EQ(stream({"a\xFF"
                    "b",
                    "\xE2\x96", "c"}),
            (Parts{"a\xEF\xBF\xBD"
                   "b",
                   "",
                   "\xEF\xBF\xBD"
                   "c",
                   ""}));
}

TEST(Detokenizer, Finish_GivesOneReplacementForAnUnfinishedCharacter) {
  EXPECT_EQ(stream({"a", "\xF0\x9F\x98"}), (Parts{"a", "", "\xEF\xBF\xBD"}));
  EXPECT_EQ(stream({"a"}), (Parts{"a", ""}));
}

TEST(Detokenizer, AtStart_DropsOneSpaceOfTheFirstPieceThatShows) {
  EXPECT_EQ(joined(stream({"", " a", " b"}, true)), "a b");
  EXPECT_EQ(joined(stream({"  a"}, true)), " a");
  EXPECT_EQ(joined(stream({"x", " a"}, true)), "x a");
  EXPECT_EQ(joined(stream({" a"}, false)), " a");
  EXPECT_EQ(joined(stream({" a"}, true, false)), " a");
}

TEST(Detokenizer, Streaming_GivesWhatOnePieceWouldGive) {
  Rng rng(3);
  for (std::uint64_t seed = 0; seed < 500; ++seed) {
    const std::string bytes = sample_bytes(seed, 40);
    std::vector<std::string> pieces;
    for (std::size_t at = 0; at < bytes.size();) {
      const std::size_t n = rng.below(4);
      pieces.push_back(bytes.substr(at, n));
      at += pieces.back().size();
    }
    const std::vector<std::string> parts = stream(pieces);
    EXPECT_EQ(joined(parts), joined(stream({bytes})));
    for (const std::string& part : parts) {
      for (std::size_t at = 0; at < part.size();) {
        const text::Decoded decoded = text::decode_utf8(part, at);
        ASSERT_EQ(decoded.state, text::Utf8::kValid);
        at += decoded.n_bytes;
      }
    }
  }
}

TEST(Detokenizer, ShowSpecial_LetsControlTokensBeSeen) {
  const auto tokenizer = build_tokenizer(byte_level_model({}));
  ASSERT_TRUE(tokenizer);
  text::Detokenizer hidden(**tokenizer);
  EXPECT_EQ(hidden.push({256}), "");
  text::Detokenizer shown(**tokenizer, false, true);
  EXPECT_EQ(shown.push({256}), "<|im_start|>");
}

}  // namespace
}  // namespace woolly::test
