#include "text/merge.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "sample_text.h"

namespace woolly::test {
namespace {

using text::kNoToken;
using text::Merge;
using text::Symbol;

/// Any two tokens may merge, at a priority that others have too.
struct TablePairs {
  std::map<std::pair<std::int32_t, std::int32_t>, Merge> merges;

  Merge find(const Symbol& left, const Symbol& right, std::uint32_t /*end*/) const {
    const auto found = merges.find({left.token, right.token});
    return found == merges.end() ? Merge{} : found->second;
  }
};

TablePairs random_pairs(Rng& rng, std::size_t n_tokens, std::size_t n_priorities) {
  TablePairs pairs;
  for (std::size_t i = 0; i < n_tokens * 3; ++i) {
    const auto token = [&] { return static_cast<std::int32_t>(rng.below(n_tokens)); };
    pairs.merges[{token(), token()}] = {static_cast<std::uint32_t>(rng.below(n_priorities)), token()};
  }
  return pairs;
}

std::vector<Symbol> random_word(Rng& rng, std::size_t n_symbols, std::size_t n_tokens) {
  std::vector<Symbol> word;
  for (std::size_t i = 0; i < n_symbols; ++i) {
    word.push_back({static_cast<std::int32_t>(rng.below(n_tokens + 1)) - 1, static_cast<std::uint32_t>(i)});
  }
  return word;
}

/// What the header promises, said in the plainest way.
void merge_plainly(std::vector<Symbol>& symbols, const TablePairs& pairs) {
  while (true) {
    Merge best;
    std::size_t at = 0;
    for (std::size_t i = 0; i + 1 < symbols.size(); ++i) {
      const Merge merge = pairs.find(symbols[i], symbols[i + 1], 0);
      if (merge.priority < best.priority) {
        best = merge;
        at = i;
      }
    }
    if (best.priority == Merge::kNever) return;
    symbols[at].token = best.token;
    symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(at) + 1);
  }
}

void expect_same(const std::vector<Symbol>& found, const std::vector<Symbol>& expected) {
  ASSERT_EQ(found.size(), expected.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    EXPECT_EQ(found[i].token, expected[i].token);
    EXPECT_EQ(found[i].begin, expected[i].begin);
  }
}

TEST(Merge, AnyWord_MergesAsThePlainSearchDoes) {
  Rng rng(7);
  for (int round = 0; round < 300; ++round) {
    const std::size_t n_tokens = 2 + rng.below(12);
    const TablePairs pairs = random_pairs(rng, n_tokens, 1 + rng.below(20));
    text::Merger merger(pairs);
    for (const std::size_t n_symbols : {rng.below(8), rng.below(60), 220 + rng.below(80), 300 + rng.below(200)}) {
      std::vector<Symbol> word = random_word(rng, n_symbols, n_tokens);
      std::vector<Symbol> expected = word;
      merge_plainly(expected, pairs);
      merger.merge(word, static_cast<std::uint32_t>(n_symbols));
      expect_same(word, expected);
    }
  }
}

TEST(Merge, EmptyWord_StaysEmpty) {
  const TablePairs pairs;
  text::Merger merger(pairs);
  std::vector<Symbol> word;
  merger.merge(word, 0);
  EXPECT_TRUE(word.empty());
}

}  // namespace
}  // namespace woolly::test
