#include "exec/routing.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "kernels/dispatch.h"

namespace woolly::exec {
namespace {

const kernels::KernelTable& table() { return *kernels::available_tables().back(); }

std::vector<std::uint32_t> chosen(const std::vector<float>& logits, std::uint32_t n_used) {
  Routing routing({.n = static_cast<std::uint32_t>(logits.size()), .n_used = n_used}, 1);
  routing.choose(0, logits.data(), nullptr, table());
  return {routing.experts_of(0), routing.experts_of(0) + n_used};
}

using Experts = std::vector<std::uint32_t>;

TEST(Routing, ChoosesTheHighestLogitsByRank) {
  EXPECT_EQ(chosen({1, 5, 3, 4, 2}, 3), (Experts{1, 3, 2}));
  EXPECT_EQ(chosen({1, 5, 3, 4, 2}, 5), (Experts{1, 3, 2, 4, 0}));
  EXPECT_EQ(chosen({-7}, 1), (Experts{0}));
  EXPECT_EQ(chosen({-INFINITY, -1e30F, INFINITY}, 2), (Experts{2, 1}));
}

TEST(Routing, OfEqualsTheFirstComesFirst) {
  EXPECT_EQ(chosen({2, 2, 2, 2}, 2), (Experts{0, 1}));
  EXPECT_EQ(chosen({0, 1, 0, 1, 1}, 4), (Experts{1, 3, 4, 0}));
  EXPECT_EQ(chosen({0.0F, -0.0F}, 2), (Experts{0, 1}));
}

TEST(Routing, NanIsChosenAndSpoilsTheWeights) {
  EXPECT_EQ(chosen({1, NAN, 3, NAN}, 3), (Experts{1, 3, 2}));
  EXPECT_EQ(chosen({NAN, NAN, NAN}, 2), (Experts{0, 1}));
  Routing routing({.n = 3, .n_used = 2}, 1);
  const float logits[] = {1, 2, NAN};
  routing.choose(0, logits, nullptr, table());
  EXPECT_TRUE(std::isnan(routing.weights_of(0)[0]));
  EXPECT_TRUE(std::isnan(routing.weights_of(0)[1]));
}

TEST(Routing, WeightsAreTheSoftmaxOfTheChosenTimesTheScale) {
  Routing routing({.n = 4, .n_used = 2, .weight_scale = 3.0F}, 1);
  const float logits[] = {100, 1, 2, 99};
  routing.choose(0, logits, nullptr, table());
  EXPECT_NEAR(routing.weights_of(0)[0], 3 / (1 + std::exp(-1.0F)), 1e-6F);
  EXPECT_NEAR(routing.weights_of(0)[1], 3 / (1 + std::exp(1.0F)), 1e-6F);
}

TEST(Routing, ABiasIsForChoosingOnly) {
  Routing routing({.n = 3, .n_used = 2, .weight_scale = 2.0F, .gating = model::Gating::kSigmoid}, 1);
  const float logits[] = {0.0F, -1.0F, 1.0F}, bias[] = {0.0F, 5.0F, 0.0F};
  routing.choose(0, logits, bias, table());
  EXPECT_EQ(Experts(routing.experts_of(0), routing.experts_of(0) + 2), (Experts{1, 2}));
  EXPECT_NEAR(routing.weights_of(0)[0], 2 / (1 + std::exp(1.0F)), 1e-6F);
  EXPECT_NEAR(routing.weights_of(0)[1], 2 / (1 + std::exp(-1.0F)), 1e-6F);
}

TEST(Routing, OnlyExpertsOfTheBestGroupsAreChosen) {
  Routing routing({.n = 6, .n_used = 2, .gating = model::Gating::kSoftmax, .normalizes = true, .n_groups = 3, .n_groups_used = 1}, 1);
  const float logits[] = {8.9F, 0, 8, 8.5F, 1, 2};  // the best expert's group is not the best
  routing.choose(0, logits, nullptr, table());
  EXPECT_EQ(Experts(routing.experts_of(0), routing.experts_of(0) + 2), (Experts{3, 2}));
  EXPECT_NEAR(routing.weights_of(0)[0], 1 / (1 + std::exp(-0.5F)), 1e-6F);
  EXPECT_NEAR(routing.weights_of(0)[0] + routing.weights_of(0)[1], 1.0F, 1e-6F);
  const float equal[] = {1, 1, 1, 1, 1, 1};
  routing.choose(0, equal, nullptr, table());
  EXPECT_EQ(Experts(routing.experts_of(0), routing.experts_of(0) + 2), (Experts{0, 1}));
}

/// Of fewer rows than it has room for, over and over.
TEST(Routing, SlotsOfAnExpertAreConsecutiveAndInOrderOfRows) {
  constexpr std::uint32_t kExperts = 9, kUsed = 3;
  Routing routing({.n = kExperts, .n_used = kUsed}, 40);
  std::mt19937 random(1);
  for (const std::uint32_t n_rows : {1U, 40U, 2U, 17U}) {
    for (std::uint32_t row = 0; row < n_rows; ++row) {
      std::vector<float> logits(kExperts);
      for (float& logit : logits) logit = static_cast<float>(random() % 5);
      routing.choose(row, logits.data(), nullptr, table());
    }
    routing.group(n_rows);
    std::uint32_t slot = 0, last_expert = 0;
    for (const Routing::Group& group : routing.groups()) {
      EXPECT_TRUE(slot == 0 || group.expert > last_expert);
      last_expert = group.expert;
      EXPECT_EQ(group.first_slot, slot);
      EXPECT_GT(group.n, 0U);
      for (std::uint32_t i = 0; i < group.n; ++i, ++slot) {
        const auto [row, rank] = routing.at_slot(slot);
        ASSERT_LT(row, n_rows);
        EXPECT_EQ(routing.experts_of(row)[rank], group.expert);
        EXPECT_EQ(routing.slots_of(row)[rank], slot);
        if (i > 0) {
          EXPECT_GT(row, routing.at_slot(slot - 1).row);
        }
      }
    }
    EXPECT_EQ(slot, n_rows * kUsed);
  }
}

}  // namespace
}  // namespace woolly::exec
