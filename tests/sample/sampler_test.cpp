#include "sample/sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <new>
#include <vector>

#include "sample/rng.h"

namespace {
std::atomic<std::size_t> n_allocations{0};
}

// Not inlined: g++ would take the free() in one for a mismatch of the other.
[[gnu::noinline]] void* operator new(std::size_t size) {
  ++n_allocations;
  if (void* memory = std::malloc(size > 0 ? size : 1)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace woolly::sample {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

Sampler make(const SamplingOptions& options, std::size_t vocab_size) {
  Result<Sampler> sampler = Sampler::create(options, vocab_size);
  if (!sampler) ADD_FAILURE() << sampler.error().message;
  return std::move(sampler).value();
}

SamplingOptions greedy() {
  SamplingOptions options;
  options.temperature = 0.0F;
  return options;
}

/// No filter; temperature 1.
SamplingOptions plain() {
  SamplingOptions options;
  options.temperature = 1.0F;
  options.top_k = 0;
  options.top_p = 1.0F;
  return options;
}

std::vector<std::int32_t> picks(const SamplingOptions& options, const std::vector<float>& logits, int n) {
  Sampler sampler = make(options, logits.size());
  std::vector<std::int32_t> result;
  for (int i = 0; i < n; ++i) {
    const TokenId token = sampler.pick(logits);
    sampler.accept(token);
    result.push_back(token.value);
  }
  return result;
}

/// The same on every machine: exact operations only.
std::vector<float> ramp(std::size_t n) {
  Rng rng(42);
  std::vector<float> logits(n);
  for (float& logit : logits) logit = static_cast<float>(static_cast<std::int64_t>(rng.next() % 2048) - 1024) / 128.0F;
  return logits;
}

TEST(Sampler, Pick_GreedyTakesTheLargestAndOfEqualsTheLowestId) {
  Sampler sampler = make(greedy(), 4);
  EXPECT_EQ(sampler.pick(std::vector{1.0F, 3.0F, 3.0F, 2.0F}).value, 1);
  EXPECT_EQ(sampler.pick(std::vector{-0.0F, 0.0F, -1.0F, -0.0F}).value, 0);
  EXPECT_EQ(sampler.pick(std::vector{kNan, -kInfinity, -5.0F, kNan}).value, 2);
  EXPECT_EQ(sampler.pick(std::vector{0.0F, kInfinity, kInfinity, 1.0F}).value, 1);
}

TEST(Sampler, Pick_TakesTheLowestAllowedIdWhereNothingIsLeft) {
  const std::vector<float> nothing{kNan, -kInfinity, kNan, -kInfinity};
  for (SamplingOptions options : {greedy(), plain(), SamplingOptions{}}) {
    EXPECT_EQ(make(options, 4).pick(nothing).value, 0);
    options.logit_bias = {{TokenId{1}, -kInfinity}, {TokenId{0}, -kInfinity}, {TokenId{0}, -kInfinity}};
    EXPECT_EQ(make(options, 4).pick(nothing).value, 2);
    options.logit_bias = {
        {TokenId{0}, -kInfinity}, {TokenId{1}, -kInfinity}, {TokenId{2}, -kInfinity}, {TokenId{3}, -kInfinity}};
    EXPECT_EQ(make(options, 4).pick(std::vector{1.0F, 2.0F, 3.0F, 4.0F}).value, 0);
  }
}

TEST(Sampler, Pick_NeverDrawsABannedOrImpossibleToken) {
  SamplingOptions options = plain();
  options.logit_bias = {{TokenId{2}, -kInfinity}};
  const std::vector<std::int32_t> drawn = picks(options, {kNan, 0.0F, 100.0F, -kInfinity, 0.0F}, 1000);
  for (const std::int32_t id : drawn) EXPECT_TRUE(id == 1 || id == 4) << id;
}

TEST(Sampler, Pick_InfiniteLogitsShareTheChoice) {
  const std::vector<std::int32_t> drawn = picks(SamplingOptions{}, {kInfinity, 0.0F, kInfinity}, 200);
  EXPECT_EQ(std::ranges::count(drawn, 1), 0);
  EXPECT_GT(std::ranges::count(drawn, 0), 50);
  EXPECT_GT(std::ranges::count(drawn, 2), 50);
}

TEST(Sampler, Pick_BiasComesBeforePenalties) {
  SamplingOptions options = greedy();
  options.logit_bias = {{TokenId{0}, 3.0F}};
  options.repeat_penalty = 2.0F;
  Sampler sampler = make(options, 2);
  const std::vector<float> logits{-1.0F, 1.5F};
  EXPECT_EQ(sampler.pick(logits).value, 0);  // -1 + 3 = 2 > 1.5
  sampler.accept(TokenId{0});
  EXPECT_EQ(sampler.pick(logits).value, 1);  // 2 / 2 = 1 < 1.5; the penalty first would give -1 * 2 + 3 = 1
  sampler.accept(TokenId{1});
  EXPECT_EQ(sampler.pick(logits).value, 0);  // 1 > 1.5 / 2
}

TEST(Sampler, Pick_PenaltiesForgetWhatLeavesTheWindow) {
  SamplingOptions options = greedy();
  options.presence_penalty = 1.0F;
  options.repeat_last_n = 1;
  EXPECT_EQ(picks(options, {1.0F, 0.5F, -2.0F}, 6), (std::vector<std::int32_t>{0, 1, 0, 1, 0, 1}));
}

TEST(Sampler, Forget_BeginsAnEmptyText) {
  SamplingOptions options = greedy();
  options.frequency_penalty = 1.0F;
  for (const std::int32_t last_n : {-1, 3}) {
    options.repeat_last_n = last_n;
    auto sampler = Sampler::create(options, 2);
    ASSERT_TRUE(sampler);
    const std::vector<float> logits = {1.0F, 0.5F};
    for (const int n : {5, 1, 0, 5}) {
      for (int i = 0; i < n; ++i) sampler->accept({0});
      EXPECT_EQ(sampler->pick(logits).value, n == 0 ? 0 : 1);
      sampler->forget();
      EXPECT_EQ(sampler->pick(logits).value, 0);
    }
  }
}

TEST(Sampler, Pick_TopPLooksAtProbabilitiesBeforeTemperature) {
  SamplingOptions options = plain();
  // Softmax of {1, 0, 0}: 0.576, 0.212, 0.212, so 0.7 keeps two; at temperature 100 all three would be as likely.
  options.top_p = 0.7F;
  options.temperature = 100.0F;
  const std::vector<std::int32_t> drawn = picks(options, {1.0F, 0.0F, 0.0F}, 400);
  EXPECT_GT(std::ranges::count(drawn, 1), 100);
  EXPECT_EQ(std::ranges::count(drawn, 2), 0);
}

// The frequencies of 20,000 draws against the softmax of the definition; the 99.9 % point of chi-square with 7 degrees
// of freedom is 24.3.
TEST(Sampler, Pick_DrawsWithTheProbabilitiesOfTheSoftmax) {
  const std::vector<float> logits{0.0F, 1.0F, -1.0F, 2.0F, 0.5F, -2.0F, 1.5F, 0.0F};
  constexpr int kDraws = 20'000;
  for (const float temperature : {0.7F, 1.0F, 2.0F}) {
    SamplingOptions options = plain();
    options.temperature = temperature;
    options.seed = 1234;
    std::array<double, 8> counts{};
    for (const std::int32_t id : picks(options, logits, kDraws)) counts[static_cast<std::size_t>(id)] += 1.0;
    double total = 0.0;
    for (const float logit : logits) total += std::exp(static_cast<double>(logit / temperature));
    double chi_square = 0.0;
    for (std::size_t i = 0; i < logits.size(); ++i) {
      const double expected = kDraws * std::exp(static_cast<double>(logits[i] / temperature)) / total;
      chi_square += (counts[i] - expected) * (counts[i] - expected) / expected;
    }
    EXPECT_LT(chi_square, 24.3) << temperature;
  }
}

// The sequences come from a second statement of the sampler (Python, sorting where this one selects) and hold every
// machine and compiler to the same ones.
TEST(Sampler, Pick_GivesKnownSequencesForKnownSeeds) {
  const std::vector<float> logits = ramp(1000);
  SamplingOptions options;
  options.seed = 1;
  EXPECT_EQ(picks(options, logits, 12),
            (std::vector<std::int32_t>{660, 877, 14, 145, 660, 965, 553, 145, 826, 624, 482, 187}));
  options.seed = 2;
  options.temperature = 1.3F;
  options.min_p = 0.02F;
  options.repeat_penalty = 1.1F;
  options.presence_penalty = 0.3F;
  options.frequency_penalty = 0.2F;
  EXPECT_EQ(picks(options, logits, 12),
            (std::vector<std::int32_t>{965, 362, 489, 254, 791, 683, 802, 312, 314, 482, 123, 877}));
  options = plain();
  options.seed = 3;
  EXPECT_EQ(picks(options, logits, 12),
            (std::vector<std::int32_t>{660, 616, 224, 553, 454, 389, 223, 683, 908, 193, 887, 644}));
  options = plain();
  options.seed = 4;
  options.top_p = 0.9F;
  EXPECT_EQ(picks(options, logits, 12),
            (std::vector<std::int32_t>{877, 644, 254, 60, 490, 299, 572, 828, 553, 768, 553, 113}));
}

TEST(Sampler, Pick_DependsOnTheSeed) {
  const std::vector<float> logits = ramp(1000);
  SamplingOptions options;
  options.seed = 1;
  const std::vector<std::int32_t> first = picks(options, logits, 20);
  EXPECT_EQ(picks(options, logits, 20), first);
  options.seed = 2;
  EXPECT_NE(picks(options, logits, 20), first);
}

TEST(Sampler, PickAndAccept_AllocateNothing) {
  const std::vector<float> logits = ramp(5000);
  SamplingOptions everything;
  everything.min_p = 0.01F;
  everything.repeat_penalty = 1.1F;
  everything.presence_penalty = 0.1F;
  everything.frequency_penalty = 0.1F;
  everything.logit_bias = {{TokenId{3}, 1.0F}};
  SamplingOptions everything_kept = everything;
  everything_kept.repeat_last_n = -1;
  everything_kept.top_k = 0;
  for (const SamplingOptions& options : {greedy(), plain(), SamplingOptions{}, everything, everything_kept}) {
    Sampler sampler = make(options, logits.size());
    const std::size_t before = n_allocations;
    for (int i = 0; i < 200; ++i) sampler.accept(sampler.pick(logits));
    EXPECT_EQ(n_allocations, before);
  }
}

TEST(Sampler, Create_RejectsOptionsOutsideOfTheirRange) {
  const auto refusal = [](const SamplingOptions& options, std::size_t vocab_size) {
    const Result<Sampler> sampler = Sampler::create(options, vocab_size);
    return sampler ? "" : sampler.error().message;
  };
  SamplingOptions options;
  options.min_p = -0.5F;
  EXPECT_EQ(refusal(options, 10), "min_p: -0.5, allowed is at least 0 and at most 1");
  options = {};
  options.logit_bias = {{TokenId{10}, 1.0F}};
  EXPECT_EQ(refusal(options, 10), "logit_bias: token 10, the vocabulary has 10");
  options.logit_bias = {{TokenId{-1}, 1.0F}};
  EXPECT_EQ(refusal(options, 10), "logit_bias: token -1, the vocabulary has 10");
  options.logit_bias = {{TokenId{1}, kInfinity}};
  EXPECT_EQ(refusal(options, 10), "logit_bias: inf for token 1, allowed is any finite number and -inf");
  options.logit_bias = {{TokenId{1}, kNan}};
  EXPECT_EQ(refusal(options, 10), "logit_bias: nan for token 1, allowed is any finite number and -inf");
  EXPECT_EQ(refusal({}, 0), "vocabulary: 0 tokens, allowed is at least 1 and at most 2147483647");
}

}  // namespace
}  // namespace woolly::sample
