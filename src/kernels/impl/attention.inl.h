// Attention of up to kMaxQueries query vectors over one key-value head's cached keys and values. The softmax is online over
// blocks of 64 keys, in base 2.
//
// Canonical order (docs/adr/0001-canonical-sums.md): blocks lie at fixed positions within splits of 512; within a split they
// go in order, and the sum of a query's weights has sixteen lanes; splits are reduced on their own and merged in order. The
// products with keys and values are those of a class `Products` (attention_floats.inl.h and beside it). The number of
// queries at once changes nothing: what one does not see has weight zero for it, and a factor of one.
#pragma once

#include <type_traits>

#include "kernels/impl/attention_floats.inl.h"
#include "kernels/impl/attention_softmax.inl.h"
#if defined(WOOLLY_ISA_AMX)
#include "kernels/impl/attention_tiles.inl.h"
#elif WOOLLY_HAS_BF16
#include "kernels/impl/attention_bf16.inl.h"
#endif

namespace woolly::kernels::WOOLLY_ISA {
namespace {

inline Visible visible_in_block(const AttentionTask& task, std::size_t c, std::size_t at) {
  const std::size_t n = task.n_keys[c], first = n > task.window ? n - task.window : 0;
  const auto bound = [&](std::size_t position) {
    return position < at ? 0 : position - at < kKvBlock ? position - at : kKvBlock;
  };
  return {bound(first), bound(n)};
}

/// A query's outputs over the splits so far, not yet divided by the sum of weights.
struct Merged {
  float max = -__builtin_inff(), sum = 0.0F;
};

/// Adds the outputs of a split to `out` [padded].
template <typename Products>
inline void merge(const Products& products, std::size_t c, const Softmax& split, std::size_t padded, Merged& merged,
                  float* out) {
  const float max = split.max > merged.max ? split.max : merged.max;
  const float keep = exp2_of_negative(merged.max - max), take = exp2_of_negative(split.max - max);
  merged = {max, merged.sum * keep + simd::reduce_add(split.sum) * take};
  for (std::size_t d = 0; d < padded; d += 16) {
    const simd::F32 kept = simd::mul(simd::load(out + d), simd::splat(keep));
    simd::store(out + d, simd::fma(products.split_output(c, d), simd::splat(take), kept));
  }
}

template <typename Products>
void attend(const AttentionTask& task) noexcept {
  Products products(task);
  const std::size_t n = task.n_queries, padded = padded_value_dim(task.value_dim);
  float* out = products.scratch().out;
  clear(out, n * padded);
  Merged merged[kMaxQueries];
  std::size_t first_key = task.n_keys[0], n_keys = 0;
  for (std::size_t c = 0; c < n; ++c) {
    const std::size_t end = task.n_keys[c], begin = end > task.window ? end - task.window : 0;
    first_key = begin < first_key ? begin : first_key;
    n_keys = end > n_keys ? end : n_keys;
  }
  const std::size_t at_once = blocks_at_once(n), n_blocks = (n_keys + kKvBlock - 1) / kKvBlock;
  for (std::size_t begin = first_key / kKvSplit * kKvSplit; begin < n_keys; begin += kKvSplit) {
    const std::size_t end = begin + kKvSplit < n_keys ? begin + kKvSplit : n_keys;
    Softmax state[kMaxQueries];  // few are used as a rule: the others are left alone
    for (std::size_t c = 0; c < n; ++c) state[c] = Softmax::none();
    bool sees_any[kMaxQueries] = {};
    products.begin_split();
    const std::size_t first_block = (begin > first_key ? begin : first_key) / kKvBlock;
    const std::size_t end_block = (end + kKvBlock - 1) / kKvBlock;
    for (std::size_t first = first_block; first < end_block; first += at_once) {
      const std::size_t last = first + at_once < end_block ? first + at_once : end_block;  // one behind it
      const auto source = [&](std::size_t block, std::size_t offset, std::size_t next, std::size_t next_offset) {
        const std::size_t n_positions = end - block * kKvBlock;
        return KvSource{task.blocks[block] + offset, n_positions < kKvBlock ? n_positions : kKvBlock,
                        task.blocks[next < n_blocks ? next : block] + next_offset};
      };
      for (std::size_t block = first; block < last; ++block) {
        const bool is_last = block + 1 == last;
        products.score(source(block, task.key_offset, is_last ? first : block + 1,
                              is_last ? task.value_offset : task.key_offset),
                       block - first);
      }
      products.finish_scores();
      float shrink[kMaxQueries];  // [blocks at once, n]
      for (std::size_t block = first; block < last; ++block) {
        const std::size_t slot = block - first;
        for (std::size_t c = 0; c < n; ++c) {
          const Visible visible = visible_in_block(task, c, block * kKvBlock);
          if (visible.begin < visible.end) {
            sees_any[c] = true;
            shrink[slot * n + c] = products.weigh(c, slot, visible, state[c]);
          } else {
            shrink[slot * n + c] = 1.0F;
            products.hide(c, slot);
          }
        }
      }
      for (std::size_t block = first; block < last; ++block) {
        const bool is_last = block + 1 == last;
        products.add_values(source(block, task.value_offset, block + 1, is_last ? task.key_offset : task.value_offset),
                            block - first, shrink + (block - first) * n);
      }
      products.finish_values();
    }
    for (std::size_t c = 0; c < n; ++c) {
      if (sees_any[c]) merge(products, c, state[c], padded, merged[c], out + c * padded);
    }
  }
  for (std::size_t c = 0; c < n; ++c) {
    float factor = 1.0F;
    if (task.sinks != nullptr) {
      const float sink = task.sinks[c] * kLog2E, max = sink > merged[c].max ? sink : merged[c].max;
      factor = exp2_of_negative(merged[c].max - max);
      merged[c].sum = merged[c].sum * factor + exp2_of_negative(sink - max);
    }
    for_lanes(task.value_dim, [&](std::size_t i, std::size_t count) {
      const simd::F32 scaled = simd::mul(simd::load(out + c * padded + i), simd::splat(factor));
      store_some(task.outputs[c] + i, simd::div(scaled, simd::splat(merged[c].sum)), count);
    });
  }
}

#if defined(WOOLLY_ISA_AMX)
template <typename Kv>
using ProductsOf = TileProducts<Kv>;
#elif WOOLLY_HAS_BF16
template <typename Kv>
using ProductsOf = std::conditional_t<Kv::kType == quant::DType::kBF16, Bf16Products, FloatProducts<Kv>>;
#else
template <typename Kv>
using ProductsOf = FloatProducts<Kv>;
#endif

/// Products<Kv> is what multiplies.
template <typename Kv, template <typename> typename Products = ProductsOf>
constexpr KvKernels kv_kernels() {
  return {Kv::kType, store_key<Kv>, store_value<Kv>, attend<Products<Kv>>};
}

}  // namespace
}  // namespace woolly::kernels::WOOLLY_ISA
