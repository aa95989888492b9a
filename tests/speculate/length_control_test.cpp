#include "speculate/length_control.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <random>
#include <vector>

namespace woolly::speculate {
namespace {

/// Texts on a machine that exists in arithmetic only.
struct Simulation {
  std::function<double(std::size_t n_rows)> pass = [](std::size_t n_rows) {
    return 1 + 0.1 * static_cast<double>(n_rows - 1);
  };
  double drafting = 0;  // for each draft
  std::function<double(std::size_t n_tokens)> share = [](std::size_t) { return 0.0; };  // of right drafts

  // Without drafts a token takes pass(1).
  double time = 0;
  std::size_t n_tokens = 0, n_drafted = 0, n_passes = 0, longest = 0;
  /// Most that it was behind generation without drafts, less the share that may be lost.
  double worst = 0;
  std::vector<std::size_t> lengths{};

  void run(std::size_t n) {
    constexpr std::array<double, 1> kPriors = {0.6};
    LengthControl control(kPriors);
    std::mt19937 random(3);
    std::uniform_real_distribution<double> uniform(0, 1);
    const std::array<Draft, LengthControl::kMaxDrafts> drafts{};
    while (n_tokens < n) {
      const std::size_t length = control.choose(drafts, {drafting, drafting});
      std::size_t n_right = 0;
      while (n_right < length) {
        const bool is_right = uniform(random) < share(n_tokens);
        control.learn(0, is_right);
        if (!is_right) break;
        ++n_right;
      }
      const double draft_time = drafting * static_cast<double>(length);
      control.book(length, draft_time, pass(1 + length), 1 + n_right);
      time += pass(1 + length) + draft_time;
      n_tokens += 1 + n_right;
      n_drafted += length;
      ++n_passes;
      longest = std::max(longest, length);
      lengths.push_back(length);
      worst = std::max(worst, time - static_cast<double>(n_tokens) * pass(1) * (1 + LengthControl::kShare));
    }
  }
  [[nodiscard]] double without() const { return static_cast<double>(n_tokens) * pass(1); }
};

const auto kNever = [](std::size_t) { return 0.0; };

TEST(LengthControl, TurnsItselfOffWhereDraftsAreWrong) {
  Simulation simulation;
  simulation.share = kNever;
  simulation.run(2000);
  EXPECT_LE(simulation.time, 1.01 * simulation.without());
  EXPECT_LT(simulation.n_drafted, 100U);
}

TEST(LengthControl, DraftsManyWhereTheyAreRight) {
  Simulation simulation;
  simulation.share = [](std::size_t) { return 0.9; };
  simulation.run(2000);
  // The best length at these costs, 11, gives 7.2 tokens in the time of 2.1.
  EXPECT_LT(simulation.time, simulation.without() / 3);
  EXPECT_GE(simulation.longest, 7U);
}

TEST(LengthControl, DraftsAllWhereNoneIsWrongAndRowsAreCheap) {
  Simulation simulation;
  simulation.share = [](std::size_t) { return 1.0; };
  simulation.pass = [](std::size_t n_rows) { return 1 + 0.01 * static_cast<double>(n_rows); };
  simulation.run(2000);
  EXPECT_EQ(simulation.longest, LengthControl::kMaxDrafts);
  EXPECT_LT(simulation.time, simulation.without() / 15);
}

TEST(LengthControl, DoesNotDraftWhereRowsCostAsMuchAsPasses) {
  for (const double share : {0.0, 0.5, 0.99}) {
    Simulation simulation;
    simulation.share = [share](std::size_t) { return share; };
    simulation.pass = [](std::size_t n_rows) { return static_cast<double>(n_rows); };
    simulation.run(2000);
    EXPECT_LE(simulation.time, 1.01 * simulation.without()) << share;
  }
}

TEST(LengthControl, NeverLosesMoreThanTheAccount) {
  const auto worst_of = [](double of_row, double drafting, std::function<double(std::size_t)> share) {
    Simulation simulation;
    simulation.pass = [of_row](std::size_t n_rows) { return 1 + of_row * static_cast<double>(n_rows - 1); };
    simulation.drafting = drafting;
    simulation.share = std::move(share);
    simulation.run(5000);
    return simulation.worst;
  };
  // Whatever the text does, also where it turns bad after it was good, and again.
  const std::vector<std::function<double(std::size_t)>> texts = {
      kNever,
      [](std::size_t) { return 0.3; },
      [](std::size_t n) { return n < 200 ? 0.95 : 0.0; },
      [](std::size_t n) { return n / 50 % 2 == 0 ? 1.0 : 0.0; },
      [](std::size_t n) { return n / 7 % 2 == 0 ? 1.0 : 0.0; },
  };
  for (const double of_row : {0.0, 0.05, 0.2, 0.5, 1.0}) {
    for (const double drafting : {0.0, 0.1, 0.5}) {
      for (const auto& share : texts) {
        // The first drafts may cost two rows more than expected.
        EXPECT_LE(worst_of(of_row, drafting, share), LengthControl::kStart + 2 * of_row);
      }
    }
  }
}

TEST(LengthControl, BeginsWithoutDraftsAndComesBackToTheTimeOfOneRow) {
  Simulation simulation;
  simulation.share = [](std::size_t) { return 1.0; };
  simulation.run(5000);
  EXPECT_EQ(simulation.lengths[0], 0U);
  EXPECT_GT(*std::ranges::max_element(simulation.lengths), 0U);
  std::size_t n_since = 0;
  for (const std::size_t length : simulation.lengths) {
    n_since = length == 0 ? 0 : n_since + 1;
    ASSERT_LE(n_since, 100U);
  }
}

TEST(LengthControl, SlowFirstPassesDoNotMakeDraftsLookGood) {
  // As after a prompt. A pass of two rows is then no slower than those of one were, though it gives no more tokens.
  constexpr std::array<double, 1> kPriors = {0.6};
  const std::array<Draft, 7> drafts{};
  LengthControl control(kPriors);
  double lost = 0;
  for (int i = 0; i < 500; ++i) {
    const std::size_t length = control.choose(drafts, {});
    if (length > 0) control.learn(0, false);
    const double single = i < 5 ? 1.6 : 1, pass = single * (1 + 0.15 * static_cast<double>(length));
    control.book(length, 0, pass, 1);
    lost += pass - single;
  }
  EXPECT_LE(lost, 0.01 * 500 + 1);
}

TEST(LengthControl, OnePassInABusyMomentDoesNotCount) {
  constexpr std::array<double, 1> kPriors = {0.9};
  const std::array<Draft, 7> drafts{};
  const auto length_after = [&](double odd_pass) {
    LengthControl control(kPriors);
    for (int i = 0; i < 5; ++i) control.book(0, 0, 1, 1);
    control.book(0, 0, odd_pass, 1);
    for (int i = 0; i < 3; ++i) control.book(1, 0, 1.1, 2);
    return control.choose(drafts, {});
  };
  EXPECT_GT(length_after(1), 0U);
  EXPECT_EQ(length_after(50), length_after(1));
}

TEST(LengthControl, SureDraftsAreWorthMoreThanDoubtfulOnes) {
  constexpr std::array<double, 2> kPriors = {0.05, 0.95};
  LengthControl control(kPriors);
  for (int i = 0; i < 5; ++i) control.book(0, 0, 1, 1);
  std::array<Draft, 7> drafts{};
  EXPECT_EQ(control.choose(drafts, {}), 0U);
  for (Draft& draft : drafts) draft.confidence = 1;
  EXPECT_GT(control.choose(drafts, {}), 0U);
  for (int i = 0; i < 20; ++i) control.learn(1, false);
  EXPECT_EQ(control.choose(drafts, {}), 0U) << "what was learned counts more than what was thought";
}

}  // namespace
}  // namespace woolly::speculate
