// Encoders of the types with codebooks. A block is searched as those of other types are (fit.h); only the nearest levels of
// several weights are a pattern of the codebook, for which the patterns near the levels of each weight are looked at.
#include <array>
#include <cstring>
#include <limits>
#include <memory>

#include "base/float16.h"
#include "quant/blocks.h"
#include "quant/codebooks.h"
#include "quant/encode.h"
#include "quant/fit.h"

namespace woolly::quant {
namespace {

/// The patterns of a codebook by the levels that they are near to.
template <std::size_t kSize, std::size_t kWeights, std::size_t kLevels>
class Patterns {
 public:
  /// `levels` ascending.
  Patterns(const Codebook<kSize, kWeights>& codebook, const std::array<float, kLevels>& levels) : levels_(levels) {
    for (std::size_t p = 0; p < kSize; ++p) {
      for (std::size_t i = 0; i < kWeights; ++i) values_[p][i] = levels[codebook[p] >> (8 * i) & 255U];
    }
    for (std::size_t combination = 0; combination < kCombinations; ++combination) list_nearest(combination);
  }

  /// The number of the pattern v for which Σ w (t - v)² is least, of those near the levels that are nearest to each t.
  [[nodiscard]] std::size_t nearest(const float* t, const float* w) const noexcept {
    std::size_t combination = 0, place = 1;
    for (std::size_t i = 0; i < kWeights; ++i, place *= kLevels) {
      std::size_t level = 0;
      for (std::size_t l = 1; l < kLevels; ++l) level += std::size_t{t[i] * 2 > levels_[l - 1] + levels_[l]};
      combination += level * place;
    }
    const Near& near = near_[combination];
    if (near.n == 1) return near.patterns[0];
    std::size_t best = 0;
    float best_distance = std::numeric_limits<float>::max();
    for (std::size_t k = 0; k < near.n; ++k) {
      const std::size_t p = near.patterns[k];
      float distance = 0;
      for (std::size_t i = 0; i < kWeights; ++i) distance += w[i] * (t[i] - values_[p][i]) * (t[i] - values_[p][i]);
      if (distance >= best_distance) continue;
      best_distance = distance;
      best = p;
    }
    return best;
  }

  [[nodiscard]] const std::array<float, kWeights>& values(std::size_t pattern) const noexcept { return values_[pattern]; }

 private:
  /// Patterns that are looked at; twice as many leave 0.3 % less of the error at most.
  static constexpr std::size_t kMost = 15;
  struct Near {
    std::uint16_t n;
    std::uint16_t patterns[kMost];
  };
  static constexpr std::size_t kCombinations = [] {
    std::size_t n = 1;
    for (std::size_t i = 0; i < kWeights; ++i) n *= kLevels;
    return n;
  }();

  void list_nearest(std::size_t combination) {
    std::array<float, kWeights> t;
    for (std::size_t i = 0, rest = combination; i < kWeights; ++i, rest /= kLevels) t[i] = levels_[rest % kLevels];
    float distances[kMost];
    Near& near = near_[combination];
    near.n = 0;
    for (std::size_t p = 0; p < kSize; ++p) {
      float distance = 0;
      for (std::size_t i = 0; i < kWeights; ++i) distance += (t[i] - values_[p][i]) * (t[i] - values_[p][i]);
      if (distance == 0) {
        near = {1, {static_cast<std::uint16_t>(p)}};
        return;
      }
      std::size_t at = near.n;
      if (at == kMost) {
        if (distance >= distances[kMost - 1]) continue;
        at = kMost - 1;
      } else {
        ++near.n;
      }
      for (; at > 0 && distances[at - 1] > distance; --at) {
        distances[at] = distances[at - 1];
        near.patterns[at] = near.patterns[at - 1];
      }
      distances[at] = distance;
      near.patterns[at] = static_cast<std::uint16_t>(p);
    }
  }

