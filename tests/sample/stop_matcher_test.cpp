#include "sample/stop_matcher.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "sample/rng.h"

namespace woolly::sample {
namespace {

StopMatcher make(const std::vector<std::string>& stops) { return std::move(StopMatcher::create(stops)).value(); }

/// Everything that is shown of `text` when it comes in pieces of `piece` bytes.
std::string shown(const std::vector<std::string>& stops, std::string_view text, std::size_t piece,
                  bool* found = nullptr) {
  StopMatcher matcher = make(stops);
  std::string result;
  for (std::size_t at = 0; at < text.size(); at += piece) result += matcher.push(text.substr(at, piece));
  result += matcher.finish();
  if (found != nullptr) *found = matcher.found();
  return result;
}

/// By definition: up to the beginning of the stop string that ends first, of those the longest.
std::string expected_text(const std::vector<std::string>& stops, std::string_view text) {
  for (std::size_t end = 1; end <= text.size(); ++end) {
    std::size_t longest = 0;
    for (const std::string& stop : stops) {
      if (text.substr(0, end).ends_with(stop)) longest = std::max(longest, stop.size());
    }
    if (longest > 0) return std::string(text.substr(0, end - longest));
  }
  return std::string(text);
}

TEST(StopMatcher, Push_PassesTextThroughWithoutStopStrings) {
  StopMatcher matcher = make({});
  EXPECT_EQ(matcher.push("hello"), "hello");
  EXPECT_EQ(matcher.finish(), "");
  EXPECT_FALSE(matcher.found());
}

TEST(StopMatcher, Push_FindsAStopStringThatSpansPieces) {
  StopMatcher matcher = make({"\nUser:"});
  EXPECT_EQ(matcher.push("Yes.\n"), "Yes.");
  EXPECT_EQ(matcher.push("Us"), "");
  EXPECT_EQ(matcher.push("er: what"), "");
  EXPECT_TRUE(matcher.found());
  EXPECT_EQ(matcher.push("more"), "");
  EXPECT_EQ(matcher.finish(), "");
}

TEST(StopMatcher, Push_ReleasesAFalseBeginning) {
  StopMatcher matcher = make({"abcd"});
  EXPECT_EQ(matcher.push("xabc"), "x");
  EXPECT_EQ(matcher.push("abc"), "abc");
  EXPECT_EQ(matcher.push("e"), "abce");
  EXPECT_FALSE(matcher.found());
}

TEST(StopMatcher, Push_HoldsBackNoMoreThanABeginning) {
  StopMatcher matcher = make({"aab"});
  EXPECT_EQ(matcher.push("aaaa"), "aa");
  EXPECT_EQ(matcher.push("b"), "");
  EXPECT_TRUE(matcher.found());
}

TEST(StopMatcher, Push_TakesTheStopStringThatEndsFirst) {
  bool found = false;
  EXPECT_EQ(shown({"abc", "b"}, "xabc", 1, &found), "xa");
  EXPECT_TRUE(found);
  EXPECT_EQ(shown({"bc", "abc"}, "xabc", 1), "x");
  EXPECT_EQ(shown({"a", "ab"}, "xab", 3), "x");
}

TEST(StopMatcher, Finish_GivesWhatWasHeldBack) {
  StopMatcher matcher = make({"stop"});
  EXPECT_EQ(matcher.push("don't sto"), "don't ");
  EXPECT_EQ(matcher.finish(), "sto");
  EXPECT_FALSE(matcher.found());
}

TEST(StopMatcher, Create_RefusesAnEmptyStopString) {
  const Result<StopMatcher> matcher = StopMatcher::create({"a", ""});
  ASSERT_FALSE(matcher);
  EXPECT_EQ(matcher.error().message, "a stop string is empty, allowed is at least one byte");
}

TEST(StopMatcher, Push_AgreesWithTheDefinitionOnRandomTexts) {
  Rng rng(11);
  const auto random_text = [&](std::size_t n) {
    std::string text;
    while (text.size() < n) text += static_cast<char>('a' + rng.next() % 2);
    return text;
  };
  for (int round = 0; round < 3000; ++round) {
    std::vector<std::string> stops;
    for (std::size_t n = rng.next() % 4; stops.size() < n;) stops.push_back(random_text(2 + rng.next() % 7));
    const std::string text = random_text(rng.next() % 40);
    const std::string expected = expected_text(stops, text);
    for (const std::size_t piece : {1u, 2u, 3u, 100u}) {
      bool found = false;
      EXPECT_EQ(shown(stops, text, piece, &found), expected) << text;
      EXPECT_EQ(found, expected != text) << text;
    }
  }
}

// A matcher that looks again at what it holds for every byte would need 10^11 steps here.
TEST(StopMatcher, Push_IsLinearForLongOverlappingStopStrings) {
  const std::string stop = std::string(100'000, 'a') + "b";
  const std::string text(1'000'000, 'a');
  EXPECT_EQ(shown({stop}, text, 1000), text);
}

}  // namespace
}  // namespace woolly::sample
