// What the matrices of a plan are multiplied by, squared and summed over rows: an importance matrix in the making.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "plan/compile.h"

namespace woolly::exec {

/// Sums for each step of a plan that has matrices. All memory is taken at construction. One thread writes.
class InputSquares {
 public:
  /// Of one matrix, or of one of a stack.
  struct Sums {
    std::vector<double> squares;  ///< By column.
    std::uint64_t n_rows = 0;
  };

  explicit InputSquares(const plan::Plan& plan);

  /// Adds one row of the input of step `step`, and there of matrix `index` of a stack (0 where there is none).
  void add(std::size_t step, std::size_t index, const float* x) noexcept;

  /// The sums of a step, one for each matrix of a stack; empty where a step has no matrices or is not counted.
  [[nodiscard]] std::span<const Sums> of(std::size_t step) const noexcept { return steps_[step]; }

 private:
  std::vector<std::vector<Sums>> steps_;
};

/// The matrices that a step multiplies its input by; none where its input is not summed.
std::vector<plan::MatrixId> counted_matrices(const plan::Op& op);

}  // namespace woolly::exec
