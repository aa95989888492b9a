// Each rule against the regular expressions that define it, run by PCRE2.
#include "text/pretokenize.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "models.h"
#include "sample_text.h"
#include "support/shared.h"

namespace woolly::test {
namespace {

using Words = std::vector<std::string_view>;

Words split(std::string_view rule, std::string_view text) {
  const text::PretokenizeRule* row = text::find_pretokenize_rule(rule);
  Words words;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = row->end_of_word(text, at);
    EXPECT_GT(end, at);
    EXPECT_LE(end, text.size());
    if (end <= at || end > text.size()) break;
    words.push_back(text.substr(at, end - at));
    at = end;
  }
  return words;
}

/// One expression. PCRE2's own \s has U+180E in it, so the expressions say White_Space.
class Regex {
 public:
  explicit Regex(const char* pattern) {
    int error = 0;
    PCRE2_SIZE offset = 0;
    code_.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern), PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_UCP,
                              &error, &offset, nullptr));
    EXPECT_NE(code_, nullptr) << pattern << " at " << offset;
    pcre2_jit_compile(code_.get(), PCRE2_JIT_COMPLETE);
    match_.reset(pcre2_match_data_create_from_pattern(code_.get(), nullptr));
  }

  /// Appends the matches in `text` and what lies between them.
  void split(std::string_view text, Words& words) const {
    std::size_t done = 0;
    while (done < text.size()) {
      const int count = pcre2_match(code_.get(), reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), done,
                                    PCRE2_NO_UTF_CHECK, match_.get(), nullptr);
      if (count == PCRE2_ERROR_NOMATCH) break;
      ASSERT_GT(count, 0);
      const PCRE2_SIZE* range = pcre2_get_ovector_pointer(match_.get());
      ASSERT_GT(range[1], range[0]);
      if (range[0] > done) words.push_back(text.substr(done, range[0] - done));
      words.push_back(text.substr(range[0], range[1] - range[0]));
      done = range[1];
    }
    if (done < text.size()) words.push_back(text.substr(done));
  }

 private:
  struct Free {
    void operator()(pcre2_code* code) const { pcre2_code_free(code); }
    void operator()(pcre2_match_data* match) const { pcre2_match_data_free(match); }
  };
  std::unique_ptr<pcre2_code, Free> code_;
  std::unique_ptr<pcre2_match_data, Free> match_;
};

struct Definition {
  const char* rule;
  std::vector<const char*> expressions;  ///< Each splits the pieces that those before it left.
};

#define WS R"(\p{White_Space})"
constexpr const char* kGpt2 =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^)" WS R"(\p{L}\p{N}]+|)" WS R"(+(?!\P{White_Space}))";
constexpr const char* kLlama3 =
    R"((?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^)" WS
    R"(\p{L}\p{N}]+[\r\n]*|)" WS R"(*[\r\n]+|)" WS R"(+(?!\P{White_Space})|)" WS "+";
constexpr const char* kQwen2 =
    R"((?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^)" WS
    R"(\p{L}\p{N}]+[\r\n]*|)" WS R"(*[\r\n]+|)" WS R"(+(?!\P{White_Space})|)" WS "+";
constexpr const char* kQwen35 =
    R"((?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^)" WS
    R"(\p{L}\p{M}\p{N}]+[\r\n]*|)" WS R"(*[\r\n]+|)" WS R"(+(?!\P{White_Space})|)" WS "+";
#define UPPER R"([\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}])"
#define LOWER R"([\p{Ll}\p{Lm}\p{Lo}\p{M}])"
#define SUFFIX "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])?"
#define LEAD R"([^\r\n\p{L}\p{N}]?)"
constexpr const char* kGpt4o =
    LEAD UPPER "*" LOWER "+" SUFFIX "|" LEAD UPPER "+" LOWER "*" SUFFIX R"(|\p{N}{1,3}| ?[^)" WS
               R"(\p{L}\p{N}]+[\r\n/]*|)" WS R"(*[\r\n]+|)" WS R"(+(?!\P{White_Space})|)" WS "+";
constexpr const char* kTekken =
    LEAD UPPER "*" LOWER "+|" LEAD UPPER "+" LOWER R"(*|\p{N}| ?[^)" WS R"(\p{L}\p{N}]+[\r\n/]*|)" WS R"(*[\r\n]+|)" WS
               R"(+(?!\P{White_Space})|)" WS "+";
constexpr const char* kDeepseek3 =
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+)"
    R"(| ?[\p{P}\p{S}]+[\r\n]*|)" WS R"(*[\r\n]+|)" WS R"(+(?!\P{White_Space})|)" WS "+";
