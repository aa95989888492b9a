// The online softmax of attention, in base 2, over blocks of 64 scores.
#pragma once

#include "kernels/impl/exp.inl.h"
#include "kernels/attention_kernel.h"

namespace woolly::kernels::WOOLLY_ISA {
namespace {

constexpr float kLog2E = 1.44269504F;

inline float exp2_of_negative(float x) { return simd::first_lane(exp2_of_negative(simd::splat(x))); }

/// The positions of a block that a query sees.
struct Visible {
  std::size_t begin, end;
};

inline float prepare_scores(const AttentionTask& task, Visible visible, float* scores);

/// What is known of a query's scores so far.
struct Softmax {
  float max;
  simd::F32 sum;  ///< Of weights 2^(score - max), in sixteen lanes.

  /// Nothing yet.
  static Softmax none() { return {-__builtin_inff(), simd::splat(0.0F)}; }

  /// Takes a block's largest score into account; returns the factor by which what was before shrinks.
  float rise(float block_max) {
    if (!(block_max > max)) return 1.0F;
    const float shrink = exp2_of_negative(max - block_max);
    max = block_max;
    sum = simd::mul(sum, simd::splat(shrink));
    return shrink;
  }

  /// Turns q·k of a block into weights; returns the factor by which what was before shrinks. `put(i, x)` makes the weights
  /// of 32 positions from i on of their scores less the largest so far, and stores them; they are summed as it leaves x.
  template <typename Put>
  float weigh(const AttentionTask& task, Visible visible, float* scores, Put put) {
    const simd::F32 factor = simd::splat(prepare_scores(task, visible, scores));
    simd::F32 x[kKvBlock / 32][2];
    WOOLLY_UNROLL
    for (std::size_t i = 0; i < kKvBlock / 16; ++i) x[i / 2][i % 2] = simd::mul(simd::load(scores + 16 * i), factor);
    const float shrink = rise(simd::reduce_max(simd::max(simd::max(x[0][0], x[0][1]), simd::max(x[1][0], x[1][1]))));
    WOOLLY_UNROLL
    for (std::size_t i = 0; i < kKvBlock / 32; ++i) {
      for (simd::F32& of_16 : x[i]) of_16 = simd::sub(of_16, simd::splat(max));
      put(32 * i, x[i]);
      sum = simd::add(simd::add(sum, x[i][0]), x[i][1]);
    }
    return shrink;
  }
};

/// Caps q·k, hides what is not visible, and returns the factor that makes scores in base 2 of the 64 numbers.
inline float prepare_scores(const AttentionTask& task, Visible visible, float* scores) {
  float factor = task.scale * kLog2E;
  if (task.soft_cap != 0.0F) {
    for (std::size_t i = 0; i < kKvBlock; i += 16) {
      const simd::F32 scaled = simd::mul(simd::load(scores + i), simd::splat(task.scale));
      simd::store(scores + i, capped(scaled, task.soft_cap));
    }
    factor = kLog2E;
  }
  for (std::size_t i = 0; i < visible.begin; ++i) scores[i] = -__builtin_inff();
  for (std::size_t i = visible.end; i < kKvBlock; ++i) scores[i] = -__builtin_inff();
  return factor;
}

}  // namespace
}  // namespace woolly::kernels::WOOLLY_ISA
