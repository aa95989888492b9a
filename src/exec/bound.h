// The plan with addresses in place of indexes: what the executor's threads walk.
#pragma once

#include <algorithm>
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
  float scale;
  BoundBuffer out;
};

/// A matrix, or a stack of them.
struct BoundMatrix {
  const kernels::MatmulKernel* kernel;
  pack::MatrixBytes weights;
  std::size_t n_panels, n_rows, n_cols;

  /// Rows of a panel that the matrix has.
  [[nodiscard]] std::size_t rows_of(std::size_t panel) const {
    return std::min(kernels::kPanelRows, n_rows - panel * kernels::kPanelRows);
  }
};

struct BoundProjection {
  BoundMatrix matrix;
  float scale;
  const float* bias;  ///< nullptr: none.
  std::size_t out_column;
  std::optional<BoundBuffer> gate;
};

/// What matrices read.
struct BoundInput {
  BoundBuffer buffer;
  std::optional<BoundNorm> norm;
  unsigned act_formats;  ///< Bits of 1 << ActFormat.
};

struct BoundLinear {
  BoundInput in;
  std::vector<BoundProjection> projections;
  plan::Epilogue epilogue;
  BoundBuffer out;
  float soft_cap;
};

struct BoundLinearHeads {
  BoundInput in;  ///< Without a norm.
  BoundMatrix matrices;
  std::size_t n_heads;
  BoundBuffer out;
};

struct BoundAttend {
  BoundBuffer queries, keys, values, out;
  std::size_t layer;
  std::optional<BoundNorm> query_norm, key_norm;
  plan::Rotation rotation;
  std::uint32_t window;  ///< At least 1.
  const float* sinks;    ///< [n_heads]; nullptr: none.
  std::optional<BoundBuffer> shared_key;
  bool has_gates;
};

struct BoundConvolve {
  BoundBuffer in, out;
  plan::Convolution form;
  const float* taps;
  const float* bias;  ///< nullptr: none.
  std::size_t n_taps, state;
};

struct BoundRecur {
  plan::Recurrence rule;
  std::size_t n_heads, key_dim;
  BoundBuffer keys, queries, values, gates, out, steps;
  std::optional<BoundBuffer> weights;
  std::size_t heads_of_group, group_stride;
  bool key_heads_repeat;
  const float* step_bias;
  const float* rates;
  const float* skips;  ///< nullptr: none.
  std::optional<BoundNorm> norm;
  float length_eps;
  std::size_t state;
};

struct BoundNormalize {
  BoundBuffer in, out;
  BoundNorm norm;
  bool adds;
  std::size_t n_groups;
};

struct BoundExperts {
  BoundMatrix matrix;
  const float* scales;  ///< nullptr: all 1.
  const float* biases;  ///< [n, n_rows]; nullptr: all 0.
};

struct BoundRoute {
  BoundInput in;
  BoundMatrix router;
  const float* bias;            ///< nullptr: none.
  const float* selection_bias;  ///< nullptr: none.
  std::optional<BoundMatrix> shared_gate;
  BoundBuffer out;
};

struct BoundExpertsUp {
  BoundBuffer logits;
  const float* selection_bias;
  unsigned act_formats;  ///< Of those that Route prepared, what gate and up read.
  BoundExperts gate, up;
  plan::Epilogue epilogue;
  BoundBuffer out;
};

struct BoundExpertsDown {
  BoundInput in;
  BoundExperts down;
  BoundBuffer out;
};

struct BoundSelectRows {
  std::vector<BoundBuffer> buffers;
};

using BoundStep = std::variant<BoundEmbed, BoundLinear, BoundLinearHeads, BoundAttend, BoundConvolve, BoundRecur,
                               BoundNormalize, BoundRoute, BoundExpertsUp, BoundExpertsDown, BoundSelectRows>;

/// Binds `plan` to its weights and to a workspace that `layout` fits. All are borrowed.
std::vector<BoundStep> bind(const plan::Plan& plan, const pack::Weights& weights, const plan::WorkspaceLayout& layout,
                            std::byte* workspace);

}  // namespace woolly::exec
