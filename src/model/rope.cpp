#include "model/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace woolly::model {
namespace {

/// The pair whose wavelength makes `n_turns` turns within the original context (YaRN, section 3.2).
double pair_of_turns(const Rope& rope, double n_turns) {
  return rope.n_rot * std::log(rope.original_context / (n_turns * 2 * std::numbers::pi)) /
         (2 * std::log(static_cast<double>(rope.base)));
}

/// How much of pair i's angle is left unscaled, 0 to 1.
double yarn_keep(const Rope& rope, double i) {
  const double last = rope.n_rot - 1;
  const double low = std::clamp(std::floor(pair_of_turns(rope, static_cast<double>(rope.fast_turns))), 0.0, last);
  const double high = std::clamp(std::ceil(pair_of_turns(rope, static_cast<double>(rope.slow_turns))), 0.0, last);
  const double ramp = (i - low) / std::max(0.001, high - low);
  return 1 - std::clamp(ramp, 0.0, 1.0);
}

}  // namespace

std::vector<double> rope_frequencies(const Rope& rope, std::span<const float> factors) {
  std::vector<double> frequencies(rope.n_rot / 2);
  for (std::size_t i = 0; i < frequencies.size(); ++i) {
    double frequency = std::pow(static_cast<double>(rope.base), -2.0 * static_cast<double>(i) / rope.n_rot);
    if (!factors.empty()) frequency /= static_cast<double>(factors[i]);
    const double keep = rope.is_yarn ? yarn_keep(rope, static_cast<double>(i)) : 0.0;
    frequencies[i] = frequency * ((1 - keep) / static_cast<double>(rope.factor) + keep);
  }
  return frequencies;
}

void rope_angles(const Rope& rope, std::span<const double> frequencies, std::uint32_t position,
                 float* cos_sin) noexcept {
  for (std::size_t i = 0; i < frequencies.size(); ++i) {
    const double angle = position * frequencies[i];
    cos_sin[2 * i] = static_cast<float>(std::cos(angle) * static_cast<double>(rope.magnitude));
    cos_sin[2 * i + 1] = static_cast<float>(std::sin(angle) * static_cast<double>(rope.magnitude));
  }
}

float attention_temperature(const AttentionTemperature& temperature, std::uint32_t position) noexcept {
  if (temperature.scale == 0.0F) return 1.0F;
  return 1.0F + temperature.scale * static_cast<float>(std::log(1.0 + position / temperature.length));
}

}  // namespace woolly::model
