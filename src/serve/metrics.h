// What the scheduler counts.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

namespace woolly::serve {

/// Of durations in seconds, as Prometheus has histograms.
struct Histogram {
  /// Upper bounds, inclusive; the last bucket has none. Twice as far apart each, from a fast decode step to minutes.
  static constexpr std::array<double, 17> kBounds = {0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512,
                                                     1.024, 2.048, 4.096, 8.192, 16.384, 32.768, 65.536, 131.072};
  std::array<std::uint64_t, kBounds.size() + 1> counts{};  ///< Not cumulative.
  double sum = 0;

  void add(double seconds) {
    const auto at = std::lower_bound(kBounds.begin(), kBounds.end(), seconds);
    ++counts[static_cast<std::size_t>(at - kBounds.begin())];
    sum += seconds;
  }
};

struct Snapshot {
  // Since the start.
  std::uint64_t n_requests = 0, n_finished = 0, n_cancelled = 0, n_failed = 0, n_refused = 0;
  std::uint64_t n_preempted = 0;  ///< Sequences that gave their keys and values up to others, and computed them again.
  std::uint64_t n_prompt_tokens = 0, n_cached_tokens = 0, n_generated_tokens = 0;
  std::uint64_t n_steps = 0;
  Histogram queue, time_to_first_token, time_between_tokens;
  // At the moment.
  std::size_t n_waiting = 0, n_running = 0, n_cached_sequences = 0, n_models = 0;
  std::uint64_t weight_bytes = 0, workspace_bytes = 0, kv_bytes = 0;
  std::uint64_t memory_limit = 0;
};

}  // namespace woolly::serve
