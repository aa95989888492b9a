// Products of attention by VDPBF16PS, for a cache of BF16: queries and weights are rounded to bfloat16, keys and values are
// read from the cache as they lie. A lane holds two dimensions of a key, or two positions of a value, and their sum.
//
// Canonical order: as VDPBF16PS has it, one chain over the dimensions for a score, and one over the positions of a split for
// an output (docs/adr/0001-canonical-sums.md).
#pragma once

#include "kernels/impl/attention_floats.inl.h"
#include "kernels/impl/attention_softmax.inl.h"
#include "simd/bf16_avx512.h"

namespace woolly::kernels::WOOLLY_ISA {
namespace {

/// Products with the keys and values of a cache of BF16; see attention.inl.h for what calls it.
class Bf16Products {
 public:
  explicit Bf16Products(const AttentionTask& task)
      : task_(task),
        scratch_(task),
        n_pairs_(padded_key_dim(task.head_dim) / 2),
        key_dim_((task.head_dim + 31) / 32 * 32),
        padded_(padded_value_dim(task.value_dim)),
        stride_(blocks_at_once(task.n_queries) * kKvBlock) {
    for (std::size_t c = 0; c < task.n_queries; ++c) {
      for_32_lanes(task.queries[c], task.head_dim, [&](std::size_t d, simd::F32(&x)[2]) {
        simd::round_to_bf16(x, queries() + c * key_dim_ + d);
      });
    }
  }

  [[nodiscard]] const AttentionScratch& scratch() const { return scratch_; }

  void begin_split() { clear(scratch_.split_out, task_.n_queries * padded_); }

  void score(const KvSource& keys, std::size_t slot) {
    for_query_tiles(task_.n_queries, [&](auto number, std::size_t c) {
      score_tile<number.value>(keys, c, scratch_.scores + c * stride_ + slot * kKvBlock);
    });
  }

  void finish_scores() {}

  /// Turns a query's scores into weights; see attention.inl.h.
  float weigh(std::size_t c, std::size_t slot, Visible visible, Softmax& state) {
    const std::size_t at = c * stride_ + slot * kKvBlock;
    return state.weigh(task_, visible, scratch_.scores + at, [&](std::size_t i, simd::F32(&x)[2]) {
      for (simd::F32& weight : x) weight = simd::exp2_to_16_bits(weight);
      simd::round_to_bf16(x, weights() + at + i);
    });
  }

  void hide(std::size_t c, std::size_t slot) {
    __builtin_memset(weights() + c * stride_ + slot * kKvBlock, 0, kKvBlock * sizeof(std::uint16_t));
  }

  void add_values(const KvSource& values, std::size_t slot, const float* shrink) {
    constexpr std::size_t kMost = 16 * simd::kKvVectors;
    for (std::size_t first = 0; first < padded_; first += kMost) {
      const std::size_t n_vectors = padded_ - first < kMost ? (padded_ - first) / 16 : simd::kKvVectors;
      with_number<simd::kKvVectors>(n_vectors, [&](auto vectors) {
        for_query_tiles(task_.n_queries, [&](auto number, std::size_t c) {
          value_tile<number.value, vectors.value>(values, first, c, slot, shrink + c);
        });
      });
    }
  }

  void finish_values() {}

  /// Dimensions [d, d + 16) of a query's output over the split.
  [[nodiscard]] simd::F32 split_output(std::size_t c, std::size_t d) const {
    return simd::load(scratch_.split_out + c * padded_ + d);
  }

 private:
  [[nodiscard]] std::uint16_t* queries() const { return reinterpret_cast<std::uint16_t*>(scratch_.queries); }
  [[nodiscard]] std::uint16_t* weights() const { return reinterpret_cast<std::uint16_t*>(scratch_.weights); }
  static simd::I32 splat_pair(const std::uint16_t* p) { return simd::splat_pair(reinterpret_cast<const std::int16_t*>(p)); }

