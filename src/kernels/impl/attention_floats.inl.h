// Products of attention in float32, for every type of the cache: elements become floats exactly, two dimensions of a key
// or two positions of a value are neighbours in a vector, and the sums over even and over odd ones are added at the end.
//
// A strip of a block becomes floats in the first-level cache, once for all queries. Reading the cache as it lies where there
// are few would be as fast (memory is the bound there) for five times the code.
#pragma once

#include "kernels/impl/attention_softmax.inl.h"
#include "kernels/impl/attention_types.inl.h"

namespace woolly::kernels::WOOLLY_ISA {
namespace {

/// Parts of AttentionTask::scratch; n is kMaxQueries, widths are rounded up to 32.
struct AttentionScratch {
  float* queries;    ///< [n, key_dim].
  float* blocks[2];  ///< [kKvBlock, wider of key_dim and value_dim]: keys or values of a block in another type.
  float* scores;     ///< [n_queries, blocks at once, kKvBlock].
  float* weights;    ///< The same: scores as what values are multiplied by, where that is another type.
  float* split_out;  ///< [n, 2 * value_dim]: of the split at hand.
  float* out;        ///< [n, value_dim].
  float* scales;     ///< [wider / 32, 2 * kKvBlock].
  float* panels;     ///< [3, 2, 16, kKvBlock].

