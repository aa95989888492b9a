#include "exec/routing.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace woolly::exec {
namespace {

/// A strict weak order of all floats, NaN above the rest.
bool is_above(float a, float b) { return a > b || (std::isnan(a) && !std::isnan(b)); }

}  // namespace

Routing::Routing(const model::Experts& experts, std::size_t max_rows)
    : spec_(experts),
      experts_(max_rows * experts.n_used),
      slots_(max_rows * experts.n_used),
      weights_(max_rows * experts.n_used),
      scores_(experts.gating == model::Gating::kSoftmaxOfChosen ? 0 : max_rows * 2 * experts.n),
      at_slot_(max_rows * experts.n_used),
      next_slot_(experts.n),
      groups_(experts.n) {}

void Routing::choose(std::size_t row, const float* logits, const float* bias, const kernels::KernelTable& table) noexcept {
  const std::uint32_t* best = experts_of(row);
  float* weights = &weights_[row * spec_.n_used];
  if (spec_.gating == model::Gating::kSoftmaxOfChosen) {
    choose_best(row, logits);
    for (std::size_t i = 0; i < spec_.n_used; ++i) weights[i] = logits[best[i]];
    return table.softmax(weights, spec_.weight_scale, spec_.n_used, weights);
  }
  float* scores = &scores_[row * 2 * spec_.n];
  float* ranked = scores + spec_.n;
  if (spec_.gating == model::Gating::kSoftmax) {
    table.softmax(logits, 1.0F, spec_.n, scores);
  } else {
    table.sigmoid(logits, spec_.n, scores);
  }
  std::copy_n(scores, spec_.n, ranked);
  if (bias != nullptr) table.add(bias, spec_.n, ranked);
  if (spec_.n_groups_used < spec_.n_groups) leave_groups_out(ranked);
  choose_best(row, ranked);
  float sum = 0.0F;
  for (std::size_t i = 0; i < spec_.n_used; ++i) sum += weights[i] = scores[best[i]];
  // The least normal number of binary16, which llama.cpp divides by at least.
  const float scale = spec_.normalizes ? spec_.weight_scale / std::max(sum, 0x1p-14F) : spec_.weight_scale;
  for (std::size_t i = 0; i < spec_.n_used; ++i) weights[i] *= scale;
}

void Routing::choose_best(std::size_t row, const float* scores) noexcept {
  std::uint32_t* best = &experts_[row * spec_.n_used];
  std::size_t n = 0;
  for (std::uint32_t expert = 0; expert < spec_.n; ++expert) {
    if (n == spec_.n_used && !is_above(scores[expert], scores[best[n - 1]])) continue;
    if (n < spec_.n_used) ++n;
    std::size_t at = n - 1;
    for (; at > 0 && is_above(scores[expert], scores[best[at - 1]]); --at) best[at] = best[at - 1];
    best[at] = expert;
  }
}

/// Takes the experts of all but the best groups out of the choice.
void Routing::leave_groups_out(float* scores) const noexcept {
  const std::size_t n_of_group = spec_.n / spec_.n_groups;
  float of_group[model::Experts::kMostGroups];
  for (std::size_t group = 0; group < spec_.n_groups; ++group) {
    float best[2] = {-INFINITY, -INFINITY};
    for (std::size_t i = 0; i < n_of_group; ++i) {
      const float score = scores[group * n_of_group + i];
      if (is_above(score, best[1])) best[1] = score;
      if (is_above(best[1], best[0])) std::swap(best[0], best[1]);
    }
    of_group[group] = n_of_group == 1 ? best[0] : best[0] + best[1];
  }
  for (std::size_t group = 0; group < spec_.n_groups; ++group) {
    std::size_t n_before = 0;
    for (std::size_t other = 0; other < spec_.n_groups; ++other) {
      const bool is_equal = !is_above(of_group[other], of_group[group]) && !is_above(of_group[group], of_group[other]);
      if (is_above(of_group[other], of_group[group]) || (is_equal && other < group)) ++n_before;
    }
    if (n_before >= spec_.n_groups_used) std::fill_n(scores + group * n_of_group, n_of_group, -INFINITY);
  }
}

void Routing::group(std::size_t n_rows) noexcept {
  std::fill(next_slot_.begin(), next_slot_.end(), 0U);
  for (std::size_t i = 0; i < n_rows * spec_.n_used; ++i) ++next_slot_[experts_[i]];
  n_groups_ = 0;
  std::uint32_t slot = 0;
  for (std::uint32_t expert = 0; expert < spec_.n; ++expert) {
    const std::uint32_t n = next_slot_[expert];
    next_slot_[expert] = slot;
    if (n > 0) groups_[n_groups_++] = {expert, slot, n};
    slot += n;
  }
  for (std::size_t row = 0; row < n_rows; ++row) {
    for (std::uint32_t rank = 0; rank < spec_.n_used; ++rank) {
      const std::uint32_t at = next_slot_[experts_[row * spec_.n_used + rank]]++;
      slots_[row * spec_.n_used + rank] = at;
      at_slot_[at] = {static_cast<std::uint32_t>(row), rank};
    }
  }
}

}  // namespace woolly::exec
