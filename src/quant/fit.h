// The search for the scales of a block, for the encoders: those that leave the least squared error, in which weight i counts
// w[i] times. What a format fixes are its levels and how scales are stored; the rest is arithmetic:
//
//   With codes given, the best scale is a least-squares fit; with a scale given, the best code of a weight is the nearest
//   level. Doing both in turn never makes it worse, but ends in a place near where it began. So it begins from several
//   scales around the one that maps the largest weight to the last level.
//
// For x ~ d v the error is Σwx² - (Σwxv)² / Σwv², so the best of several is the one of the largest (Σwxv)² / Σwv².
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "base/float16.h"

namespace woolly::quant {

/// To the nearest whole number, halves to even, for magnitudes below 2^22: a sum whose last bit counts ones.
inline float round_even(float t) noexcept { return (t + 0x1.8p23F) - 0x1.8p23F; }

/// The f16 nearest to a number, as a float.
inline float as_f16(float d) noexcept { return base::f16_to_f32(base::f32_to_f16(d)); }

/// Levels from kLow to kHigh; their code is `level - kLow`.
template <int kLow, int kHigh>
struct WholeLevels {
  static constexpr float kLargest = static_cast<float>(-kLow);  ///< The magnitude of the last level.
  static constexpr float kReach = 1;  ///< How far around it a search looks.
  static float nearest(float t) noexcept {
    return round_even(std::min(std::max(t, static_cast<float>(kLow)), static_cast<float>(kHigh)));
  }
  static int code(float t) noexcept { return static_cast<int>(nearest(t)) - kLow; }
};

/// Sums in eight lanes, so that they can be vectors.
struct Lanes {
  float of[8] = {};
  [[nodiscard]] float sum() const noexcept {
    return ((of[0] + of[4]) + (of[2] + of[6])) + ((of[1] + of[5]) + (of[3] + of[7]));
  }
};

/// Of weights x and levels v: what the fit of x ~ d v needs.
struct ProductSums {
  float xv = 0, vv = 0;
  [[nodiscard]] float explained() const noexcept { return vv > 0 ? xv * xv / vv : 0.0F; }
  [[nodiscard]] float scale() const noexcept { return vv > 0 ? xv / vv : 0.0F; }
};

/// For the levels nearest to x / d, 1 / d given.
template <typename Levels, std::size_t kN>
ProductSums product_sums(const float* x, const float* w, float inverse) noexcept {
  Lanes xv, vv;
  for (std::size_t i = 0; i < kN; i += 8) {
    for (std::size_t j = 0; j < 8; ++j) {
      const float v = Levels::nearest(x[i + j] * inverse), wv = w[i + j] * v;
      xv.of[j] += x[i + j] * wv;
      vv.of[j] += v * wv;
    }
  }
  return {xv.sum(), vv.sum()};
}

/// Σ w (x - d v)² with the nearest levels v.
template <typename Levels, std::size_t kN>
float error_with(const float* x, const float* w, float d) noexcept {
  const float inverse = d != 0 ? 1 / d : 0.0F;
  Lanes error;
  for (std::size_t i = 0; i < kN; i += 8) {
    for (std::size_t j = 0; j < 8; ++j) {
      const float rest = x[i + j] - d * Levels::nearest(x[i + j] * inverse);
      error.of[j] += w[i + j] * rest * rest;
    }
  }
  return error.sum();
}

template <std::size_t kN>
float largest_magnitude(const float* x) noexcept {
  float largest = 0;
  for (std::size_t i = 0; i < kN; ++i) largest = std::max(largest, std::fabs(x[i]));
  return largest;
}

/// The scale d of either sign for which x ~ d v is best; 0 where all weights are.
template <typename Levels, std::size_t kN>
float fit_scale(const float* x, const float* w) noexcept {
  const float largest = largest_magnitude<kN>(x);
  if (!(largest > 0)) return 0;
  constexpr int kSteps = 5;  // on either side; finer ones gain less than 0.1 % of the error
  ProductSums best;
  for (const float sign : {1.0F, -1.0F}) {
    for (int step = -kSteps; step <= kSteps; ++step) {
      const float reach = Levels::kReach * static_cast<float>(step) / static_cast<float>(kSteps);
      const ProductSums sums = product_sums<Levels, kN>(x, w, sign * (Levels::kLargest + reach) / largest);
      if (sums.explained() > best.explained()) best = sums;
    }
  }
  for (int turn = 0; turn < 2; ++turn) {
    if (best.xv == 0) break;
    const ProductSums sums = product_sums<Levels, kN>(x, w, best.vv / best.xv);
    if (sums.explained() > best.explained()) best = sums;
  }
  return best.scale();
}

/// x ~ d q + m.
struct Line {
  float d = 0, m = 0;
};

/// The best line with whole q in 0..kMax; with `below_zero`, one whose m is not positive.
template <int kMax, std::size_t kN>
Line fit_line(const float* x, const float* w, bool below_zero) noexcept {
  float low = x[0], high = x[0];
  for (std::size_t i = 1; i < kN; ++i) {
    low = std::min(low, x[i]);
    high = std::max(high, x[i]);
  }
  if (below_zero) low = std::min(low, 0.0F);
  if (!(high > low)) return {0, below_zero ? std::min(low, 0.0F) : low};
  Line best{};
  float best_error = -1;
  // Tries the codes that a line gives, and takes the line that fits them best.
  const auto attempt = [&](Line line) {
    const float inverse = 1 / line.d;
    Lanes one_sum, q_sum, qq_sum, xq_sum, x_sum, xx_sum;
    for (std::size_t i = 0; i < kN; i += 8) {
      for (std::size_t j = 0; j < 8; ++j) {
        const float value = x[i + j], q = WholeLevels<0, kMax>::nearest((value - line.m) * inverse);
        const float wq = w[i + j] * q, wx = w[i + j] * value;
        one_sum.of[j] += w[i + j];
        q_sum.of[j] += wq;
        qq_sum.of[j] += q * wq;
        xq_sum.of[j] += q * wx;
        x_sum.of[j] += wx;
        xx_sum.of[j] += value * wx;
      }
    }
    const float n = one_sum.sum(), q = q_sum.sum(), qq = qq_sum.sum(), xq = xq_sum.sum(), xs = x_sum.sum();
    const float det = n * qq - q * q;
    if (!(det > 0)) return;
    Line fitted{(n * xq - q * xs) / det, (qq * xs - q * xq) / det};
    if (below_zero && fitted.m > 0) fitted = {qq > 0 ? xq / qq : 0.0F, 0};
    if (!(fitted.d > 0)) return;
    const float error = xx_sum.sum() - 2 * (fitted.d * xq + fitted.m * xs) + fitted.d * fitted.d * qq +
                        2 * fitted.d * fitted.m * q + fitted.m * fitted.m * n;
    if (best_error >= 0 && error >= best_error) return;
    best_error = error;
    best = fitted;
  };
  constexpr int kSteps = 8;  // on either side; half of them leave 0.2 % more, twice as many 0.1 % less
  for (int step = -kSteps; step <= kSteps; ++step) {
    attempt({(high - low) / (static_cast<float>(kMax) + static_cast<float>(step) / kSteps), low});
  }
  if (best_error < 0) return {(high - low) / static_cast<float>(kMax), low};
  for (int turn = 0; turn < 2; ++turn) attempt(best);
  return best;
}

/// A super-block of 256 weights d * scale * v: whole scales from kLow to kHigh for each kSub weights.
template <typename Levels, std::size_t kSub, int kLow, int kHigh>
struct ScaledBlock {
  static constexpr std::size_t kSubs = 256 / kSub;
  float d = 0;  ///< An f16.
  std::array<int, kSubs> scales{};

