// What the machine gives at most: the bounds that the speed of a model is held against.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/kernel_table.h"
#include "os/thread_pool.h"
#include "woolly/error.h"

namespace woolly::bench {

/// How reports name the machine: processor and threads.
std::string machine_name(std::size_t n_threads);

/// Best of what was tried, with all threads of a pool.
struct Roof {
  double read_bytes_per_second = 0;
  double integer_ops_per_second = 0;  ///< A product of bytes and its sum are two operations.
  std::uint64_t bytes = 0;            ///< Of memory that were read again and again.
  double float_ops_per_second = 0;    ///< A fused multiply-add of float32 is two operations.
  double bf16_ops_per_second = 0;     ///< The same of bfloat16; 0 where a table has no such products.

  /// Of the arithmetic of kernels that read activations in this format.
  [[nodiscard]] double ops_per_second(kernels::ActFormat format) const noexcept;
};

/// How much is done for it. The defaults take about 1.5 seconds on a machine that reads 40 GB/s.
struct RoofEffort {
  std::uint64_t bytes = std::uint64_t{1} << 30U;  ///< Far more than caches hold; less where memory is short.
  int n_passes = 5;                               ///< Over all bytes, of each read pattern.
  double arithmetic_seconds = 0.05;               ///< Of each of five tries of each arithmetic.
};

/// Measures all bounds. kLimitExceeded where there is no memory.
Result<Roof> measure_roof(const kernels::KernelTable& table, os::ThreadPool& pool, const RoofEffort& effort = {});

/// The better of two measurements: a roof is what the machine can do.
Roof best_of(const Roof& a, const Roof& b);

/// The roofs of one table; reads are those of the best table.
struct TableRoof {
  const kernels::KernelTable* table;
  Roof roof;
};

/// Raises `roofs`, which has a row for each table that is wanted, to what can be seen now. kLimitExceeded where there
/// is no memory.
Status measure_roofs(os::ThreadPool& pool, const RoofEffort& effort, std::vector<TableRoof>& roofs);

/// Of the table of that name; nullptr where `roofs` does not have it.
const Roof* find_roof(const std::vector<TableRoof>& roofs, std::string_view isa);

}  // namespace woolly::bench
