#include "exec/input_squares.h"

#include <variant>

#include "plan/op.h"

namespace woolly::exec {

InputSquares::InputSquares(const plan::Plan& plan) : steps_(plan.steps.size()) {
  for (std::size_t i = 0; i < plan.steps.size(); ++i) {
    const std::vector<plan::MatrixId> matrices = counted_matrices(plan.steps[i].op);
    if (matrices.empty()) continue;
    const plan::PackedMatrix& matrix = plan.matrices[matrices.front().index];
    steps_[i].assign(matrix.n, {.squares = std::vector<double>(matrix.n_cols), .n_rows = 0});
  }
}

std::vector<plan::MatrixId> counted_matrices(const plan::Op& op) {
  std::vector<plan::MatrixId> matrices;
  if (const auto* linear = std::get_if<plan::Linear>(&op)) {
    for (const plan::Projection& projection : linear->projections) matrices.push_back(projection.matrix);
  }
  if (const auto* heads = std::get_if<plan::LinearHeads>(&op)) matrices = {heads->matrices};
  if (const auto* up = std::get_if<plan::ExpertsUp>(&op)) matrices = {up->gate.matrix, up->up.matrix};
  if (const auto* down = std::get_if<plan::ExpertsDown>(&op)) matrices = {down->down.matrix};
  return matrices;
}

void InputSquares::add(std::size_t step, std::size_t index, const float* x) noexcept {
  Sums& sums = steps_[step][index];
  for (std::size_t i = 0; i < sums.squares.size(); ++i) sums.squares[i] += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  ++sums.n_rows;
}

}  // namespace woolly::exec
