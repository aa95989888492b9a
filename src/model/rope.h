// The angles of rotary position embedding.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "model/spec.h"

namespace woolly::model {

/// The angle by which pair i turns from one position to the next, [n_rot / 2], with linear or YaRN scaling applied.
/// `factors` [n_rot / 2] divide the angles; empty: none.
std::vector<double> rope_frequencies(const Rope& rope, std::span<const float> factors);

/// Cosine and sine of every pair at `position`, times the rope's magnitude: [n_rot / 2][2].
void rope_angles(const Rope& rope, std::span<const double> frequencies, std::uint32_t position, float* cos_sin) noexcept;

/// What queries at `position` are multiplied by.
float attention_temperature(const AttentionTemperature& temperature, std::uint32_t position) noexcept;

}  // namespace woolly::model