  explicit AttentionScratch(const AttentionTask& task) {
    const std::size_t key_dim = (task.head_dim + 31) / 32 * 32, value_dim = (task.value_dim + 31) / 32 * 32;
    const std::size_t wider = key_dim > value_dim ? key_dim : value_dim;
    queries = task.scratch;
    blocks[0] = queries + kMaxQueries * key_dim;
    blocks[1] = blocks[0] + kKvBlock * wider;
    scores = blocks[1] + kKvBlock * wider;
    weights = scores + kMaxQueries * kKvBlock;
    split_out = weights + kMaxQueries * kKvBlock;
    out = split_out + kMaxQueries * 2 * value_dim;
    scales = out + kMaxQueries * value_dim;
    panels = scales + wider / 32 * 2 * kKvBlock;
  }
};

/// Blocks of which one thing is done after the other (all scores, all weights, all values): fewer queries than kMaxQueries
/// leave room for several, so that the steps of one block need not wait for each other.
inline std::size_t blocks_at_once(std::size_t n_queries) {
  constexpr std::size_t kMost = kKvSplit / kKvBlock;
  return n_queries * kMost <= kMaxQueries ? kMost : kMaxQueries / n_queries;
}

/// One head's keys or values of one block.
struct KvSource {
  const std::uint8_t* data;
  std::size_t n_positions;   ///< That are there; 1 to kKvBlock.
  const std::uint8_t* next;  ///< What is read next; may be any address.
};

/// Asks for the line of `next` that is as far from its begin as p from that of `data`.
inline void prefetch_next(const KvSource& source, const void* p) {
  __builtin_prefetch(source.next + (static_cast<const std::uint8_t*>(p) - source.data), 0, 2);
}

inline void clear(float* p, std::size_t n) { __builtin_memset(p, 0, n * sizeof(float)); }

/// Calls body(d, x) for every 32 of n floats, behind the last of which are zeros.
template <typename Body>
inline void for_32_lanes(const float* p, std::size_t n, Body body) {
  for (std::size_t d = 0; d < n; d += 32) {
    simd::F32 x[2];
    for (std::size_t i = 0; i < 2; ++i) {
      const std::size_t at = d + 16 * i, rest = at < n ? n - at : 0;
      x[i] = load_some(p + at, rest < 16 ? rest : 16);
    }
    body(d, x);
  }
}

template <std::size_t kN>
struct Number {
  static constexpr std::size_t value = kN;
};

/// Calls body(Number<n>) for n in 1 .. kMost.
template <std::size_t kMost, typename Body>
inline void with_number(std::size_t n, Body body) {
  if constexpr (kMost == 1) {
    body(Number<1>());
  } else {
    if (n == kMost) return body(Number<kMost>());
    with_number<kMost - 1>(n, body);
  }
}

/// Calls body(Number<n>, first) for tiles of up to kQueryTile queries, as even as they come.
template <typename Body>
inline void for_query_tiles(std::size_t n_queries, Body body) {
  constexpr std::size_t kMost = simd::kQueryTile;
  for (std::size_t c = 0; c < n_queries;) {
    const std::size_t rest = n_queries - c, n_tiles = (rest + kMost - 1) / kMost, n = (rest + n_tiles - 1) / n_tiles;
    with_number<kMost>(n, [&](auto number) { body(number, c); });
    c += n;
  }
}

/// scores[c][key] = q·k for kQueries queries, [n_pairs][2] each, and the keys of kKvVectors vectors, eight in each;
/// `stride` floats from the scores of a query to those of the next.
/// `keys` is [n_pairs][kKvVectors] vectors.
template <std::size_t kQueries>
inline void score_tile(const float* queries, std::size_t n_pairs, const float* keys, float* scores, std::size_t stride) {
  constexpr std::size_t kVectors = simd::kKvVectors;
  simd::F32 sums[kQueries][kVectors];
  WOOLLY_UNROLL
  for (std::size_t c = 0; c < kQueries; ++c) {
    WOOLLY_UNROLL
    for (std::size_t v = 0; v < kVectors; ++v) sums[c][v] = simd::splat(0.0F);
  }
  for (std::size_t pair = 0; pair < n_pairs; ++pair) {
    simd::F32 key[kVectors];
    WOOLLY_UNROLL
    for (std::size_t v = 0; v < kVectors; ++v) key[v] = simd::load(keys + 16 * (pair * kVectors + v));
    WOOLLY_UNROLL
    for (std::size_t c = 0; c < kQueries; ++c) {
      const simd::F32 query = simd::splat_pair(queries + 2 * (c * n_pairs + pair));
      WOOLLY_UNROLL
      for (std::size_t v = 0; v < kVectors; ++v) sums[c][v] = simd::fma(key[v], query, sums[c][v]);
    }
  }
  WOOLLY_UNROLL
  for (std::size_t c = 0; c < kQueries; ++c) {
    WOOLLY_UNROLL
    for (std::size_t v = 0; v < kVectors; v += 2) {
      simd::store(scores + c * stride + 8 * v, simd::add_pairs(sums[c][v], sums[c][v + 1]));
    }
  }
}

/// out[c] = out[c] * shrink[c] + Σ_position weights[c][position] * value[position], for the dimensions of kVectors vectors,
/// eight in each; sums over even and odd positions are neighbours in out[c], `stride` floats from that of c + 1; weights are
/// `weight_stride` floats apart.
/// `values` is [n_pairs][kVectors] vectors.
template <std::size_t kQueries, std::size_t kVectors>
inline void value_tile(const float* weights, std::size_t weight_stride, std::size_t n_pairs, const float* values,
                       const float* shrink, float* out, std::size_t stride) {
  simd::F32 sums[kQueries][kVectors];
  WOOLLY_UNROLL
  for (std::size_t c = 0; c < kQueries; ++c) {
    WOOLLY_UNROLL
    for (std::size_t v = 0; v < kVectors; ++v) {
      sums[c][v] = simd::mul(simd::load(out + c * stride + 16 * v), simd::splat(shrink[c]));
    }
  }
  for (std::size_t pair = 0; pair < n_pairs; ++pair) {
    simd::F32 value[kVectors];
    WOOLLY_UNROLL
    for (std::size_t v = 0; v < kVectors; ++v) value[v] = simd::load(values + 16 * (pair * kVectors + v));
    WOOLLY_UNROLL
    for (std::size_t c = 0; c < kQueries; ++c) {
      const simd::F32 weight = simd::splat_pair(weights + c * weight_stride + 2 * pair);
      WOOLLY_UNROLL
      for (std::size_t v = 0; v < kVectors; ++v) sums[c][v] = simd::fma(value[v], weight, sums[c][v]);
    }
  }
  WOOLLY_UNROLL
  for (std::size_t c = 0; c < kQueries; ++c) {
    WOOLLY_UNROLL
    for (std::size_t v = 0; v < kVectors; ++v) simd::store(out + c * stride + 16 * v, sums[c][v]);
  }
}

/// Products with the keys and values of a cache of type Kv; see attention.inl.h for what it calls.
template <typename Kv>
class FloatProducts {
 public:
  explicit FloatProducts(const AttentionTask& task)
      : task_(task),
        scratch_(task),
        n_pairs_(padded_key_dim(task.head_dim) / 2),
        padded_(padded_value_dim(task.value_dim)),
        stride_(blocks_at_once(task.n_queries) * kKvBlock) {
    for (std::size_t c = 0; c < task.n_queries; ++c) {
      float* query = scratch_.queries + c * 2 * n_pairs_;
      __builtin_memcpy(query, task.queries[c], task.head_dim * sizeof(float));
      if (task.head_dim % 2 != 0) query[task.head_dim] = 0.0F;
    }
  }

  [[nodiscard]] const AttentionScratch& scratch() const { return scratch_; }

  void begin_split() { clear(scratch_.split_out, task_.n_queries * 2 * padded_); }

  /// q·k of the keys of a block, the `slot`-th of those at once.
  void score(const KvSource& keys, std::size_t slot) {
    constexpr std::size_t kStrip = 8 * simd::kKvVectors;
    const auto* elements = reinterpret_cast<const Element*>(keys.data);
    if constexpr (kHasScales<Kv>) spread_key_scales(keys.data);
    for (std::size_t first = 0; first < keys.n_positions; first += kStrip) {
      const auto load = [&](std::size_t pair, std::size_t v) {
        const Element* at = elements + 2 * (pair * kKvBlock + first) + 16 * v;
        if (begins_line(v)) prefetch_next(keys, at);
        const simd::F32 key = Kv::load(at);
        if constexpr (!kHasScales<Kv>) return key;
        else return simd::mul(key, simd::load(scratch_.scales + 2 * (pair / (kKvScaleBlock / 2) * kKvBlock + first) + 16 * v));
      };
      const float* strip = convert<simd::kKvVectors>(n_pairs_, load);
      for_query_tiles(task_.n_queries, [&](auto number, std::size_t c) {
        score_tile<number.value>(scratch_.queries + c * 2 * n_pairs_, n_pairs_, strip,
                                 scratch_.scores + c * stride_ + slot * kKvBlock + first, stride_);
      });
    }
  }