  std::array<float, kLevels> levels_;
  std::array<std::array<float, kWeights>, kSize> values_;
  std::array<Near, kCombinations> near_;
};

/// Made when first wanted, and kept.
template <const auto& kCodebook, std::size_t kLevels, const std::array<float, kLevels>& kValues>
const auto& patterns() {
  using Book = std::remove_cvref_t<decltype(kCodebook)>;
  using Made = Patterns<std::tuple_size_v<Book>, sizeof(typename Book::value_type), kLevels>;
  static const std::unique_ptr<const Made> kMade = std::make_unique<const Made>(kCodebook, kValues);
  return *kMade;
}

constexpr std::array<float, 3> kIQ2Levels = {8, 25, 43};
constexpr std::array<float, 8> kIQ3XxsLevels = {4, 12, 20, 28, 36, 44, 52, 62};
constexpr std::array<float, 8> kIQ3SLevels = {1, 3, 5, 7, 9, 11, 13, 15};

constexpr std::array<float, 3> kIQ1Levels = {-1, 0, 1};

/// 256 weights with their signs apart. Where signs are even, one of eight weights may have the wrong sign: the one that
/// counts least, whose magnitude is negative then.
struct SignedWeights {
  std::array<float, 256> magnitudes;
  std::array<std::uint8_t, 32> signs{};

  SignedWeights(const float* x, const float* w, bool are_even) noexcept {
    for (std::size_t g = 0; g < 32; ++g) {
      unsigned negative = 0;
      std::size_t smallest = 8 * g;
      for (std::size_t i = 8 * g; i < 8 * g + 8; ++i) {
        magnitudes[i] = std::fabs(x[i]);
        if (x[i] < 0) negative |= 1U << (i % 8);
        if (w[i] * x[i] * x[i] < w[smallest] * x[smallest] * x[smallest]) smallest = i;
      }
      if (are_even && __builtin_parity(negative) != 0) {
        negative ^= 1U << (smallest % 8);
        magnitudes[smallest] = -magnitudes[smallest];
      }
      signs[g] = static_cast<std::uint8_t>(negative);
    }
  }
};

/// A super-block d * factor * (2 scale + 1) * pattern: scales in 0..15 for each kSub weights.
template <typename Book, std::size_t kWeights, std::size_t kSub>
struct PatternBlock {
  static constexpr std::size_t kSubs = 256 / kSub;
  float d = 0;  ///< An f16.
  std::array<int, kSubs> scales{};
  std::array<std::uint16_t, 256 / kWeights> patterns{};

  PatternBlock(const Book& book, const std::array<float, 256>& x, const float* w, float largest_level, float factor) noexcept
      : book_(book), x_(x), w_(w), factor_(factor) {
    std::array<float, kSubs> wanted;
    float largest = 0;
    for (std::size_t s = 0; s < kSubs; ++s) {
      wanted[s] = fit(s, largest_level);
      largest = std::max(largest, wanted[s]);
    }
    d = as_f16(largest / (31 * factor));
    for (int turn = 0; turn < 2 && d > 0; ++turn) {
      ProductSums all;
      for (std::size_t s = 0; s < kSubs; ++s) {
        choose(s, wanted[s]);
        const float scale = scale_of(scales[s]) / d;
        const ProductSums sums = sums_with(s, scale_of(scales[s]));
        all.xv += scale * sums.xv;
        all.vv += scale * scale * sums.vv;
      }
      d = as_f16(all.scale());
    }
    for (std::size_t s = 0; s < kSubs && d > 0; ++s) {
      choose(s, wanted[s]);
      sums_with(s, scale_of(scales[s]));  // leaves the patterns
    }
  }

 private:
  [[nodiscard]] float scale_of(int scale) const noexcept { return d * factor_ * static_cast<float>(2 * scale + 1); }

