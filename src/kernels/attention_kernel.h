// Attention to cached keys and values: what a kernel takes and gives. See kernel_table.h.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/kv_format.h"
#include "quant/dtype.h"

namespace woolly::kernels {

/// Some query vectors of one key-value head and where their keys and values are.
struct AttentionTask {
  std::size_t n_queries;            ///< 1 to kMaxQueries.
  const float* const* queries;      ///< [n_queries] pointers to [head_dim].
  float* const* outputs;            ///< [n_queries] pointers to [value_dim].
  const std::uint32_t* n_keys;      ///< [n_queries]: the query sees keys 0 .. n_keys - 1; at least 1.
  const std::uint8_t* const* blocks;///< Block table: [ceil(max n_keys / kKvBlock)] addresses of blocks.
  std::size_t key_offset;           ///< Of this head's keys in a block, in bytes (kv_format.h).
  std::size_t value_offset;         ///< Of this head's values in a block, in bytes.
  std::size_t head_dim;
  std::size_t value_dim;
  float scale;                      ///< The softmax sees scale * q·k ...
  float* scratch;                   ///< attention_scratch_floats(head_dim, value_dim), 64-byte aligned.
  float soft_cap = 0.0F;            ///< ... or, where this is not 0, soft_cap * tanh(scale * q·k / soft_cap).
  std::uint32_t window = 0xFFFFFFFF;///< Of its keys a query sees the last `window`; at least 1.
  const float* sinks = nullptr;     ///< [n_queries]: logits of one more key whose value is zero; nullptr: none.
};

/// Query vectors that share one pass over keys and values.
inline constexpr std::size_t kMaxQueries = 128;

/// Enough for the queries, a block's keys or values in another type, scores and outputs; see attention.inl.h.
static constexpr std::size_t attention_scratch_floats(std::size_t head_dim, std::size_t value_dim) {
  const std::size_t key_dim = (head_dim + 31) / 32 * 32, padded = (value_dim + 31) / 32 * 32;
  const std::size_t wider = key_dim > padded ? key_dim : padded;
  return kMaxQueries * (key_dim + 2 * kKvBlock + 3 * padded) + 2 * kKvBlock * wider +
         wider / kKvScaleBlock * 2 * kKvBlock + 6 * 16 * kKvBlock;
}

/// One type of the key-value cache: F32, F16, BF16 or Q8_0.
struct KvKernels {
  quant::DType type;
  /// Writes one key to position `slot` (0 .. kKvBlock - 1) of a head's keys.
  void (*store_key)(const float* key, std::size_t head_dim, std::size_t slot, std::uint8_t* keys) noexcept;
  /// Writes one value to position `slot` of a head's values; the padding becomes zero.
  void (*store_value)(const float* value, std::size_t value_dim, std::size_t slot, std::uint8_t* values) noexcept;
  void (*attend)(const AttentionTask& task) noexcept;
};
inline constexpr std::size_t kKvTypes = 4;

}  // namespace woolly::kernels