#undef WS
#undef UPPER
#undef LOWER
#undef SUFFIX
#undef LEAD

const std::vector<Definition>& definitions() {
  static const std::vector<Definition> list = {
      {"gpt-2", {kGpt2}},
      {"smollm", {R"(\p{N})", kGpt2}},
      {"default", {R"([\p{P}\$\+<=>\^~\|]+)", kGpt2, R"(\p{N}+)", "[0-9][0-9][0-9]"}},
      {"llama-bpe", {kLlama3}},
      {"qwen2", {kQwen2}},
      {"qwen35", {kQwen35}},
      {"gpt-4o", {kGpt4o}},
      {"tekken", {kTekken}},
      {"deepseek-v3", {R"(\p{N}{1,3})", R"([\x{4E00}-\x{9FA5}\x{3040}-\x{309F}\x{30A0}-\x{30FF}]+)", kDeepseek3}},
  };
  return list;
}

void expect_as_defined(std::string_view text) {
  for (const Definition& definition : definitions()) {
    Words expected = {text};
    for (const char* expression : definition.expressions) {
      const Regex regex(expression);
      Words parts;
      for (const std::string_view piece : expected) regex.split(piece, parts);
      expected = std::move(parts);
    }
    const Words found = split(definition.rule, text);
    for (std::size_t i = 0; i < std::min(expected.size(), found.size()); ++i) {
      if (found[i] == expected[i]) continue;
      const auto at = static_cast<std::size_t>(found[i].data() - text.data());
      FAIL() << definition.rule << " at byte " << at << " of '" << text.substr(at < 8 ? 0 : at - 8, 40) << "': '"
             << found[i] << "', expected '" << expected[i] << "'";
    }
    EXPECT_EQ(found.size(), expected.size()) << definition.rule;
  }
}

TEST(Pretokenize, Rules_SplitBooksAsTheirExpressionsDo) {
  for (const char* path : {"corpora/tinyshakespeare.txt", "corpora/frankenstein.txt"}) {
    WOOLLY_NEEDS_SHARED(path);
    expect_as_defined(read_file(shared(path)));
  }
}

TEST(Pretokenize, Rules_SplitAMegabyteOfEveryScriptAsTheirExpressionsDo) {
  expect_as_defined(sample_text(1, std::size_t{1} << 20));
}

TEST(Pretokenize, Rules_SplitManyShortTextsAsTheirExpressionsDo) {
  for (std::uint64_t seed = 0; seed < 300; ++seed) expect_as_defined(sample_text(seed, 1 + seed % 40));
}

TEST(Pretokenize, Rules_TakeEachInvalidByteAsASymbol) {
  EXPECT_EQ(split("gpt-2", "a\xFF\x80 b"), (Words{"a", "\xFF\x80", " b"}));
  EXPECT_EQ(split("llama-bpe", "a \xE2\x96"), (Words{"a", " \xE2\x96"}));
}

TEST(Pretokenize, Rules_SplitRunsOfAnyLengthInLinearTime) {
#ifdef WOOLLY_SANITIZED
  constexpr std::size_t kBytes = 1'000'000;
#else
  constexpr std::size_t kBytes = 10'000'000;
#endif
  for (const Definition& definition : definitions()) {
    for (const std::string_view unit : {"A", " ", "\n", ".", "\xE4\xB8\xAD", "\xCC\x81", "7", " \n", "'", "\xD9\xA1",
                                        "\x01", "A\xE4\xB8\xAD", "a/"}) {
      std::string text;
      while (text.size() < kBytes) text += unit;
      std::size_t n_bytes = 0;
      for (const std::string_view word : split(definition.rule, text)) n_bytes += word.size();
      EXPECT_EQ(n_bytes, text.size());
    }
  }
}

TEST(Pretokenize, Find_KnowsAliasesAndNothingElse) {
  const auto scanner = [](std::string_view name) { return text::find_pretokenize_rule(name)->end_of_word; };
  EXPECT_EQ(scanner("llama3"), scanner("llama-bpe"));
  EXPECT_EQ(scanner("deepseek-r1-qwen"), scanner("qwen2"));
  EXPECT_TRUE(text::find_pretokenize_rule("llama-v3")->takes_whole_words);
  EXPECT_FALSE(text::find_pretokenize_rule("smaug-bpe")->takes_whole_words);
  EXPECT_EQ(text::find_pretokenize_rule("no-such-rule"), nullptr);
  EXPECT_EQ(text::default_pretokenize_rule().name, "default");
}

}  // namespace
}  // namespace woolly::test