  /// Takes the nearest patterns of sub-block s.
  ProductSums sums_with(std::size_t s, float scale) noexcept {
    ProductSums sums;
    const float inverse = 1 / scale;
    for (std::size_t i = kSub * s; i < kSub * (s + 1); i += kWeights) {
      float t[kWeights];
      for (std::size_t j = 0; j < kWeights; ++j) t[j] = x_[i + j] * inverse;
      const std::size_t pattern = book_.nearest(t, w_ + i);
      patterns[i / kWeights] = static_cast<std::uint16_t>(pattern);
      const auto& values = book_.values(pattern);
      for (std::size_t j = 0; j < kWeights; ++j) {
        const float wv = w_[i + j] * values[j];
        sums.xv += x_[i + j] * wv;
        sums.vv += values[j] * wv;
      }
    }
    return sums;
  }

  [[nodiscard]] float fit(std::size_t s, float largest_level) noexcept {
    float largest = 0;
    for (std::size_t i = kSub * s; i < kSub * (s + 1); ++i) largest = std::max(largest, x_[i]);
    if (!(largest > 0)) return 0;
    ProductSums best;
    constexpr int kSteps = 14;  // the largest weight at 0.6 to 1.3 of the last level
    for (int step = 0; step <= kSteps; ++step) {
      const ProductSums sums = sums_with(s, largest / (largest_level * (0.6F + 0.05F * static_cast<float>(step))));
      if (sums.xv > 0 && sums.explained() > best.explained()) best = sums;
    }
    if (!(best.xv > 0)) return 0;
    const ProductSums again = sums_with(s, best.scale());
    return (again.explained() > best.explained() ? again : best).scale();
  }

  /// The best scale near the one that is wanted: what is left is Σwx² - 2 c Σwxv + c² Σwv².
  void choose(std::size_t s, float wanted) noexcept {
    const int middle = static_cast<int>(std::clamp(std::round((wanted / (d * factor_) - 1) / 2), 0.0F, 15.0F));
    float best_error = std::numeric_limits<float>::max();
    for (int scale = std::max(0, middle - 1); scale <= std::min(15, middle + 1); ++scale) {
      const float c = scale_of(scale);
      const ProductSums sums = sums_with(s, c);
      const float error = c * (c * sums.vv - 2 * sums.xv);
      if (error >= best_error) continue;
      best_error = error;
      scales[s] = scale;
    }
  }

  const Book& book_;
  const std::array<float, 256>& x_;
  const float* w_;
  float factor_;
};

/// A super-block d * (2 scale + 1) * (pattern + shift) of IQ1: scales in 0..7 for each kSub weights, and a shift of 1/8 or
/// -1/8 for each kShifted.
template <typename Book, std::size_t kSub, std::size_t kShifted>
struct ShiftedBlock {
  static constexpr std::size_t kSubs = 256 / kSub;
  float d = 0;  ///< An f16.
  std::array<int, kSubs> scales{};
  std::array<std::uint16_t, 32> patterns{};
  std::array<bool, 256 / kShifted> is_negative{};  ///< Of shifts.

  ShiftedBlock(const Book& book, const float* x, const float* w) noexcept : book_(book), x_(x), w_(w) {
    std::array<float, kSubs> wanted;
    float largest = 0;
    for (std::size_t s = 0; s < kSubs; ++s) {
      wanted[s] = fit(s);
      largest = std::max(largest, wanted[s]);
    }
    d = as_f16(largest / 15);
    for (int turn = 0; turn < 3 && d > 0; ++turn) {
      ProductSums all;
      for (std::size_t s = 0; s < kSubs; ++s) {
        choose(s, wanted[s]);
        const float scale = static_cast<float>(2 * scales[s] + 1);
        const ProductSums sums = sums_with(s, d * scale);  // leaves the patterns
        all.xv += scale * sums.xv;
        all.vv += scale * scale * sums.vv;
      }
      if (turn < 2) d = as_f16(all.scale());
    }
  }

