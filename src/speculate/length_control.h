// How many drafts to verify: as many as gain most time, by what was measured so far, and none where that would lose.
//
// Verifying k drafts is one pass of 1 + k rows, which takes longer than a pass of one row and gives 1 to 1 + k tokens.
// Both the time of passes by their number of rows and the share of right drafts by their confidence are learned from
// the text at hand.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "speculate/drafter.h"
#include "speculate/median.h"

namespace woolly::speculate {

/// Times come as arguments, in seconds; it has no clock of its own.
///
/// An account bounds what is lost. It holds time: it begins with kStart, grows by kShare of the time that each token
/// would have taken without drafts and by what drafts gained, and pays for what they lost. Drafts are verified only
/// where it could pay for all of them being wrong. So at any time generation has taken at most 1 + kShare times as long
/// as without drafts, and kStart more, as far as the medians of measured times tell, and what one pass took longer than
/// was to be expected.
class LengthControl {
 public:
  /// Most drafts of a pass.
  static constexpr std::size_t kMaxDrafts = 31;
  static constexpr double kShare = 0.01;
  /// In tokens' times: enough to verify a few drafts once.
  static constexpr double kStart = 0.5;

  /// `priors`: see Drafter.
  explicit LengthControl(std::span<const double> priors);

  /// How many of `drafts`, which cost `cost`, to verify in the next pass.
  [[nodiscard]] std::size_t choose(std::span<const Draft> drafts, const DraftingCost& cost) const noexcept;

  /// Whether a draft was right.
  void learn(std::uint8_t confidence, bool was_right) noexcept;

  /// What a pass of 1 + `n_drafts` rows took, and `drafting` before it, and how many tokens came of it (at least one).
  void book(std::size_t n_drafts, double drafting, double pass, std::size_t n_tokens) noexcept;

  /// The time in the account.
  [[nodiscard]] double balance() const noexcept { return balance_; }

 private:
  [[nodiscard]] double seconds_of_pass(std::size_t n_rows) const noexcept;
  [[nodiscard]] double share_right(std::uint8_t confidence) const noexcept;

  struct Record {
    double prior = 0, n = 0, n_right = 0;
  };
  std::array<Record, kMaxConfidences> records_{};
  std::array<Median, kMaxDrafts + 2> pass_times_{};  ///< By number of rows.
  double balance_ = 0;
  double single_ = 0;               ///< The time of a pass of one row.
  std::size_t longest_ = 0;         ///< Drafts that were ever verified at once.
  std::size_t n_since_single_ = 0;  ///< Passes since the last of one row.
};

}  // namespace woolly::speculate
