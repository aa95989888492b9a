#include "speculate/lookup_drafter.h"

#include <gtest/gtest.h>

#include <random>

namespace woolly::speculate {
namespace {

std::vector<TokenId> ids(std::initializer_list<std::int32_t> values) {
  std::vector<TokenId> tokens;
  for (const std::int32_t value : values) tokens.push_back({value});
  return tokens;
}

std::vector<std::int32_t> tokens_of(std::span<const Draft> drafts) {
  std::vector<std::int32_t> tokens;
  for (const Draft& draft : drafts) tokens.push_back(draft.token.value);
  return tokens;
}

std::vector<std::int32_t> drafts_after(std::initializer_list<std::int32_t> text, std::size_t n) {
  LookupDrafter drafter(100);
  EXPECT_TRUE(drafter.append(ids(text)));
  return tokens_of(*drafter.propose(n));
}

using Ids = std::vector<std::int32_t>;

TEST(LookupDrafter, DraftsWhatFollowedBefore) { EXPECT_EQ(drafts_after({1, 2, 3, 4, 5, 1, 2}, 3), (Ids{3, 4, 5})); }

TEST(LookupDrafter, DraftsNothingWithoutAMatch) {
  EXPECT_EQ(drafts_after({}, 3), Ids{});
  EXPECT_EQ(drafts_after({1}, 3), Ids{});
  EXPECT_EQ(drafts_after({1, 2, 3, 4, 5}, 3), Ids{});
  EXPECT_EQ(drafts_after({1, 2, 3, 4, 1}, 3), Ids{}) << "one token is no match";
}

TEST(LookupDrafter, TheLongestMatchCounts) {
  // 3 4 stood twice; four tokens match the first place, two the later one.
  EXPECT_EQ(drafts_after({1, 2, 3, 4, 7, 9, 9, 3, 4, 8, 1, 2, 3, 4}, 1), Ids{7});
}

TEST(LookupDrafter, OfEqualMatchesTheLastCounts) {
  EXPECT_EQ(drafts_after({1, 2, 7, 1, 2, 8, 1, 2}, 1), Ids{8});
}

TEST(LookupDrafter, RepeatsWhatRepeatsAtTheEnd) {
  EXPECT_EQ(drafts_after({1, 2, 3, 1, 2, 3}, 8), (Ids{1, 2, 3, 1, 2, 3, 1, 2}));
  EXPECT_EQ(drafts_after({5, 5, 5, 5}, 4), (Ids{5, 5, 5, 5}));
}

TEST(LookupDrafter, LongerMatchesAreMoreConfident) {
  LookupDrafter drafter(1000);
  std::vector<TokenId> text;
  for (std::int32_t i = 0; i < 60; ++i) text.push_back({i});
  ASSERT_TRUE(drafter.append(text));
  std::size_t last = 0;
  double last_prior = 0;
  for (std::int32_t i = 0; i < 40; ++i) {
    drafter.accept({i});
    const auto drafts = *drafter.propose(1);
    if (i == 0) {
      EXPECT_TRUE(drafts.empty());
      continue;
    }
    ASSERT_EQ(tokens_of(drafts), Ids{i + 1});
    EXPECT_GE(drafts[0].confidence, last);
    last = drafts[0].confidence;
    ASSERT_LT(last, drafter.priors().size());
    EXPECT_GE(drafter.priors()[last], last_prior);
    last_prior = drafter.priors()[last];
  }
  EXPECT_EQ(last + 1, drafter.priors().size());
}

TEST(LookupDrafter, AllDraftsStoodInTheTextHoweverLongItIs) {
  // Far more tokens than the drafter has entries for, of few ids, so that every n-gram is contended.
  LookupDrafter drafter(1);
  std::mt19937 random(7);
  std::vector<std::int32_t> text;
  for (int i = 0; i < 20'000; ++i) {
    const auto token = static_cast<std::int32_t>(random() % 5);
    text.push_back(token);
    drafter.accept({token});
    const auto drafts = tokens_of(*drafter.propose(3));
    if (drafts.empty()) continue;
    ASSERT_EQ(drafts.size(), 3U);
    for (const std::int32_t draft : drafts) ASSERT_TRUE(draft >= 0 && draft < 5);
  }
  // A part of the text again. Some of its n-grams have lost their entries since, so not all is found.
  int n_right = 0;
  for (std::size_t i = 19'000; i < 19'500; ++i) {
    const auto drafts = tokens_of(*drafter.propose(1));
    if (!drafts.empty() && drafts[0] == text[i]) ++n_right;
    drafter.accept({text[i]});
  }
  EXPECT_GT(n_right, 300);
}

}  // namespace
}  // namespace woolly::speculate