  ScaledBlock(const float* x, const float* w) noexcept {
    std::array<float, kSubs> wanted;
    float highest = 0, lowest = 0;
    for (std::size_t s = 0; s < kSubs; ++s) {
      wanted[s] = fit_scale<Levels, kSub>(x + kSub * s, w + kSub * s);
      highest = std::max(highest, wanted[s]);
      lowest = std::min(lowest, wanted[s]);
    }
    // The scale of the largest magnitude becomes kLow, whose magnitude is one larger than that of kHigh.
    // Found by both extremes: of `if (fabs(w) > fabs(largest)) largest = w` in a loop clang 19 at -O3 loses the negative ones.
    d = as_f16((highest > -lowest ? highest : lowest) / static_cast<float>(kLow));
    for (int turn = 0; turn < 2 && d != 0; ++turn) {
      ProductSums all;
      for (std::size_t s = 0; s < kSubs; ++s) {
        scales[s] = best_scale(x + kSub * s, w + kSub * s, wanted[s] / d);
        const float scale = static_cast<float>(scales[s]);
        if (scales[s] == 0) continue;
        const ProductSums sums = product_sums<Levels, kSub>(x + kSub * s, w + kSub * s, 1 / (d * scale));
        all.xv += scale * sums.xv;
        all.vv += scale * scale * sums.vv;
      }
      d = as_f16(all.scale());
    }
    for (std::size_t s = 0; s < kSubs && d != 0; ++s) scales[s] = best_scale(x + kSub * s, w + kSub * s, wanted[s] / d);
  }

  /// The code of weight i.
  [[nodiscard]] int code(const float* x, std::size_t i) const noexcept {
    const float scale = d * static_cast<float>(scales[i / kSub]);
    return Levels::code(scale != 0 ? x[i] / scale : 0.0F);
  }

