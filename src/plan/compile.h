// Graph to Plan: kernels bound, weights given their places, buffers their offsets. The executor walks a Plan without
// asking anything again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "kernels/kernel_table.h"
#include "plan/graph.h"
#include "woolly/error.h"

namespace woolly::plan {

/// Where kernels find the matrices of a plan.
enum class MatrixPlace : std::uint8_t {
  kPanels,  ///< Packed, in memory (kernels/panel_format.h).
  kFile,    ///< As the file has them, where it is mapped.
};

/// Where a matrix, or a stack of `n` matrices, lies in the packed weights, as panels of kernels::kPanelRows rows. Offset
/// and strides are 0 where it stays in the file. It begins with row `first_row` of its tensor, or of each matrix of that.
struct PackedMatrix {
  const gguf::TensorView* tensor;
  const kernels::MatmulKernel* kernel;
  std::uint64_t n, first_row, n_rows, n_cols;
  std::uint64_t offset = 0;        ///< Of the first panel, in bytes.
  std::uint64_t panel_stride = 0;  ///< From one panel to the next; gate and up alternate.
  std::uint64_t stride = 0;        ///< From one matrix of a stack to the next.

  /// From one matrix of the stack to the next, in rows of the file.
  [[nodiscard]] std::uint64_t rows_apart() const { return tensor->n_rows() / n; }
  /// Of all of the stack, in the file.
  [[nodiscard]] std::uint64_t bytes() const { return tensor->size / tensor->n_rows() * n_rows * n; }
  /// Of one matrix.
  [[nodiscard]] std::size_t n_panels() const {
    return static_cast<std::size_t>((n_rows + kernels::kPanelRows - 1) / kernels::kPanelRows);
  }
};

/// Where a vector lies in the packed weights, as float32.
struct PackedVector {
  const gguf::TensorView* tensor;
  const gguf::TensorView* multiplier;
  float factor;
  std::uint64_t n;
  std::uint64_t offset;
};

struct Plan {
  model::Spec spec;
  const kernels::KernelTable* kernels;
  std::vector<Step> steps;
  std::vector<Buffer> buffers;
  std::vector<PackedMatrix> matrices;
  std::vector<PackedVector> vectors;
  MatrixPlace matrix_place = MatrixPlace::kPanels;
  std::uint64_t weight_bytes = 0;  ///< Of panels and vectors.
  std::uint64_t mapped_bytes = 0;  ///< Of matrices that stay in the file.
  std::optional<VectorId> rope_factors, long_rope_factors;
  BufferId logits;
  std::uint32_t n_kv_layers = 0;
  std::uint64_t state_floats = 0;
};

/// Binds every matrix to its kernel in `table` and lays out the weights: vectors, and panels where matrices do not stay
/// in the file. The views in the plan belong to the gguf::File that the graph was built from; they are used by
/// pack::fulfil and pack::Weights, and by `print`.
Result<Plan> compile(Graph graph, const kernels::KernelTable& table, MatrixPlace place);

/// Most rows of a step.
struct Limits {
  std::size_t max_rows = 512;
  std::size_t max_logit_rows = 1;
  std::size_t n_ctx = 1;  ///< Most positions of a sequence: LongRoPE has other angles for long ones.
};

/// The offset of every buffer in one workspace, in bytes: buffers whose lives do not meet share their place.
struct WorkspaceLayout {
  std::vector<std::uint64_t> offsets;  ///< By buffer.
  std::uint64_t bytes = 0;
};
WorkspaceLayout lay_out(const Plan& plan, const Limits& limits);

/// The activation formats that a step's kernels read, as bits of 1 << ActFormat.
unsigned act_formats(const Plan& plan, const Linear& op);
unsigned act_formats(const Plan& plan, const LinearHeads& op);
unsigned act_formats(const Plan& plan, const Route& op);
unsigned act_formats(const Plan& plan, const ExpertsUp& op);
unsigned act_formats(const Plan& plan, const ExpertsDown& op);

/// The plan as text, a line for each step.
std::string print(const Plan& plan, const Limits& limits);

}  // namespace woolly::plan
