// The median of the last few values: of times, one that was measured while the machine was busy with something else
// does not count.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>

namespace woolly::speculate {

class Median {
 public:
  void add(double value) noexcept {
    ring_[n_++ % kWindow] = value;
    std::array<double, kWindow> sorted = ring_;
    const std::size_t n = std::min(n_, kWindow);
    std::sort(sorted.begin(), sorted.begin() + static_cast<std::ptrdiff_t>(n));
    median_ = sorted[(n - 1) / 2];
    least_ = sorted[0];
  }
  [[nodiscard]] std::size_t n() const noexcept { return n_; }
  /// 0 without values.
  [[nodiscard]] double get() const noexcept { return median_; }
  /// The least of the same values; 0 without any.
  [[nodiscard]] double least() const noexcept { return least_; }

 private:
  static constexpr std::size_t kWindow = 5;
  std::array<double, kWindow> ring_{};
  std::size_t n_ = 0;
  double median_ = 0, least_ = 0;
};

}  // namespace woolly::speculate
