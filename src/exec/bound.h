// The plan with addresses in place of indexes: what the executor's threads walk.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <variant>
#include <vector>

#include "kernels/kernel_table.h"
#include "pack/weights.h"
#include "plan/compile.h"

namespace woolly::exec {

struct BoundBuffer {
  float* data;
  std::size_t width, stride;

  [[nodiscard]] float* row(std::size_t i) const { return data + i * stride; }
};

struct BoundNorm {
  const float* weight = nullptr;
  float eps = 0.0F;
};

struct BoundEmbed {
  const plan::PackedMatrix* table;
  BoundBuffer out;
};

struct BoundProjection {
  const kernels::MatmulKernel* kernel;
  pack::MatrixBytes weights;
  std::size_t n_panels, n_rows;
  float scale;
  const float* bias;  ///< nullptr: none.
  std::size_t out_column;
};

struct BoundLinear {
  BoundBuffer in;
  std::optional<BoundNorm> norm;
  unsigned act_formats;  ///< Bits of 1 << ActFormat.
  std::vector<BoundProjection> projections;
  plan::Epilogue epilogue;
  BoundBuffer out;
};

struct BoundAttend {
  BoundBuffer qkv, out;
  std::size_t layer;
  std::optional<BoundNorm> query_norm, key_norm;
};

struct BoundSelectRows {
  std::vector<BoundBuffer> buffers;
};

using BoundStep = std::variant<BoundEmbed, BoundLinear, BoundAttend, BoundSelectRows>;

/// Binds `plan` to its weights and to a workspace that `layout` fits. All are borrowed.
std::vector<BoundStep> bind(const plan::Plan& plan, const pack::Weights& weights, const plan::WorkspaceLayout& layout,
                            std::byte* workspace);

}  // namespace woolly::exec
