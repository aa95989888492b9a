#include "sample/filters.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>
#include <vector>

#include "sample/rng.h"
#include "sample/sampler.h"

namespace woolly::sample {
namespace {

const Filter& find_filter(std::string_view name) {
  return *std::ranges::find_if(all_filters(), [&](const Filter& filter) { return filter.name == name; });
}

/// Logits like a model's, with ties: multiples of 1/8 from a bell of sums.
std::vector<float> random_logits(std::size_t n, std::uint64_t seed) {
  Rng rng(seed);
  std::vector<float> logits(n);
  for (float& logit : logits) {
    double sum = 0.0;
    for (int i = 0; i < 6; ++i) sum += rng.next_unit();
    logit = static_cast<float>(std::round((sum - 3.0) * 32.0) / 8.0);
  }
  return logits;
}

std::vector<Candidate> to_candidates(const std::vector<float>& logits) {
  std::vector<Candidate> candidates;
  for (const float logit : logits) candidates.push_back({logit, static_cast<std::int32_t>(candidates.size())});
  return candidates;
}

std::vector<Candidate> sorted(std::vector<Candidate> candidates) {
  std::ranges::sort(candidates, comes_before);
  return candidates;
}

std::vector<std::int32_t> ids(std::span<const Candidate> candidates) {
  std::vector<std::int32_t> result;
  for (const Candidate& candidate : candidates) result.push_back(candidate.id);
  return result;
}

/// The softmax of the definition, in the order of `candidates`.
std::vector<double> probabilities(std::span<const Candidate> candidates) {
  std::vector<double> shares;
  for (const Candidate& candidate : candidates) shares.push_back(std::exp(static_cast<double>(candidate.logit)));
  const double total = std::accumulate(shares.begin(), shares.end(), 0.0);
  for (double& share : shares) share /= total;
  return shares;
}

/// Runs one filter over `logits`.
std::vector<Candidate> filtered(std::string_view name, const SamplingOptions& options, const std::vector<float>& logits,
                                const std::vector<std::int32_t>& recent_ids = {}) {
  RecentTokens recent(recent_ids.empty() ? 0 : options.repeat_last_n, logits.size());
  for (const std::int32_t id : recent_ids) recent.push(TokenId{id});
  std::vector<Candidate> storage = to_candidates(logits);
  Candidates candidates{storage};
  find_filter(name).apply(options, recent, candidates);
  return {candidates.items.begin(), candidates.items.end()};
}

TEST(Filters, Table_HasDistinctNamesAndWorkingOptions) {
  std::set<std::string_view> names;
  for (const Filter& filter : all_filters()) {
    EXPECT_TRUE(names.insert(filter.name).second) << filter.name;
    EXPECT_TRUE(names.insert(filter.flag).second) << filter.flag;
    EXPECT_FALSE(filter.help.empty()) << filter.name;
    EXPECT_EQ(filter.apply == nullptr, filter.kind == FilterKind::kParameter) << filter.name;
    EXPECT_EQ(filter.is_on == nullptr, filter.kind == FilterKind::kParameter) << filter.name;
    SamplingOptions options;
    filter.set(options, 1.0);
    EXPECT_EQ(filter.get(options), 1.0) << filter.name;
  }
}

TEST(Filters, Table_DefaultsAreInRangeAndEveryPenaltyIsOff) {
  const SamplingOptions options;
  EXPECT_TRUE(check_ranges(options));
  for (const Filter& filter : all_filters()) {
    if (filter.kind != FilterKind::kPenalty) continue;
    EXPECT_FALSE(filter.is_on(options)) << filter.name;
  }
}

TEST(Filters, CheckRanges_NamesOptionValueAndRange) {
  for (const Filter& filter : all_filters()) {
    const double infinity = std::numeric_limits<double>::infinity();
    std::vector<double> outside;
    if (filter.range.min > -infinity)
      outside.push_back(filter.range.excludes_min ? filter.range.min : filter.range.min - 1);
    if (filter.range.max < 1e6) outside.push_back(filter.range.max + 1);
    for (const double value : outside) {
      SamplingOptions options;
      std::visit([&](auto member) { options.*member = static_cast<std::decay_t<decltype(options.*member)>>(value); },
                 filter.option);
      const Status status = check_ranges(options);
      ASSERT_FALSE(status) << filter.name << " " << value;
      EXPECT_EQ(status.error().code, ErrorCode::kInvalidArgument);
      EXPECT_TRUE(status.error().message.starts_with(std::string(filter.name) + ": ")) << status.error().message;
      EXPECT_NE(status.error().message.find(filter.range.describe()), std::string::npos) << status.error().message;
    }
    if (filter.is_integer()) continue;
    for (const double value : {infinity, -infinity, std::nan("")}) {
      SamplingOptions options;
      options.*std::get<float SamplingOptions::*>(filter.option) = static_cast<float>(value);
      EXPECT_FALSE(check_ranges(options)) << filter.name << " " << value;
    }
  }
}

TEST(Filters, CheckRanges_MessageReadsWell) {
  SamplingOptions options;
  options.top_p = 1.5F;
  EXPECT_EQ(check_ranges(options).error().message, "top_p: 1.5, allowed is above 0 and at most 1");
  options = {};
  options.temperature = -1.0F;
  EXPECT_EQ(check_ranges(options).error().message, "temperature: -1, allowed is at least 0, finite");
}

TEST(Filters, TopK_KeepsTheFirstKOfTheTotalOrder) {
  for (const std::size_t n : {1u, 2u, 3u, 7u, 100u, 1000u, 5000u}) {
    for (const std::int32_t k : {1, 2, 3, 40, 99, 100, 101, 4999}) {
      const std::vector<float> logits = random_logits(n, n + static_cast<std::size_t>(k));
      SamplingOptions options;
      options.top_k = k;
      const std::vector<Candidate> kept = filtered("top_k", options, logits);
      if (static_cast<std::size_t>(k) >= n) {
        EXPECT_EQ(ids(kept), ids(to_candidates(logits)));
        continue;
      }
      std::vector<Candidate> expected = sorted(to_candidates(logits));
      expected.resize(static_cast<std::size_t>(k));
      EXPECT_EQ(ids(kept), ids(expected)) << n << " " << k;
    }
  }
}

TEST(Filters, TopK_TakesAscendingDescendingAndEqualLogits) {
  constexpr std::size_t kSize = 10'000;
  SamplingOptions options;
  options.top_k = 50;
  std::vector<float> logits(kSize);
  std::iota(logits.begin(), logits.end(), 0.0F);
  EXPECT_EQ(filtered("top_k", options, logits).front().id, static_cast<std::int32_t>(kSize - 1));
  std::ranges::reverse(logits);
  EXPECT_EQ(filtered("top_k", options, logits).back().id, 49);
  std::ranges::fill(logits, 1.0F);
  EXPECT_EQ(filtered("top_k", options, logits).back().id, 49);
}

TEST(Filters, TopP_KeepsTheSmallestSetThatReachesIt) {
  for (const std::size_t n : {1u, 5u, 200u, 3000u}) {
    for (const float p : {0.0001F, 0.1F, 0.5F, 0.95F, 0.999F}) {
      const std::vector<float> logits = random_logits(n, n);
      SamplingOptions options;
      options.top_p = p;
      const std::vector<Candidate> all = sorted(to_candidates(logits));
      const std::vector<double> shares = probabilities(all);
      std::size_t n_expected = 0;
      for (double reached = 0.0; n_expected < n && reached < static_cast<double>(p);) reached += shares[n_expected++];
      const std::vector<Candidate> kept = filtered("top_p", options, logits);
      EXPECT_EQ(ids(kept), ids(std::span(all).first(n_expected))) << n << " " << p;
    }
  }
}

TEST(Filters, MinP_DropsWhatIsBelowTheShareOfTheMostLikely) {
  for (const float p : {0.001F, 0.05F, 0.3F, 1.0F}) {
    const std::vector<float> logits = random_logits(2000, 3);
    SamplingOptions options;
    options.min_p = p;
    const double max = static_cast<double>(*std::ranges::max_element(logits));
    std::vector<std::int32_t> expected;
    for (const Candidate& candidate : to_candidates(logits)) {
      if (std::exp(static_cast<double>(candidate.logit) - max) >= static_cast<double>(p))
        expected.push_back(candidate.id);
    }
    EXPECT_EQ(ids(filtered("min_p", options, logits)), expected) << p;
  }
}

TEST(Filters, Temperature_ScalesProbabilities) {
  const std::vector<float> logits{1.0F, 3.0F, 2.0F, kNever};
  SamplingOptions options;
  options.temperature = 0.5F;
  EXPECT_EQ(filtered("temperature", options, logits)[0].logit, -4.0F);
  EXPECT_EQ(filtered("temperature", options, logits)[1].logit, 0.0F);
  EXPECT_EQ(filtered("temperature", options, logits)[2].logit, -2.0F);
  EXPECT_EQ(filtered("temperature", options, logits)[3].logit, kNever);
  options.temperature = std::numeric_limits<float>::denorm_min();
  EXPECT_EQ(filtered("temperature", options, logits)[1].logit, 0.0F);
  EXPECT_EQ(filtered("temperature", options, logits)[2].logit, kNever);
}

TEST(Filters, Penalties_ChangeRecentTokensOnly) {
  const std::vector<float> logits{2.0F, -2.0F, 4.0F, 0.5F};
  const std::vector<std::int32_t> recent{0, 1, 1};
  SamplingOptions options;
  options.repeat_penalty = 2.0F;
  options.presence_penalty = 0.5F;
  options.frequency_penalty = 0.25F;
  const auto logits_after = [&](std::string_view name) {
    std::vector<float> result;
    for (const Candidate& candidate : filtered(name, options, logits, recent)) result.push_back(candidate.logit);
    return result;
  };
  EXPECT_EQ(logits_after("repeat_penalty"), (std::vector{1.0F, -4.0F, 4.0F, 0.5F}));
  EXPECT_EQ(logits_after("presence_penalty"), (std::vector{1.5F, -2.5F, 4.0F, 0.5F}));
  EXPECT_EQ(logits_after("frequency_penalty"), (std::vector{1.75F, -2.5F, 4.0F, 0.5F}));
}

TEST(RecentTokens, Window_CountsTheLastTokensOnly) {
  constexpr std::size_t kVocab = 10;
  Rng rng(5);
  for (const std::int32_t last_n : {-1, 0, 1, 3, 64}) {
    RecentTokens recent(last_n, kVocab);
    std::vector<std::int32_t> text;
    for (int step = 0; step < 300; ++step) {
      text.push_back(static_cast<std::int32_t>(rng.next() % kVocab));
      recent.push(TokenId{text.back()});
      const std::size_t n_window = last_n < 0 ? text.size() : std::min(text.size(), static_cast<std::size_t>(last_n));
      const std::vector<std::int32_t> window(text.end() - static_cast<std::ptrdiff_t>(n_window), text.end());
      const std::set<std::int32_t> expected(window.begin(), window.end());
      ASSERT_EQ(std::set<std::int32_t>(recent.distinct().begin(), recent.distinct().end()), expected);
      ASSERT_EQ(recent.distinct().size(), expected.size());
      for (const std::int32_t id : expected) {
        ASSERT_EQ(recent.count(id), static_cast<std::uint64_t>(std::ranges::count(window, id)));
      }
    }
  }
}

}  // namespace
}  // namespace woolly::sample
