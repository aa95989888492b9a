// What one call of a kernel costs, from sixteen elements to a million, and what it costs to go through a table: whether
// there is a size below which plain code would do better.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "bench/measure.h"
#include "kernels/kernel_table.h"
#include "woolly/error.h"

namespace woolly::bench {

struct CallOptions {
  std::vector<const kernels::KernelTable*> tables;  ///< With the scalar one, the others are compared with it.
  std::size_t n_repetitions = 5;
  std::size_t max_elements = std::size_t{1} << 20U;
  double seconds = 0.002;  ///< Each repetition runs at least that long, over as many calls as it takes.
};

/// One kernel at one size, in one table.
struct CallRow {
  std::string_view kernel;     ///< As KernelTable calls it; of matmul with the type.
  std::size_t n_elements = 0;  ///< Of the input; of matmul, of one panel, which is multiplied by one column.
  std::string_view isa;
  Summary ns;  ///< Per call.
};

struct CallReport {
  std::string machine;
  std::vector<CallRow> rows;  ///< By kernel, size, table, the last in the order that was asked for.
  /// Of adding sixteen elements with plain code, called by its name and through a table.
  Summary direct_ns, table_ns;
  std::vector<std::string> errors;  ///< One line each: where a table is slower than the scalar one.
};

/// A line for each row that is slower than that of the scalar table, of the same kernel and size: by more than 5 %
/// and by more than they scatter.
std::vector<std::string> slower_than_scalar(const std::vector<CallRow>& rows);

/// On the calling thread alone. Every case runs once, then all again for each repetition. kLimitExceeded where there is
/// no memory.
Result<CallReport> run_call_bench(const CallOptions& options);

}  // namespace woolly::bench