 private:
  [[nodiscard]] int best_scale(const float* x, const float* w, float wanted) const noexcept {
    const int middle = static_cast<int>(std::clamp(std::round(wanted), static_cast<float>(kLow), static_cast<float>(kHigh)));
    int best = middle;
    float best_error = error_with<Levels, kSub>(x, w, d * static_cast<float>(middle));
    for (const int scale : {middle - 1, middle + 1}) {
      if (scale < kLow || scale > kHigh) continue;
      const float error = error_with<Levels, kSub>(x, w, d * static_cast<float>(scale));
      if (error >= best_error) continue;
      best_error = error;
      best = scale;
    }
    return best;
  }
};

/// A super-block of 256 weights d * scale * q - dmin * min: whole q in 0..kMax, scales and mins in 0..kMaxScale for each
/// kSub weights.
template <int kMax, std::size_t kSub, int kMaxScale>
struct LineBlock {
  static constexpr std::size_t kSubs = 256 / kSub;
  float d = 0, dmin = 0;  ///< f16.
  std::array<int, kSubs> scales{}, mins{};

  LineBlock(const float* x, const float* w) noexcept {
    std::array<Line, kSubs> wanted;
    float largest_d = 0, largest_m = 0;
    for (std::size_t s = 0; s < kSubs; ++s) {
      wanted[s] = fit_line<kMax, kSub>(x + kSub * s, w + kSub * s, true);
      largest_d = std::max(largest_d, wanted[s].d);
      largest_m = std::max(largest_m, -wanted[s].m);
    }
    d = as_f16(largest_d / kMaxScale);
    dmin = as_f16(largest_m / kMaxScale);
    for (int turn = 0; turn < 3; ++turn) {
      for (std::size_t s = 0; s < kSubs; ++s) choose(x + kSub * s, w + kSub * s, wanted[s], scales[s], mins[s]);
      if (turn < 2) refit(x, w);
    }
  }

  [[nodiscard]] int code(const float* x, std::size_t i) const noexcept {
    const float scale = d * static_cast<float>(scales[i / kSub]);
    return scale > 0 ? WholeLevels<0, kMax>::code((x[i] + dmin * static_cast<float>(mins[i / kSub])) / scale) : 0;
  }

 private:
  /// The best scale and min near those that are wanted.
  void choose(const float* x, const float* w, const Line& wanted, int& scale, int& min) const noexcept {
    const auto whole = [](float t, float unit) {
      return unit > 0 ? static_cast<int>(std::clamp(std::round(t / unit), 0.0F, static_cast<float>(kMaxScale))) : 0;
    };
    const int middle_scale = whole(wanted.d, d), middle_min = whole(-wanted.m, dmin);
    float best_error = -1;
    for (int m = std::max(0, middle_min - 1); m <= std::min(kMaxScale, middle_min + 1); ++m) {
      for (int c = std::max(0, middle_scale - 1); c <= std::min(kMaxScale, middle_scale + 1); ++c) {
        const float error = error_of(x, w, d * static_cast<float>(c), dmin * static_cast<float>(m));
        if (best_error >= 0 && error >= best_error) continue;
        best_error = error;
        scale = c;
        min = m;
      }
    }
  }

  [[nodiscard]] static float error_of(const float* x, const float* w, float scale, float min) noexcept {
    const float inverse = scale > 0 ? 1 / scale : 0.0F;
    Lanes error;
    for (std::size_t i = 0; i < kSub; i += 8) {
      for (std::size_t j = 0; j < 8; ++j) {
        const float t = x[i + j] + min;
        const float rest = t - scale * WholeLevels<0, kMax>::nearest(t * inverse);
        error.of[j] += w[i + j] * rest * rest;
      }
    }
    return error.sum();
  }

  /// d and dmin for the scales, mins and codes as they are: least squares of x = d u - dmin v, u = scale * q, v = min.
  void refit(const float* x, const float* w) noexcept {
    double uu = 0, uv = 0, vv = 0, xu = 0, xv = 0;
    for (std::size_t i = 0; i < 256; ++i) {
      const double u = scales[i / kSub] * code(x, i), v = mins[i / kSub], value = static_cast<double>(x[i]);
      const double wu = static_cast<double>(w[i]) * u, wv = static_cast<double>(w[i]) * v;
      uu += u * wu;
      uv += u * wv;
      vv += v * wv;
      xu += value * wu;
      xv += value * wv;
    }
    const double det = uu * vv - uv * uv;
    if (uu > 0 && vv == 0) {
      d = as_f16(static_cast<float>(xu / uu));
    } else if (det > 1e-6 * uu * vv) {
      const double new_d = (xu * vv - xv * uv) / det, new_min = (xu * uv - xv * uu) / det;
      if (!(new_d > 0 && new_min >= 0)) return;
      d = as_f16(static_cast<float>(new_d));
      dmin = as_f16(static_cast<float>(new_min));
    }
  }
};

}  // namespace woolly::quant
