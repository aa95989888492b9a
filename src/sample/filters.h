// The filters that logits go through before a token is drawn. all_filters() is THE table: a row is an option of
// SamplingOptions with its names, its range and what it does; command-line flags, checks and tests follow from it.
// Adding a filter is a field of SamplingOptions, a function in filters.cpp and a row.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "sample/recent_tokens.h"
#include "woolly/error.h"
#include "woolly/options.h"

namespace woolly::sample {

/// The logit of a token that is never chosen.
inline constexpr float kNever = -std::numeric_limits<float>::infinity();

/// A token that may still be chosen.
struct Candidate {
  float logit;  ///< Never NaN.
  std::int32_t id;
};

/// The total order of candidates: the most likely first, among equals the lowest id.
constexpr bool comes_before(const Candidate& a, const Candidate& b) noexcept {
  return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
}

/// What is left to choose from; never empty. A view of memory that the sampler owns. The order is part of the result,
/// because sums and draws follow it: by id at first, by `comes_before` once a filter has sorted.
struct Candidates {
  std::span<Candidate> items;
  bool is_sorted = false;

  /// The largest logit.
  [[nodiscard]] float max() const noexcept;
};

/// exp(logit - max): a candidate's probability times a factor that all share. Both may be infinite.
double weight(float logit, float max) noexcept;

/// `logit`, or kNever for NaN.
constexpr float number_or_never(float logit) noexcept { return logit == logit ? logit : kNever; }

/// The values that an option allows. An infinite bound stands for none; values are always finite.
struct Range {
  double min;
  double max;
  bool excludes_min = false;

  [[nodiscard]] bool contains(double value) const noexcept;
  /// For messages, e.g. "above 0 and at most 1".
  [[nodiscard]] std::string describe() const;
};

enum class FilterKind : std::uint8_t {
  kParameter,  ///< Does nothing itself; other rows read it.
  kPenalty,    ///< Changes the logits of recent tokens, and so what the most likely token is.
  kShape,      ///< Drops or scales candidates; the most likely token stays it.
};

/// One row of the table.
struct Filter {
  FilterKind kind;
  std::string_view name;  ///< As in SamplingOptions and in JSON.
  std::string_view flag;  ///< On the command line.
  std::string_view help;  ///< One line.
  std::variant<float SamplingOptions::*, std::int32_t SamplingOptions::*> option;
  Range range;
  /// Whether the filter does anything with these options; nullptr, like `apply`, for a parameter.
  bool (*is_on)(const SamplingOptions&) noexcept;
  /// Changes or drops candidates. Allocates nothing.
  void (*apply)(const SamplingOptions&, const RecentTokens&, Candidates&) noexcept;

  [[nodiscard]] bool is_integer() const noexcept { return option.index() == 1; }
  [[nodiscard]] double get(const SamplingOptions& options) const noexcept;
  /// The value as text, in the shortest form that reads back as the same.
  [[nodiscard]] std::string show(const SamplingOptions& options) const;
  /// `value` must be in range.
  void set(SamplingOptions& options, double value) const noexcept;
};

/// In the order in which they are applied: the default order of llama.cpp (common/sampling), so that the same options
/// mean the same. Penalties come first, while every candidate still stands at the index of its id. Top-k, top-p and
/// min-p look at the probabilities before the temperature.
std::span<const Filter> all_filters() noexcept;

/// kInvalidArgument for the first option outside of its range: names it, the value found and the range.
Status check_ranges(const SamplingOptions& options);

}  // namespace woolly::sample
