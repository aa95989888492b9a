#include "speculate/length_control.h"

#include <algorithm>

#include "base/assert.h"

namespace woolly::speculate {
namespace {

/// Few lengths, so that the time of each is soon known. 1 + length is where the kernels' tiles of columns end.
constexpr std::array<std::size_t, 9> kLengths = {1, 2, 3, 5, 7, 11, 15, 23, 31};
static_assert(kLengths.back() == LengthControl::kMaxDrafts);

/// Before anything is drafted, in passes of one row: as many as the time of one is to be known by.
constexpr std::size_t kMinSingles = 3;
/// After so many passes with drafts, for each pass without so far, one without: the first passes after a prompt may be
/// slow, and later the time of one row grows with the text and changes with the machine. At the limit it costs 1 % of
/// what drafts gain.
constexpr std::size_t kSinceSingle = 4;
constexpr std::size_t kMaxSinceSingle = 96;
/// What a further row is taken to cost until it was measured, in passes of one row: as of small models in caches, which
/// gain least.
constexpr double kRowCost = 0.2;
/// An expected gain below 5 % is not worth being wrong about.
constexpr double kMinGain = 1.05;
/// Most of the account, in tokens' times: what was gained in one part of a text shall not be lost in another.
constexpr double kMaxBalance = 8;
/// What the prior counts for, in drafts, and how many drafts are remembered.
constexpr double kPriorWeight = 3;
constexpr double kMemory = 48;

}  // namespace

LengthControl::LengthControl(std::span<const double> priors) {
  WOOLLY_ASSERT(priors.size() <= records_.size());
  for (std::size_t i = 0; i < priors.size(); ++i) records_[i].prior = priors[i];
}

std::size_t LengthControl::choose(std::span<const Draft> drafts, const DraftingCost& cost) const noexcept {
  const std::size_t n_singles = pass_times_[1].n();
  if (n_singles < kMinSingles || n_since_single_ >= std::min(kSinceSingle * n_singles, kMaxSinceSingle)) return 0;
  double best_rate = kMinGain / single_;
  std::size_t best = 0;
  double n_tokens = 1;    // expected of the pass
  double share_left = 1;  // how likely all drafts so far are right
  std::size_t i = 0;
  for (const std::size_t length : kLengths) {
    // A length is tried only when half of it was, so that one wrong idea of what rows cost loses little.
    if (length > drafts.size() || length > 2 * longest_ + 1) break;
    for (; i < length; ++i) {
      share_left *= share_right(drafts[i].confidence);
      n_tokens += share_left;
    }
    const double time = seconds_of_pass(1 + length) + cost.first + cost.further * static_cast<double>(length - 1);
    if (time - single_ > balance_) break;
    if (n_tokens / time <= best_rate) continue;
    best_rate = n_tokens / time;
    best = length;
  }
  return best;
}

void LengthControl::learn(std::uint8_t confidence, bool was_right) noexcept {
  Record& record = records_[confidence];
  record.n += 1 - record.n / kMemory;
  record.n_right += (was_right ? 1 : 0) - record.n_right / kMemory;
}

void LengthControl::book(std::size_t n_drafts, double drafting, double pass, std::size_t n_tokens) noexcept {
  Median& time = pass_times_[1 + n_drafts];
  const bool begins = n_drafts == 0 && time.n() == 0;
  time.add(pass);
  longest_ = std::max(longest_, n_drafts);
  n_since_single_ = n_drafts == 0 ? 0 : n_since_single_ + 1;
  // The least, so that drafts do not look good beside passes that were slow for other reasons; and a pass of one row
  // takes no longer than one of more.
  single_ = pass_times_[1].least();
  for (const Median& other : pass_times_) {
    if (other.n() > 0) single_ = std::min(single_, other.get());
  }
  if (begins) balance_ = kStart * single_;
  const double without = single_ * static_cast<double>(n_tokens);
  balance_ += kShare * without;
  if (n_drafts > 0) balance_ += without - (time.get() + drafting);
  balance_ = std::min(balance_, kMaxBalance * single_);
}

/// Where it was not measured, on the line between its neighbours that were, or on the line on from the longest.
double LengthControl::seconds_of_pass(std::size_t n_rows) const noexcept {
  if (n_rows == 1) return single_;
  if (pass_times_[n_rows].n() > 0) return pass_times_[n_rows].get();
  std::size_t below = n_rows - 1;
  while (below > 1 && pass_times_[below].n() == 0) --below;
  std::size_t above = n_rows + 1;
  while (above < pass_times_.size() && pass_times_[above].n() == 0) ++above;
  const double from = seconds_of_pass(below);
  double of_row = kRowCost * single_;
  if (above < pass_times_.size()) {
    of_row = (pass_times_[above].get() - from) / static_cast<double>(above - below);
  } else if (below > 1) {
    const double mean = (from - single_) / static_cast<double>(below - 1);
    // Two or three rows may be a slow case of the kernels: four can cost less.
    of_row = below > 3 ? std::max(mean, 0.0) : std::clamp(mean, 0.0, of_row);
  }
  return from + of_row * static_cast<double>(n_rows - below);
}

double LengthControl::share_right(std::uint8_t confidence) const noexcept {
  const Record& record = records_[confidence];
  return (record.n_right + kPriorWeight * record.prior) / (record.n + kPriorWeight);
}

}  // namespace woolly::speculate