  /// q·k of kQueries queries from c on and all positions of a block, whether they are there or not.
  template <std::size_t kQueries>
  void score_tile(const KvSource& keys, std::size_t c, float* scores) const {
    constexpr std::size_t kVectors = kKvBlock / 16;
    const bool is_first = c == 0;
    const std::uint16_t* q = queries() + c * key_dim_;
    simd::F32 sums[kQueries][kVectors];
    WOOLLY_UNROLL
    for (std::size_t i = 0; i < kQueries; ++i) {
      WOOLLY_UNROLL
      for (std::size_t v = 0; v < kVectors; ++v) sums[i][v] = simd::splat(0.0F);
    }
    for (std::size_t pair = 0; pair < n_pairs_; ++pair) {
      simd::Bytes key[kVectors];
      WOOLLY_UNROLL
      for (std::size_t v = 0; v < kVectors; ++v) {
        const std::uint8_t* at = keys.data + 64 * (pair * kVectors + v);
        if (is_first) prefetch_next(keys, at);
        key[v] = simd::load_bytes(at);
      }
      WOOLLY_UNROLL
      for (std::size_t i = 0; i < kQueries; ++i) {
        const simd::I32 query = splat_pair(q + i * key_dim_ + 2 * pair);
        WOOLLY_UNROLL
        for (std::size_t v = 0; v < kVectors; ++v) sums[i][v] = simd::dot_bf16(sums[i][v], key[v], query);
      }
    }
    WOOLLY_UNROLL
    for (std::size_t i = 0; i < kQueries; ++i) {
      WOOLLY_UNROLL
      for (std::size_t v = 0; v < kVectors; ++v) simd::store(scores + i * stride_ + 16 * v, sums[i][v]);
    }
  }

  /// Adds the values of a block, by their weights, to dimensions [first, first + 16 * kVectors) of the outputs of kQueries
  /// queries from c on, which shrink before.
  template <std::size_t kQueries, std::size_t kVectors>
  void value_tile(const KvSource& values, std::size_t first, std::size_t c, std::size_t slot, const float* shrink) const {
    const bool is_first = c == 0;
    const std::uint16_t* w = weights() + c * stride_ + slot * kKvBlock;
    float* out = scratch_.split_out + c * padded_ + first;
    simd::F32 sums[kQueries][kVectors];
    WOOLLY_UNROLL
    for (std::size_t i = 0; i < kQueries; ++i) {
      const simd::F32 factor = simd::splat(shrink[i]);
      WOOLLY_UNROLL
      for (std::size_t v = 0; v < kVectors; ++v) sums[i][v] = simd::mul(simd::load(out + i * padded_ + 16 * v), factor);
    }
    const auto add = [&](std::size_t pair, auto keep) {
      simd::Bytes value[kVectors];
      WOOLLY_UNROLL
      for (std::size_t v = 0; v < kVectors; ++v) {
        const std::uint8_t* at = values.data + 4 * (pair * padded_ + first) + 64 * v;
        if (is_first) prefetch_next(values, at);
        value[v] = keep(simd::load_bytes(at));
      }
      WOOLLY_UNROLL
      for (std::size_t i = 0; i < kQueries; ++i) {
        const simd::I32 weight = splat_pair(w + i * stride_ + 2 * pair);
        WOOLLY_UNROLL
        for (std::size_t v = 0; v < kVectors; ++v) sums[i][v] = simd::dot_bf16(sums[i][v], value[v], weight);
      }
    };
    const std::size_t n_pairs = values.n_positions / 2;
    for (std::size_t pair = 0; pair < n_pairs; ++pair) add(pair, [](simd::Bytes value) { return value; });
    if (values.n_positions % 2 != 0) {  // what lies behind the last was never written
      add(n_pairs, [](simd::Bytes value) { return simd::as_bytes(simd::bit_and(simd::as_i32(value), simd::splat_i32(0xFFFF))); });
    }
    WOOLLY_UNROLL
    for (std::size_t i = 0; i < kQueries; ++i) {
      WOOLLY_UNROLL
      for (std::size_t v = 0; v < kVectors; ++v) simd::store(out + i * padded_ + 16 * v, sums[i][v]);
    }
  }

  const AttentionTask& task_;
  AttentionScratch scratch_;
  std::size_t n_pairs_, key_dim_, padded_;
  std::size_t stride_;  ///< From the scores of a query to those of the next.
};

}  // namespace
}  // namespace woolly::kernels::WOOLLY_ISA
