// What recurrent steps do with one sequence's rows; the units are shared out to threads.
#pragma once

#include <cstddef>

#include "exec/batch.h"
#include "exec/bound.h"

namespace woolly::exec {

/// Columns of a convolution that are one unit.
inline constexpr std::size_t kConvolvedColumns = 128;

/// Convolves columns [first, first + n), and moves their inputs on in the sequence's state.
void convolve(const BoundConvolve& op, const Slice& slice, std::size_t first, std::size_t n, const kernels::KernelTable& table);

/// Floats that `recur` needs of its own.
std::size_t recurrence_scratch_floats(std::size_t key_dim) noexcept;

/// Goes through the rows with one head.
void recur(const BoundRecur& op, const Slice& slice, std::size_t head, float* scratch, const kernels::KernelTable& table);

}  // namespace woolly::exec
