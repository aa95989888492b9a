// How the keys and values of one head's 64 positions lie in memory: one layout for each type of the cache, the same on
// all tables.
//
//   keys    [ceil(head_dim / 2)][64][2]: for every two dimensions those of all positions
//   values  [32][padded value_dim][2]: for every two positions those of all dimensions
//
// Pairs along the sum are what products of bfloat16 multiply at once, and no sum of q·k crosses lanes. What has no partner
// has zero (head_dim odd). Q8_0 is int8 with a binary16 scale for each position and 32 dimensions; its scales,
// [ceil(dim / 32)][64], stand behind the codes.
#pragma once

#include <cstddef>
#include <cstdint>

#include "quant/dtype.h"

namespace woolly::kernels {

/// Positions of a block of the key-value cache, which is the unit of the online softmax too.
inline constexpr std::size_t kKvBlock = 64;
/// Positions of a split; splits are reduced on their own and merged in order (docs/adr/0001-canonical-sums.md).
inline constexpr std::size_t kKvSplit = 512;
/// Dimensions of a position that share a scale (Q8_0).
inline constexpr std::size_t kKvScaleBlock = 32;

/// Values are padded to whole vectors.
static constexpr std::size_t padded_value_dim(std::size_t dim) { return (dim + 15) / 16 * 16; }
/// Keys are padded to whole pairs.
static constexpr std::size_t padded_key_dim(std::size_t dim) { return (dim + 1) / 2 * 2; }

/// Of the types of the cache: F32, F16, BF16, Q8_0.
static constexpr std::size_t kv_element_bytes(quant::DType type) {
  return type == quant::DType::kF32 ? 4 : type == quant::DType::kQ8_0 ? 1 : 2;
}
/// Of a block's scales.
static constexpr std::size_t kv_scale_bytes(quant::DType type, std::size_t dim) {
  return type == quant::DType::kQ8_0 ? (dim + kKvScaleBlock - 1) / kKvScaleBlock * kKvBlock * 2 : 0;
}
/// Of one head's keys in a block: a multiple of 64.
static constexpr std::size_t kv_key_bytes(quant::DType type, std::size_t head_dim) {
  return padded_key_dim(head_dim) * kKvBlock * kv_element_bytes(type) + kv_scale_bytes(type, head_dim);
}
/// Of one head's values in a block: a multiple of 64.
static constexpr std::size_t kv_value_bytes(quant::DType type, std::size_t value_dim) {
  return padded_value_dim(value_dim) * kKvBlock * kv_element_bytes(type) + kv_scale_bytes(type, value_dim);
}

}  // namespace woolly::kernels
