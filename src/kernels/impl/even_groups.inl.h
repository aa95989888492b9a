// Any number of columns in groups that a kernel takes at once.
#pragma once

#include <cstddef>

namespace woolly::kernels::WOOLLY_ISA {
namespace {

/// Calls `body(first, last)` for groups of columns of even size, none larger than `most`, so that none is much slower for a
/// column than the others.
template <typename Body>
inline void for_even_groups(std::size_t n_columns, std::size_t most, Body body) {
  const std::size_t n_groups = (n_columns + most - 1) / most;
  for (std::size_t g = 0; g < n_groups; ++g) body(g * n_columns / n_groups, (g + 1) * n_columns / n_groups);
}

}  // namespace
}  // namespace woolly::kernels::WOOLLY_ISA
