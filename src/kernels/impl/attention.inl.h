// Attention of up to four query vectors over one key-value head's cached keys and values.
//
// Keys lie dimension by dimension, so that sixteen keys are the lanes of q·k and no sum crosses lanes; values lie key by
// key, so that sixteen dimensions are the lanes of Σ p v. The softmax is online over blocks of 64 keys, in base 2.
//
// Canonical order (docs/adr/0001-canonical-sums.md): a score is one chain over dimensions; within a split of 512
// positions blocks go in order, each adding its keys in order to one chain per dimension, and the row sum in sixteen
// lanes; splits are reduced on their own and merged in order. The number of queries at once changes nothing.
#pragma once

#include "kernels/impl/elementwise.inl.h"

namespace woolly::kernels::WOOLLY_ISA {
namespace {

constexpr float kLog2E = 1.44269504F;

struct KvF32 {
  using Element = float;
  static simd::F32 load(const float* p) { return simd::load(p); }
  static void store(float* p, simd::F32 a) { simd::store(p, a); }
};

struct KvF16 {
  using Element = std::uint16_t;
  static simd::F32 load(const std::uint16_t* p) { return simd::load_f16(p); }
  static void store(std::uint16_t* p, simd::F32 a) { simd::store_f16(p, a); }
};

template <typename Kv>
void store_key(const float* key, std::size_t head_dim, std::size_t slot, std::uint8_t* keys) noexcept {
  auto* column = reinterpret_cast<typename Kv::Element*>(keys) + slot;
  for_lanes(head_dim, [&](std::size_t i, std::size_t count) {
    typename Kv::Element lanes[16];
    Kv::store(lanes, load_some(key + i, count));
    for (std::size_t j = 0; j < count; ++j) column[(i + j) * kKvBlock] = lanes[j];
  });
}

template <typename Kv>
void store_value(const float* value, std::size_t value_dim, std::size_t slot, std::uint8_t* values) noexcept {
  auto* row = reinterpret_cast<typename Kv::Element*>(values) + slot * padded_head_dim(value_dim);
  for_lanes(value_dim, [&](std::size_t i, std::size_t count) { Kv::store(row + i, load_some(value + i, count)); });
}

inline float exp2_of(float x) {
  float lanes[16];
  simd::store(lanes, exp2(simd::splat(x)));
  return lanes[0];
}

/// What the online softmax of one query knows of a run of keys.
struct Softmax {
  float max = -__builtin_inff();
  simd::F32 sum = simd::splat(0.0F);  // in sixteen lanes
};

/// Scores of one block, in base 2: scores[c][64] = scale * log2(e) * q·k; -inf beyond a query's keys.
template <typename Kv, std::size_t kQueries>
inline void score_block(const AttentionTask& task, const typename Kv::Element* keys,
                        const std::size_t (&n_valid)[kQueries], float* const (&scores)[kQueries]) {
  const simd::F32 scale = simd::splat(task.scale * kLog2E);
  for (std::size_t j = 0; j < kKvBlock; j += 16 * simd::kKeyVectors) {
    simd::F32 sums[kQueries][simd::kKeyVectors];
    WOOLLY_UNROLL
    for (std::size_t c = 0; c < kQueries; ++c) {
      WOOLLY_UNROLL
      for (std::size_t v = 0; v < simd::kKeyVectors; ++v) sums[c][v] = simd::splat(0.0F);
    }
    for (std::size_t d = 0; d < task.head_dim; ++d) {
      WOOLLY_UNROLL
      for (std::size_t v = 0; v < simd::kKeyVectors; ++v) {
        const simd::F32 k = Kv::load(keys + d * kKvBlock + j + 16 * v);
        WOOLLY_UNROLL
        for (std::size_t c = 0; c < kQueries; ++c) sums[c][v] = simd::fma(k, simd::splat(task.queries[c][d]), sums[c][v]);
      }
    }
    WOOLLY_UNROLL
    for (std::size_t c = 0; c < kQueries; ++c) {
      WOOLLY_UNROLL
      for (std::size_t v = 0; v < simd::kKeyVectors; ++v) {
        simd::store(scores[c] + j + 16 * v, simd::mul(sums[c][v], scale));
      }
    }
  }
  for (std::size_t c = 0; c < kQueries; ++c) {
    for (std::size_t i = n_valid[c]; i < kKvBlock; ++i) scores[c][i] = -__builtin_inff();
  }
}

/// Turns the scores of a block into weights and returns the factor by which what came before shrinks.
inline float weigh_block(float* scores, Softmax& state) {
  simd::F32 most = simd::load(scores);
  for (std::size_t i = 16; i < kKvBlock; i += 16) most = simd::max(most, simd::load(scores + i));
  const float block_max = simd::reduce_max(most);
  const float max = block_max > state.max ? block_max : state.max;
  const float shrink = exp2_of(state.max - max);
  state.max = max;
  state.sum = simd::mul(state.sum, simd::splat(shrink));
  for (std::size_t i = 0; i < kKvBlock; i += 16) {
    const simd::F32 p = exp2(simd::sub(simd::load(scores + i), simd::splat(max)));
    simd::store(scores + i, p);
    state.sum = simd::add(state.sum, p);
  }
  return shrink;
}

/// outputs[c] = outputs[c] * shrink[c] + Σ_key weights[c][key] * value[key], for kVectors vectors of dimensions.
template <typename Kv, std::size_t kQueries, std::size_t kVectors>
inline void add_values(const typename Kv::Element* values, std::size_t stride, const std::size_t (&n_valid)[kQueries],
                       float* const (&weights)[kQueries], const float (&shrink)[kQueries],
                       float* const (&outputs)[kQueries], std::size_t d) {
  simd::F32 sums[kQueries][kVectors];
  std::size_t n_all = kKvBlock, n_any = 0;
  WOOLLY_UNROLL
  for (std::size_t c = 0; c < kQueries; ++c) {
    n_all = n_valid[c] < n_all ? n_valid[c] : n_all;
    n_any = n_valid[c] > n_any ? n_valid[c] : n_any;
    WOOLLY_UNROLL
    for (std::size_t v = 0; v < kVectors; ++v) {
      sums[c][v] = simd::mul(simd::load(outputs[c] + d + 16 * v), simd::splat(shrink[c]));
    }
  }
  for (std::size_t key = 0; key < n_all; ++key) {
    WOOLLY_UNROLL
    for (std::size_t v = 0; v < kVectors; ++v) {
      const simd::F32 value = Kv::load(values + key * stride + d + 16 * v);
      WOOLLY_UNROLL
      for (std::size_t c = 0; c < kQueries; ++c) sums[c][v] = simd::fma(value, simd::splat(weights[c][key]), sums[c][v]);
    }
  }
  for (std::size_t key = n_all; key < n_any; ++key) {  // the diagonal: not every query sees these keys
    WOOLLY_UNROLL
    for (std::size_t v = 0; v < kVectors; ++v) {
      const simd::F32 value = Kv::load(values + key * stride + d + 16 * v);
      WOOLLY_UNROLL
      for (std::size_t c = 0; c < kQueries; ++c) {
        if (key < n_valid[c]) sums[c][v] = simd::fma(value, simd::splat(weights[c][key]), sums[c][v]);
      }
    }
  }
  WOOLLY_UNROLL
  for (std::size_t c = 0; c < kQueries; ++c) {
    WOOLLY_UNROLL
    for (std::size_t v = 0; v < kVectors; ++v) {
      simd::store(outputs[c] + d + 16 * v, sums[c][v]);
    }
  }
}

inline void clear(float* p, std::size_t n) { __builtin_memset(p, 0, n * sizeof(float)); }

/// One split: softmax state and outputs (not yet divided by the sum) over positions [begin, end).
template <typename Kv, std::size_t kQueries>
inline void attend_split(const AttentionTask& task, std::size_t begin, std::size_t end,
                         float* const (&scores)[kQueries], Softmax (&state)[kQueries],
                         float* const (&outputs)[kQueries]) {
  const std::size_t stride = padded_head_dim(task.value_dim);
  for (std::size_t c = 0; c < kQueries; ++c) clear(outputs[c], stride);
  for (std::size_t at = begin; at < end; at += kKvBlock) {
    const std::uint8_t* block = task.blocks[at / kKvBlock];
    std::size_t n_valid[kQueries];
    float shrink[kQueries];
    for (std::size_t c = 0; c < kQueries; ++c) {
      const std::size_t n = task.n_keys[c] > at ? task.n_keys[c] - at : 0;
      n_valid[c] = n < kKvBlock ? n : kKvBlock;
    }
    score_block<Kv, kQueries>(task, reinterpret_cast<const typename Kv::Element*>(block + task.key_offset), n_valid,
                              scores);
    for (std::size_t c = 0; c < kQueries; ++c) shrink[c] = n_valid[c] == 0 ? 1.0F : weigh_block(scores[c], state[c]);
    const auto* values = reinterpret_cast<const typename Kv::Element*>(block + task.value_offset);
    std::size_t d = 0;
    for (; d + 16 * simd::kValueVectors <= stride; d += 16 * simd::kValueVectors) {
      add_values<Kv, kQueries, simd::kValueVectors>(values, stride, n_valid, scores, shrink, outputs, d);
    }
    for (; d < stride; d += 16) add_values<Kv, kQueries, 1>(values, stride, n_valid, scores, shrink, outputs, d);
  }
}

template <typename Kv, std::size_t kQueries>
inline void attend_queries(const AttentionTask& task) {
  const std::size_t stride = padded_head_dim(task.value_dim);
  float* scores[kQueries];
  float* split_out[kQueries];
  float* out[kQueries];
  float max[kQueries], sum[kQueries];
  std::size_t n_keys = 0;
  for (std::size_t c = 0; c < kQueries; ++c) {
    scores[c] = task.scratch + c * (kKvBlock + 2 * stride);
    split_out[c] = scores[c] + kKvBlock;
    out[c] = split_out[c] + stride;
    clear(out[c], stride);
    max[c] = -__builtin_inff();
    sum[c] = 0.0F;
    n_keys = task.n_keys[c] > n_keys ? task.n_keys[c] : n_keys;
  }
  for (std::size_t begin = 0; begin < n_keys; begin += kKvSplit) {
    const std::size_t end = begin + kKvSplit < n_keys ? begin + kKvSplit : n_keys;
    Softmax state[kQueries];
    attend_split<Kv, kQueries>(task, begin, end, scores, state, split_out);
    for (std::size_t c = 0; c < kQueries; ++c) {
      if (task.n_keys[c] <= begin) continue;
      const float merged = state[c].max > max[c] ? state[c].max : max[c];
      const float keep = exp2_of(max[c] - merged), take = exp2_of(state[c].max - merged);
      max[c] = merged;
      sum[c] = sum[c] * keep + simd::reduce_add(state[c].sum) * take;
      for (std::size_t d = 0; d < stride; d += 16) {
        const simd::F32 kept = simd::mul(simd::load(out[c] + d), simd::splat(keep));
        simd::store(out[c] + d, simd::fma(simd::load(split_out[c] + d), simd::splat(take), kept));
      }
    }
  }
  for (std::size_t c = 0; c < kQueries; ++c) {
    for_lanes(task.value_dim, [&](std::size_t i, std::size_t count) {
      store_some(task.outputs[c] + i, simd::div(simd::load(out[c] + i), simd::splat(sum[c])), count);
    });
  }
}

template <typename Kv>
void attend(const AttentionTask& task) noexcept {
  switch (task.n_queries) {
    case 1: return attend_queries<Kv, 1>(task);
    case 2: return attend_queries<Kv, 2>(task);
    case 3: return attend_queries<Kv, 3>(task);
    default: return attend_queries<Kv, 4>(task);
  }
}

template <typename Kv>
constexpr KvKernels kv_kernels() {
  return {sizeof(typename Kv::Element), store_key<Kv>, store_value<Kv>, attend<Kv>};
}

}  // namespace
}  // namespace woolly::kernels::WOOLLY_ISA
