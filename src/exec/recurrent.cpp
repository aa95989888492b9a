#include "exec/recurrent.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

namespace woolly::exec {
namespace {

/// Rows that are prepared at once.
constexpr std::size_t kRows = 64;

}  // namespace

void convolve(const BoundConvolve& op, const Slice& slice, std::size_t first, std::size_t n, const kernels::KernelTable& table) {
  const std::size_t width = op.out.width, n_before = op.n_taps - 1;
  const bool is_gated = op.form == plan::Convolution::kGated;
  const std::size_t column = first + (is_gated ? 2 * width : 0);  // of what is convolved
  const float* before = slice.sequence->state() + op.state + first;
  float* after = slice.sequence->next_state() + op.state + first;
  // The last inputs before the slice, which are state, and then its own.
  const auto input = [&](std::size_t i) -> const float* {
    return i < n_before ? before + i * width : op.in.row(slice.first_row + i - n_before) + column;
  };
  for (std::size_t row = 0; is_gated && row < slice.n_rows; ++row) {
    float* in = op.in.row(slice.first_row + row);
    table.multiply(in + first, in + column, n, in + column);
  }
  for (std::size_t row = 0; row < slice.n_rows; row += kRows) {
    const std::size_t n_rows = std::min(kRows, slice.n_rows - row);
    const float* inputs[plan::kMaxConvolutionTaps - 1 + kRows];
    float* outputs[kRows];
    for (std::size_t i = 0; i < n_before + n_rows; ++i) inputs[i] = input(row + i);
    for (std::size_t i = 0; i < n_rows; ++i) outputs[i] = op.out.row(slice.first_row + row + i) + first;
    table.convolve({.n_positions = n_rows,
                    .n_columns = n,
                    .taps = op.taps + first * op.n_taps,
                    .n_taps = op.n_taps,
                    .bias = op.bias == nullptr ? nullptr : op.bias + first,
                    .has_silu = op.form == plan::Convolution::kSilu,
                    .inputs = inputs,
                    .outputs = outputs});
  }
  for (std::size_t row = 0; is_gated && row < slice.n_rows; ++row) {
    float* out = op.out.row(slice.first_row + row) + first;
    table.multiply(op.in.row(slice.first_row + row) + width + first, out, n, out);
  }
  // Where state is written in place, what is read lies behind what is written.
  for (std::size_t i = 0; i < n_before; ++i) std::memmove(after + i * width, input(slice.n_rows + i), n * sizeof(float));
}

std::size_t recurrence_scratch_floats(std::size_t key_dim) noexcept { return kRows * (2 * key_dim + 2); }

void recur(const BoundRecur& op, const Slice& slice, std::size_t head, float* scratch, const kernels::KernelTable& table) {
  const bool has_delta_rule = op.rule == plan::Recurrence::kDeltaRule;
  const std::size_t key_dim = op.key_dim, n_key_heads = op.keys.width / key_dim, value_dim = op.out.width / op.n_heads;
  const std::size_t key_head = op.key_heads_repeat ? head % n_key_heads : head / (op.n_heads / n_key_heads);
  const std::size_t of_head = head / op.heads_of_group * op.group_stride + head % op.heads_of_group;
  const std::size_t n_tiles = (value_dim + kernels::kStateColumns - 1) / kernels::kStateColumns;
  const std::size_t tile_floats = key_dim * kernels::kStateColumns;
  float* keys = std::exchange(scratch, scratch + kRows * key_dim);
  float* queries = std::exchange(scratch, scratch + kRows * key_dim);
  float* decays = std::exchange(scratch, scratch + kRows);
  float* weights = scratch;
  const float* state = slice.sequence->state() + op.state + head * n_tiles * tile_floats;
  float* next_state = slice.sequence->next_state() + op.state + head * n_tiles * tile_floats;

  // Keys and queries of length one, queries then divided by the root of their dimension.
  const auto normalize = [&](const float* x, float length, float* out) {
    table.rms_norm(x, nullptr, op.length_eps / static_cast<float>(key_dim), key_dim, out);
    table.affine(out, length / std::sqrt(static_cast<float>(key_dim)), nullptr, key_dim, out);
  };
  for (std::size_t row = 0; row < slice.n_rows; row += kRows) {
    const std::size_t first = slice.first_row + row, n = std::min(kRows, slice.n_rows - row);
    for (std::size_t i = 0; i < n; ++i) {
      decays[i] = op.steps.row(first + i)[of_head] + op.step_bias[head];
      if (!has_delta_rule) continue;
      weights[i] = op.weights->row(first + i)[of_head];
      normalize(op.keys.row(first + i) + key_head * key_dim, 1.0F, keys + i * key_dim);
      normalize(op.queries.row(first + i) + key_head * key_dim, 1.0F / std::sqrt(static_cast<float>(key_dim)), queries + i * key_dim);
    }
    table.softplus(decays, n, decays);
    if (has_delta_rule) {
      table.sigmoid(weights, n, weights);
    } else {
      std::memcpy(weights, decays, n * sizeof(float));
    }
    table.affine(decays, op.rates[head], nullptr, n, decays);
    table.exp(decays, n, decays);
    for (std::size_t tile = 0; tile < n_tiles; ++tile) {
      const std::size_t column = tile * kernels::kStateColumns, value = head * value_dim + column;
      table.recur({.n_positions = n,
                   .key_dim = key_dim,
                   .n_columns = std::min(kernels::kStateColumns, value_dim - column),
                   .has_delta_rule = has_delta_rule,
                   .keys = has_delta_rule ? keys : op.keys.row(first) + key_head * key_dim,
                   .queries = has_delta_rule ? queries : op.queries.row(first) + key_head * key_dim,
                   .key_stride = has_delta_rule ? key_dim : op.keys.stride,
                   .values = op.values.row(first) + value,
                   .value_stride = op.values.stride,
                   .decays = decays,
                   .weights = weights,
                   .skip = op.skips == nullptr ? 0.0F : op.skips[head],
                   .before = state + tile * tile_floats,
                   .after = next_state + tile * tile_floats,
                   .out = op.out.row(first) + value,
                   .out_stride = op.out.stride});
    }
    for (std::size_t i = 0; i < n; ++i) {
      float* out = op.out.row(first + i) + head * value_dim;
      if (op.norm) table.rms_norm(out, op.norm->weight, op.norm->eps, value_dim, out);
      table.swiglu(op.gates.row(first + i) + head * value_dim, out, value_dim, out);
    }
    state = next_state;
  }
}

}  // namespace woolly::exec