 private:
  /// Takes the nearest patterns and the better shifts of sub-block s.
  ProductSums sums_with(std::size_t s, float scale) noexcept {
    ProductSums sums;
    for (std::size_t i = kSub * s; i < kSub * (s + 1); i += kShifted) {
      const ProductSums positive = sums_with_shift(i, scale, 0.125F);
      std::uint16_t kept[kShifted / 8];
      std::copy_n(patterns.begin() + static_cast<std::ptrdiff_t>(i / 8), kShifted / 8, kept);
      const ProductSums negative = sums_with_shift(i, scale, -0.125F);
      const auto error = [&](const ProductSums& of) { return scale * of.vv - 2 * of.xv; };
      is_negative[i / kShifted] = error(negative) < error(positive);
      if (!is_negative[i / kShifted]) std::copy_n(kept, kShifted / 8, patterns.begin() + static_cast<std::ptrdiff_t>(i / 8));
      const ProductSums& better = is_negative[i / kShifted] ? negative : positive;
      sums.xv += better.xv;
      sums.vv += better.vv;
    }
    return sums;
  }

  ProductSums sums_with_shift(std::size_t first, float scale, float shift) noexcept {
    ProductSums sums;
    const float inverse = 1 / scale;
    for (std::size_t i = first; i < first + kShifted; i += 8) {
      float t[8];
      for (std::size_t j = 0; j < 8; ++j) t[j] = x_[i + j] * inverse - shift;
      const std::size_t pattern = book_.nearest(t, w_ + i);
      patterns[i / 8] = static_cast<std::uint16_t>(pattern);
      const auto& values = book_.values(pattern);
      for (std::size_t j = 0; j < 8; ++j) {
        const float v = values[j] + shift, wv = w_[i + j] * v;
        sums.xv += x_[i + j] * wv;
        sums.vv += v * wv;
      }
    }
    return sums;
  }

  [[nodiscard]] float fit(std::size_t s) noexcept {
    const float largest = largest_magnitude<kSub>(x_ + kSub * s);
    if (!(largest > 0)) return 0;
    ProductSums best;
    constexpr int kSteps = 14;  // the largest weight at 0.9 to 3 times the scale
    for (int step = 0; step <= kSteps; ++step) {
      const ProductSums sums = sums_with(s, largest / (0.9F + 0.15F * static_cast<float>(step)));
      if (sums.xv > 0 && sums.explained() > best.explained()) best = sums;
    }
    return best.scale();
  }

  void choose(std::size_t s, float wanted) noexcept {
    const int middle = static_cast<int>(std::clamp(std::round((wanted / d - 1) / 2), 0.0F, 7.0F));
    float best_error = std::numeric_limits<float>::max();
    for (int scale = std::max(0, middle - 1); scale <= std::min(7, middle + 1); ++scale) {
      const float c = d * static_cast<float>(2 * scale + 1);
      const ProductSums sums = sums_with(s, c);
      const float error = c * (c * sums.vv - 2 * sums.xv);
      if (error >= best_error) continue;
      best_error = error;
      scales[s] = scale;
    }
  }

