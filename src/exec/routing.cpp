#include "exec/routing.h"

#include <algorithm>
#include <cmath>

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
      at_slot_(max_rows * experts.n_used),
      next_slot_(experts.n),
      groups_(experts.n) {}

void Routing::choose(std::size_t row, const float* logits, const kernels::KernelTable& table) noexcept {
  std::uint32_t* best = &experts_[row * spec_.n_used];
  float* weights = &weights_[row * spec_.n_used];  // the logits of the best, at first
  std::size_t n = 0;
  for (std::uint32_t expert = 0; expert < spec_.n; ++expert) {
    const float logit = logits[expert];
    if (n == spec_.n_used && !is_above(logit, weights[n - 1])) continue;
    if (n < spec_.n_used) ++n;
    std::size_t at = n - 1;
    for (; at > 0 && is_above(logit, weights[at - 1]); --at) {
      weights[at] = weights[at - 1];
      best[at] = best[at - 1];
    }
    weights[at] = logit;
    best[at] = expert;
  }
  table.softmax(weights, spec_.weight_scale, spec_.n_used, weights);
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
