// Recurrences over positions whose state is a matrix, and short convolutions: what the kernels take and give. See
// kernel_table.h.
#pragma once

#include <cstddef>

namespace woolly::kernels {

/// Columns of a state that a kernel works on at once.
inline constexpr std::size_t kStateColumns = 32;

/// The state S [key_dim, kStateColumns] of some columns of a head, from position to position:
///
///   d = weight * (v - decay * Sᵀk)  with the delta rule, else  d = weight * v
///   S = decay * S + k dᵀ
///   out = Sᵀq + skip * v
///
/// Products with k and q are `even + odd`, one chain of fused multiply-adds each over the even and the odd elements.
struct RecurrenceTask {
  std::size_t n_positions;   ///< At least 1.
  std::size_t key_dim;
  std::size_t n_columns;     ///< Of v and out: 1 to kStateColumns; the state's others are written too.
  bool has_delta_rule;
  const float* keys;         ///< [n_positions, key_dim], rows `key_stride` apart.
  const float* queries;      ///< The same.
  std::size_t key_stride;
  const float* values;       ///< [n_positions, n_columns], rows `value_stride` apart.
  std::size_t value_stride;
  const float* decays;       ///< [n_positions].
  const float* weights;      ///< [n_positions].
  float skip;
  const float* before;       ///< The state before the first position ...
  float* after;              ///< ... and after the last; may be the same.
  float* out;                ///< [n_positions, n_columns], rows `out_stride` apart; not values.
  std::size_t out_stride;
};

/// Convolution of some columns over positions, each by itself: Σ_t taps[t] * inputs[position + t] + bias, in order of t by
/// fused multiply-adds from zero.
struct ConvolutionTask {
  std::size_t n_positions;
  std::size_t n_columns;
  const float* taps;            ///< [n_columns, n_taps].
  std::size_t n_taps;
  const float* bias;            ///< [n_columns]; nullptr: none.
  bool has_silu;                ///< Of what comes out.
  const float* const* inputs;   ///< [n_taps - 1 + n_positions] pointers to [n_columns].
  float* const* outputs;        ///< [n_positions] pointers to [n_columns]; no inputs.
};

}  // namespace woolly::kernels
