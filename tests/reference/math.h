// The arithmetic of the reference: plain loops in double precision.
#pragma once

#include <algorithm>
#include <cmath>
#include <numbers>
#include <span>
#include <vector>

#include "reference/reference_model.h"

namespace woolly::reference {

using Vector = std::vector<double>;

/// y_i = x_i / sqrt(mean(x²) + eps) * weight_i
inline void rms_norm(std::span<const double> x, std::span<const float> weight, double eps, std::span<double> y) {
  double sum = 0;
  for (const double value : x) sum += value * value;
  const double scale = 1 / std::sqrt(sum / static_cast<double>(x.size()) + eps);
  for (std::size_t i = 0; i < x.size(); ++i) y[i] = x[i] * scale * static_cast<double>(weight[i]);
}

inline Vector rms_norm(std::span<const double> x, std::span<const float> weight, double eps) {
  Vector y(x.size());
  rms_norm(x, weight, eps, y);
  return y;
}

inline Vector norm_if_any(const Vector& x, std::span<const float> weight, double eps) {
  return weight.empty() ? x : rms_norm(x, weight, eps);
}

inline Vector multiply(const Linear& linear, std::span<const double> x) {
  Vector y(linear.n_rows);
  for (std::size_t row = 0; row < linear.n_rows; ++row) {
    double sum = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      sum += static_cast<double>(linear.weight[row * linear.n_cols + i]) * x[i];
    }
    const double bias = linear.bias.empty() ? 0 : static_cast<double>(linear.bias[row]);
    y[row] = linear.scales_bias ? (sum + bias) * linear.scale : sum * linear.scale + bias;
  }
  return y;
}

inline void softmax(std::span<double> x) {
  const double max = *std::max_element(x.begin(), x.end());
  double sum = 0;
  for (double& value : x) sum += value = std::exp(value - max);
  for (double& value : x) value /= sum;
}

inline void add(std::span<double> x, std::span<const double> y, double scale = 1) {
  for (std::size_t i = 0; i < x.size(); ++i) x[i] += y[i] * scale;
}

/// How far YaRN leaves the frequency of pair `i` alone: 1 for those that turn often in the original context, 0 for
/// those that turn less than once, a ramp between (Peng et al., "YaRN", arXiv 2309.00071, section 3.2; the ends are
/// those of the authors' code, 32 turns and 1).
inline double yarn_share(const Rope& rope, std::size_t i) {
  const auto pair_that_turns = [&](double n_turns) {
    return static_cast<double>(rope.n_rot) *
           std::log(static_cast<double>(rope.original_context) / (n_turns * 2 * std::numbers::pi)) /
           (2 * std::log(rope.base));
  };
  const double low = std::max(0.0, std::floor(pair_that_turns(rope.fast_turns)));
  const double high = std::min(static_cast<double>(rope.n_rot) - 1, std::ceil(pair_that_turns(rope.slow_turns)));
  return 1 - std::clamp((static_cast<double>(i) - low) / std::max(0.001, high - low), 0.0, 1.0);
}

/// Turns one head in place.
inline void rotate(const Rope& rope, std::span<double> head, std::size_t position) {
  const std::size_t n_pairs = rope.n_rot / 2;
  double magnitude = rope.magnitude;
  if (rope.is_yarn && rope.factor > 1) magnitude *= 1 + 0.1 * std::log(rope.factor);
  for (std::size_t i = 0; i < n_pairs; ++i) {
    const double exponent = -2 * static_cast<double>(i) / static_cast<double>(rope.n_rot);
    double angle = static_cast<double>(position) * std::pow(rope.base, exponent);
    if (!rope.freq_factors.empty()) angle /= static_cast<double>(rope.freq_factors[i]);
    const double share = rope.is_yarn ? yarn_share(rope, i) : 0;
    angle = angle / rope.factor * (1 - share) + angle * share;

    const bool is_neighbours = rope.pairs == Rope::Pairs::kNeighbours;
    double& a = head[is_neighbours ? 2 * i : i];
    double& b = head[is_neighbours ? 2 * i + 1 : i + n_pairs];
    const double cos = std::cos(angle) * magnitude;
    const double sin = std::sin(angle) * magnitude;
    const double turned_a = a * cos - b * sin;
    b = a * sin + b * cos;
    a = turned_a;
  }
}

/// cap * tanh(x / cap), or x.
inline double capped(double x, double cap) { return cap == 0 ? x : cap * std::tanh(x / cap); }

}  // namespace woolly::reference
