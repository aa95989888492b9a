// Which experts the rows of a batch go to: for each row by rank, and for each expert its rows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/kernel_table.h"
#include "model/spec.h"

namespace woolly::exec {

/// A row and one of its experts, by rank: 0 has the highest score.
struct RowAndRank {
  std::uint32_t row, rank;
};

/// Of at most `max_rows` rows. All memory is taken at construction. A slot is the place of a row and rank in the order of
/// experts, rows of the same expert in order: what goes through one expert has consecutive slots.
class Routing {
 public:
  struct Group {
    std::uint32_t expert, first_slot, n;
  };

  Routing() = default;
  Routing(const model::Experts& experts, std::size_t max_rows);

  /// Chooses the experts of a row from its logits [experts.n], and a bias [experts.n] if there is one, as model::Experts
  /// says. NaN counts as highest, so that it shows in what comes out. Threads may choose for different rows at once.
  void choose(std::size_t row, const float* logits, const float* bias, const kernels::KernelTable& table) noexcept;
  /// Gives the rows 0 .. n_rows - 1, whose experts are chosen, their slots.
  void group(std::size_t n_rows) noexcept;

  /// Experts that have rows, in order.
  [[nodiscard]] std::span<const Group> groups() const noexcept { return std::span(groups_).first(n_groups_); }
  [[nodiscard]] const RowAndRank& at_slot(std::size_t slot) const noexcept { return at_slot_[slot]; }
  /// [n_used], by rank.
  [[nodiscard]] const std::uint32_t* experts_of(std::size_t row) const noexcept { return &experts_[row * spec_.n_used]; }
  [[nodiscard]] const float* weights_of(std::size_t row) const noexcept { return &weights_[row * spec_.n_used]; }
  [[nodiscard]] const std::uint32_t* slots_of(std::size_t row) const noexcept { return &slots_[row * spec_.n_used]; }

 private:
  void choose_best(std::size_t row, const float* scores) noexcept;
  void leave_groups_out(float* scores) const noexcept;

  model::Experts spec_;
  std::vector<std::uint32_t> experts_, slots_;  ///< [max_rows, n_used].
  std::vector<float> weights_;                  ///< [max_rows, n_used].
  std::vector<float> scores_;                   ///< [max_rows, 2, experts.n]: without and with what is for choosing.
  std::vector<RowAndRank> at_slot_;             ///< [max_rows * n_used].
  std::vector<std::uint32_t> next_slot_;        ///< By expert.
  std::vector<Group> groups_;                   ///< [experts.n].
  std::size_t n_groups_ = 0;
};

}  // namespace woolly::exec
