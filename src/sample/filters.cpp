#include "sample/filters.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>

#include "base/assert.h"
#include "sample/exp.h"

namespace woolly::sample {
namespace {

constexpr double kUnbounded = std::numeric_limits<double>::infinity();
// Far longer than any context; bounds the memory of the window.
constexpr double kMaxRepeatLastN = 1 << 20;

Candidate& at(Candidates& candidates, std::int32_t id) noexcept {
  return candidates.items[static_cast<std::size_t>(id)];
}

void repeat_penalty(const SamplingOptions& options, const RecentTokens& recent, Candidates& candidates) noexcept {
  for (const std::int32_t id : recent.distinct()) {
    float& logit = at(candidates, id).logit;
    logit = number_or_never(logit > 0.0F ? logit / options.repeat_penalty : logit * options.repeat_penalty);
  }
}

void presence_penalty(const SamplingOptions& options, const RecentTokens& recent, Candidates& candidates) noexcept {
  for (const std::int32_t id : recent.distinct()) {
    float& logit = at(candidates, id).logit;
    logit = number_or_never(logit - options.presence_penalty);
  }
}

void frequency_penalty(const SamplingOptions& options, const RecentTokens& recent, Candidates& candidates) noexcept {
  for (const std::int32_t id : recent.distinct()) {
    float& logit = at(candidates, id).logit;
    logit = number_or_never(logit - static_cast<float>(recent.count(id)) * options.frequency_penalty);
  }
}

/// Moves the first `n` candidates of the total order to the front, sorted. Only they have a defined order afterwards.
void sort_front(std::span<Candidate> items, std::size_t n) noexcept {
  const auto end = items.begin() + static_cast<std::ptrdiff_t>(n);
  if (n < items.size()) std::nth_element(items.begin(), end, items.end(), comes_before);
  std::sort(items.begin(), end, comes_before);
}

/// One pass: candidates better than the worst of the best k gather at the front; when 2k have, they are cut to k. Every
/// cut of O(k) is paid for by k arrivals, so this is linear for any k and any order of logits.
void top_k(const SamplingOptions& options, const RecentTokens&, Candidates& candidates) noexcept {
  const auto k = static_cast<std::size_t>(options.top_k);
  const std::span<Candidate> items = candidates.items;
  if (k >= items.size()) return;
  const std::size_t room = std::min(2 * k, items.size());
  std::size_t n_kept = room;
  Candidate worst{};
  for (std::size_t i = room; i < items.size(); ++i) {
    if (n_kept == room) {
      const auto begin = items.begin();
      const auto last = begin + static_cast<std::ptrdiff_t>(k - 1);
      std::nth_element(begin, last, begin + static_cast<std::ptrdiff_t>(room), comes_before);
      worst = *last;
      n_kept = k;
    }
    // Of equal logits those with lower ids came by earlier, so only a larger one gets in.
    if (items[i].logit > worst.logit) items[n_kept++] = items[i];
  }
  sort_front(items.first(n_kept), k);
  candidates = {items.first(k), true};
}

/// Keeps the shortest beginning of the sorted candidates whose probability reaches top_p. Sorts no more than it needs:
/// the front in doubling steps.
void top_p(const SamplingOptions& options, const RecentTokens&, Candidates& candidates) noexcept {
  constexpr std::size_t kFirstSorted = 128;
  const std::span<Candidate> items = candidates.items;
  const float max = candidates.max();
  double total = 0.0;
  for (const Candidate& item : items) total += weight(item.logit, max);
  const double wanted = static_cast<double>(options.top_p) * total;
  std::size_t n_sorted = candidates.is_sorted ? items.size() : 0;
  std::size_t n_kept = 0;
  double reached = 0.0;
  while (n_kept < items.size() && (n_kept == 0 || reached < wanted)) {
    if (n_kept == n_sorted) {
      const std::size_t more = std::min(std::max(n_sorted, kFirstSorted), items.size() - n_sorted);
      sort_front(items.subspan(n_sorted), more);
      n_sorted += more;
    }
    reached += weight(items[n_kept++].logit, max);
  }
  candidates = {items.first(n_kept), true};
}

void min_p(const SamplingOptions& options, const RecentTokens&, Candidates& candidates) noexcept {
  const float max = candidates.max();
  const auto smallest = static_cast<double>(options.min_p);
  std::size_t n_kept = 0;
  for (const Candidate& item : candidates.items) {
    if (weight(item.logit, max) >= smallest) candidates.items[n_kept++] = item;
  }
  candidates.items = candidates.items.first(n_kept);
}

/// Logits relative to the largest, so that the smallest temperature cannot make two of them infinite.
void temperature(const SamplingOptions& options, const RecentTokens&, Candidates& candidates) noexcept {
  const float max = candidates.max();
  if (max == kNever) return;
  for (Candidate& item : candidates.items) {
    item.logit = item.logit == max ? 0.0F : (item.logit - max) / options.temperature;
  }
}

using Options = SamplingOptions;

constexpr std::array kFilters = {
    Filter{FilterKind::kParameter,
           "repeat_last_n",
           "--repeat-last-n",
           "How many tokens back the penalties look; -1: all, 0: none",
           &Options::repeat_last_n,
           {-1.0, kMaxRepeatLastN},
           nullptr,
           nullptr},
    Filter{FilterKind::kPenalty,
           "repeat_penalty",
           "--repeat-penalty",
           "Divides positive and multiplies negative logits of recent tokens; 1: off",
           &Options::repeat_penalty,
           {0.0, kUnbounded, true},
           [](const Options& options) noexcept { return options.repeat_penalty != 1.0F; },
           repeat_penalty},
    Filter{FilterKind::kPenalty,
           "presence_penalty",
           "--presence-penalty",
           "Subtracted once from the logit of each recent token; 0: off",
           &Options::presence_penalty,
           {-kUnbounded, kUnbounded},
           [](const Options& options) noexcept { return options.presence_penalty != 0.0F; },
           presence_penalty},
    Filter{FilterKind::kPenalty,
           "frequency_penalty",
           "--frequency-penalty",
           "Subtracted for each time that a recent token occurred; 0: off",
           &Options::frequency_penalty,
           {-kUnbounded, kUnbounded},
           [](const Options& options) noexcept { return options.frequency_penalty != 0.0F; },
           frequency_penalty},
    Filter{FilterKind::kShape,
           "top_k",
           "--top-k",
           "Keep the k most likely tokens; 0: all",
           &Options::top_k,
           {0.0, static_cast<double>(std::numeric_limits<std::int32_t>::max())},
           [](const Options& options) noexcept { return options.top_k > 0; },
           top_k},
    Filter{FilterKind::kShape,
           "top_p",
           "--top-p",
           "Keep the smallest set of tokens whose probability reaches it; 1: all",
           &Options::top_p,
           {0.0, 1.0, true},
           [](const Options& options) noexcept { return options.top_p < 1.0F; },
           top_p},
    Filter{FilterKind::kShape,
           "min_p",
           "--min-p",
           "Drop tokens below this share of the most likely one's probability; 0: none",
           &Options::min_p,
           {0.0, 1.0},
           [](const Options& options) noexcept { return options.min_p > 0.0F; },
           min_p},
    Filter{FilterKind::kShape,
           "temperature",
           "--temp",
           "Divides the logits: higher is more varied; 0: always the most likely token",
           &Options::temperature,
           {0.0, kUnbounded},
           [](const Options& options) noexcept { return options.temperature != 1.0F; },
           temperature},
};

}  // namespace

float Candidates::max() const noexcept {
  float largest = items.front().logit;
  if (is_sorted) return largest;
  for (const Candidate& item : items) largest = std::max(largest, item.logit);
  return largest;
}

double weight(float logit, float max) noexcept {
  return logit == max ? 1.0 : exp(static_cast<double>(logit) - static_cast<double>(max));
}

bool Range::contains(double value) const noexcept {
  return value - value == 0.0 && value <= max && (excludes_min ? value > min : value >= min);
}

std::string Range::describe() const {
  const bool has_min = min > -kUnbounded;
  const bool has_max = max < kUnbounded;
  if (!has_min && !has_max) return "any finite number";
  std::string text = has_min ? fmt::format("{} {}", excludes_min ? "above" : "at least", min) : "";
  text += has_max ? fmt::format("{}at most {}", has_min ? " and " : "", max) : ", finite";
  return text;
}

double Filter::get(const SamplingOptions& options) const noexcept {
  return std::visit([&](auto member) { return static_cast<double>(options.*member); }, option);
}

std::string Filter::show(const SamplingOptions& options) const {
  return std::visit([&](auto member) { return fmt::format("{}", options.*member); }, option);
}

void Filter::set(SamplingOptions& options, double value) const noexcept {
  WOOLLY_ASSERT(range.contains(value));
  std::visit([&](auto member) { options.*member = static_cast<std::decay_t<decltype(options.*member)>>(value); },
             option);
}

std::span<const Filter> all_filters() noexcept { return kFilters; }

Status check_ranges(const SamplingOptions& options) {
  for (const Filter& filter : all_filters()) {
    const double value = filter.get(options);
    if (!filter.range.contains(value)) {
      return Error{ErrorCode::kInvalidArgument,
                   fmt::format("{}: {}, allowed is {}", filter.name, filter.show(options), filter.range.describe())};
    }
  }
  return {};
}

}  // namespace woolly::sample
