// What one step of the engine works on: rows of tokens of one or more sequences.
#pragma once

#include <cstdint>
#include <span>

#include "exec/kv_cache.h"
#include "woolly/tokenizer.h"

namespace woolly::exec {

/// Consecutive rows of a batch that continue one sequence, whose room is reserved.
struct Slice {
  Sequence* sequence;
  std::size_t first_row, n_rows;
};

struct Batch {
  std::span<const TokenId> tokens;              ///< [n_rows].
  std::span<const Slice> slices;                ///< Cover all rows, in order; each sequence once.
  std::span<const std::uint32_t> logit_rows;    ///< Ascending rows whose logits are wanted; may be empty.
};

}  // namespace woolly::exec