  const Book& book_;
  const float* x_;
  const float* w_;
};

template <typename Block>
void store(const Block& block, std::byte* blocks, std::size_t index) noexcept {
  std::memcpy(blocks + index * sizeof(Block), &block, sizeof(Block));
}

std::uint8_t nibbles(int low, int high) noexcept { return static_cast<std::uint8_t>(low | high << 4); }

/// The 32 bits that end 32 weights of IQ2_XXS and IQ3_XXS.
std::uint32_t tail_of(const SignedWeights& weights, std::size_t b, int scale) noexcept {
  std::uint32_t tail = static_cast<std::uint32_t>(scale) << 28;
  for (std::size_t l = 0; l < 4; ++l) tail |= (weights.signs[4 * b + l] & 127U) << (7 * l);
  return tail;
}

/// Fits each block and lets `put` fill it in.
template <typename Block, std::size_t kWeights, std::size_t kSub, typename Book, typename Put>
void encode_patterns(const Book& book, float largest_level, float factor, bool are_even, const float* x,
                     const float* w, std::size_t n_blocks, std::byte* blocks, Put put) noexcept {
  for (std::size_t b = 0; b < n_blocks; ++b, x += 256, w += 256) {
    const SignedWeights weights(x, w, are_even);
    const PatternBlock<Book, kWeights, kSub> fitted(book, weights.magnitudes, w, largest_level, factor);
    Block block{};
    block.d = base::f32_to_f16(fitted.d);
    put(block, fitted, weights);
    store(block, blocks, b);
  }
}

}  // namespace

void encode_iq2_xxs(const float* x, const float* w, std::size_t n_blocks, std::byte* blocks) noexcept {
  const auto& book = patterns<kIQ2XxsCodebook, 3, kIQ2Levels>();
  encode_patterns<BlockIQ2_XXS, 8, 32>(book, 43, kIQ2Values.factor, true, x, w, n_blocks, blocks,
                                       [](auto& block, const auto& fitted, const auto& weights) {
    for (std::size_t b = 0; b < 8; ++b) {
      for (std::size_t l = 0; l < 4; ++l) block.qs[8 * b + l] = static_cast<std::uint8_t>(fitted.patterns[4 * b + l]);
      const std::uint32_t tail = tail_of(weights, b, fitted.scales[b]);
      std::memcpy(block.qs + 8 * b + 4, &tail, 4);
    }
  });
}

void encode_iq2_xs(const float* x, const float* w, std::size_t n_blocks, std::byte* blocks) noexcept {
  const auto& book = patterns<kIQ2XsCodebook, 3, kIQ2Levels>();
  encode_patterns<BlockIQ2_XS, 8, 16>(book, 43, kIQ2Values.factor, true, x, w, n_blocks, blocks,
                                      [](auto& block, const auto& fitted, const auto& weights) {
    for (std::size_t i = 0; i < 32; ++i) {
      block.qs[i] = static_cast<std::uint16_t>(fitted.patterns[i] | (weights.signs[i] & 127U) << 9);
    }
    for (std::size_t b = 0; b < 8; ++b) block.scales[b] = nibbles(fitted.scales[2 * b], fitted.scales[2 * b + 1]);
  });
}

void encode_iq2_s(const float* x, const float* w, std::size_t n_blocks, std::byte* blocks) noexcept {
  const auto& book = patterns<kIQ2SCodebook, 3, kIQ2Levels>();
  encode_patterns<BlockIQ2_S, 8, 16>(book, 43, kIQ2Values.factor, false, x, w, n_blocks, blocks,
                                     [](auto& block, const auto& fitted, const auto& weights) {
    for (std::size_t i = 0; i < 32; ++i) {
      block.qs[i] = static_cast<std::uint8_t>(fitted.patterns[i] & 255);
      block.qh[i / 4] = static_cast<std::uint8_t>(block.qh[i / 4] | fitted.patterns[i] >> 8 << (2 * (i % 4)));
      block.signs[i] = weights.signs[i];
    }
    for (std::size_t b = 0; b < 8; ++b) block.scales[b] = nibbles(fitted.scales[2 * b], fitted.scales[2 * b + 1]);
  });
}

void encode_iq3_xxs(const float* x, const float* w, std::size_t n_blocks, std::byte* blocks) noexcept {
  const auto& book = patterns<kIQ3XxsCodebook, 8, kIQ3XxsLevels>();
  encode_patterns<BlockIQ3_XXS, 4, 32>(book, 62, kIQ3XxsValues.factor, true, x, w, n_blocks, blocks,
                                       [](auto& block, const auto& fitted, const auto& weights) {
    for (std::size_t i = 0; i < 64; ++i) block.qs[i] = static_cast<std::uint8_t>(fitted.patterns[i]);
    for (std::size_t b = 0; b < 8; ++b) {
      const std::uint32_t tail = tail_of(weights, b, fitted.scales[b]);
      std::memcpy(block.tails + 4 * b, &tail, 4);
    }
  });
}

void encode_iq3_s(const float* x, const float* w, std::size_t n_blocks, std::byte* blocks) noexcept {
  const auto& book = patterns<kIQ3SCodebook, 8, kIQ3SLevels>();
  encode_patterns<BlockIQ3_S, 4, 32>(book, 15, kIQ3SValues.factor, false, x, w, n_blocks, blocks,
                                     [](auto& block, const auto& fitted, const auto& weights) {
    for (std::size_t i = 0; i < 64; ++i) {
      block.qs[i] = static_cast<std::uint8_t>(fitted.patterns[i] & 255);
      block.qh[i / 8] = static_cast<std::uint8_t>(block.qh[i / 8] | fitted.patterns[i] >> 8 << (i % 8));
    }
    std::memcpy(block.signs, weights.signs.data(), 32);
    for (std::size_t b = 0; b < 4; ++b) block.scales[b] = nibbles(fitted.scales[2 * b], fitted.scales[2 * b + 1]);
  });
}

void encode_iq1_s(const float* x, const float* w, std::size_t n_blocks, std::byte* blocks) noexcept {
  const auto& book = patterns<kIQ1Codebook, 3, kIQ1Levels>();
  for (std::size_t b = 0; b < n_blocks; ++b, x += 256, w += 256) {
    const ShiftedBlock<std::remove_cvref_t<decltype(book)>, 32, 32> fitted(book, x, w);
    BlockIQ1_S block{};
    block.d = base::f32_to_f16(fitted.d);
    for (std::size_t i = 0; i < 32; ++i) {
      block.qs[i] = static_cast<std::uint8_t>(fitted.patterns[i] & 255);
      block.qh[i / 4] = static_cast<std::uint16_t>(block.qh[i / 4] | fitted.patterns[i] >> 8 << (3 * (i % 4)));
    }
    for (std::size_t s = 0; s < 8; ++s) {
      block.qh[s] = static_cast<std::uint16_t>(block.qh[s] | fitted.scales[s] << 12 | (fitted.is_negative[s] ? 0x8000 : 0));
    }
    store(block, blocks, b);
  }
}

void encode_iq1_m(const float* x, const float* w, std::size_t n_blocks, std::byte* blocks) noexcept {
  const auto& book = patterns<kIQ1Codebook, 3, kIQ1Levels>();
  for (std::size_t b = 0; b < n_blocks; ++b, x += 256, w += 256) {
    const ShiftedBlock<std::remove_cvref_t<decltype(book)>, 16, 8> fitted(book, x, w);
    BlockIQ1_M block{};
    for (std::size_t i = 0; i < 32; ++i) {
      block.qs[i] = static_cast<std::uint8_t>(fitted.patterns[i] & 255);
      const int nibble = fitted.patterns[i] >> 8 | (fitted.is_negative[i] ? 8 : 0);
      block.qh[i / 2] = static_cast<std::uint8_t>(block.qh[i / 2] | nibble << (4 * (i % 2)));
    }
    for (std::size_t s = 0; s < 16; ++s) {
      block.scales[s / 4] = static_cast<std::uint16_t>(block.scales[s / 4] | fitted.scales[s] << (3 * (s % 4)));
    }
    const unsigned d = base::f32_to_f16(fitted.d);
    for (std::size_t i = 0; i < 4; ++i) {
      block.scales[i] = static_cast<std::uint16_t>(block.scales[i] | (d >> (4 * i) & 15U) << 12);
    }
    store(block, blocks, b);
  }
}

}  // namespace woolly::quant