  void finish_scores() {}

  /// Turns a query's scores into weights, in place; returns the factor by which its output shrinks.
  float weigh(std::size_t c, std::size_t slot, Visible visible, Softmax& state) {
    float* scores = scratch_.scores + c * stride_ + slot * kKvBlock;
    return state.weigh(task_, visible, scores, [&](std::size_t i, simd::F32(&x)[2]) {
      for (simd::F32& weight : x) {
        weight = exp2_of_negative(weight);
        simd::store(scores + i, weight);
        i += 16;
      }
    });
  }

  /// Weights of a query that sees nothing of the block.
  void hide(std::size_t c, std::size_t slot) { clear(scratch_.scores + c * stride_ + slot * kKvBlock, kKvBlock); }

  /// Adds the values of a block, by their weights, to the outputs, which shrink before.
  void add_values(const KvSource& values, std::size_t slot, const float* shrink) {
    constexpr std::size_t kStrip = 8 * simd::kKvVectors;
    if constexpr (kHasScales<Kv>) {
      const std::uint16_t* scales = value_scales<Kv>(values.data, task_.value_dim);
      for (std::size_t i = 0; i < kv_scale_bytes(Kv::kType, task_.value_dim) / 2; i += 16) {
        simd::store(scratch_.scales + i, simd::load_f16(scales + i));
      }
    }
    std::size_t first = 0;
    for (; first + kStrip <= padded_; first += kStrip) add_strip<simd::kKvVectors>(values, slot, first, shrink);
    for (; first < padded_; first += 16) add_strip<2>(values, slot, first, shrink);
  }

  void finish_values() {}

  /// Dimensions [d, d + 16) of a query's output over the split.
  [[nodiscard]] simd::F32 split_output(std::size_t c, std::size_t d) const {
    const float* out = scratch_.split_out + 2 * (c * padded_ + d);
    return simd::add_pairs(simd::load(out), simd::load(out + 16));
  }

 private:
  using Element = typename Kv::Element;

  static constexpr bool begins_line(std::size_t vector) { return vector * 16 * sizeof(Element) % 64 == 0; }

  /// A strip of the block as floats, in the first-level cache: [n_rows][kVectors] vectors.
  template <std::size_t kVectors, typename Load>
  const float* convert(std::size_t n_rows, Load load) const {
    float* strip = scratch_.blocks[0];
    for (std::size_t row = 0; row < n_rows; ++row) {
      WOOLLY_UNROLL
      for (std::size_t v = 0; v < kVectors; ++v) simd::store(strip + 16 * (row * kVectors + v), load(row, v));
    }
    return strip;
  }

  template <std::size_t kVectors>
  void add_strip(const KvSource& values, std::size_t slot, std::size_t first, const float* shrink) {
    const auto* elements = reinterpret_cast<const Element*>(values.data);
    const auto load = [&](std::size_t pair, std::size_t v) {
      const Element* at = elements + 2 * (pair * padded_ + first) + 16 * v;
      if (begins_line(v)) prefetch_next(values, at);
      simd::F32 value = Kv::load(at);
      if constexpr (kHasScales<Kv>) {
        const std::size_t scale = (first + 8 * v) / kKvScaleBlock * kKvBlock + 2 * pair;
        value = simd::mul(value, simd::splat_pair(scratch_.scales + scale));
      }
      // What lies behind an odd last position was never written.
      return 2 * pair + 1 < values.n_positions ? value : simd::keep_first_of_pairs(value);
    };
    const std::size_t n_pairs = (values.n_positions + 1) / 2;
    const float* strip = convert<kVectors>(n_pairs, load);
    for_query_tiles(task_.n_queries, [&](auto number, std::size_t c) {
      value_tile<number.value, kVectors>(scratch_.scores + c * stride_ + slot * kKvBlock, stride_, n_pairs, strip,
                                         shrink + c, scratch_.split_out + 2 * (c * padded_ + first), 2 * padded_);
    });
  }

  /// Each scale twice, for the pairs of dimensions of its position.
  void spread_key_scales(const std::uint8_t* keys) {
    const std::uint16_t* scales = key_scales<Kv>(keys, task_.head_dim);
    for (std::size_t i = 0; i < kv_scale_bytes(Kv::kType, task_.head_dim) / 2; i += 16) {
      const simd::F32 of_16 = simd::load_f16(scales + i);
      simd::store(scratch_.scales + 2 * i, simd::lower_twice(of_16));
      simd::store(scratch_.scales + 2 * i + 16, simd::upper_twice(of_16));
    }
  }

  const AttentionTask& task_;
  AttentionScratch scratch_;
  std::size_t n_pairs_, padded_;
  std::size_t stride_;  ///< From the scores of a query to those of the next.
};

}  // namespace
}  // namespace woolly::kernels::WOOLLY_ISA
