// How fast the matrix kernels run: every weight type, shape, number of columns and kernel table that is asked for, held
// against what the machine can do.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bench/measure.h"
#include "bench/roof.h"
#include "kernels/kernel_table.h"
#include "os/thread_pool.h"
#include "quant/dtype.h"
#include "woolly/error.h"

namespace woolly::bench {

/// Of a matrix of weights [n_rows, k].
struct Shape {
  std::size_t n_rows = 0;
  std::size_t k = 0;
};

/// How much is done for it; the defaults are for figures that are published.
struct KernelEffort {
  double seconds = 0.01;  ///< Each repetition runs at least that long, over as many products as it takes.
  /// From memory: weights of all types and shapes together, read in turn; at least an eighth of it for each of them.
  std::uint64_t memory_bytes = std::uint64_t{1} << 30U;
  RoofEffort roof;
};

struct KernelOptions {
  std::vector<quant::DType> types;
  std::vector<Shape> shapes;          ///< Rows and k are positive; each k is a multiple of the block of each type.
  std::vector<std::size_t> columns;   ///< 1 to kMaxColumns.
  std::vector<const kernels::KernelTable*> tables;
  /// Weights come from memory, as those of a model do. Without it they are read again and again from caches: no more
  /// than 16 MiB of a matrix, beyond which its panels repeat.
  bool is_from_memory = false;
  /// Beside the libraries of bench/blas, for the types that they know. Matrices are whole then, for all the same; not from
  /// memory.
  bool with_blas = false;
  std::size_t n_repetitions = 5;
  bool with_roof = true;
  KernelEffort effort;

  static constexpr std::size_t kMaxColumns = 512;
};

/// One product: a matrix by columns of activations that are prepared already.
struct KernelRow {
  quant::DType type;
  Shape shape;
  std::size_t n_columns = 0;
  std::string_view isa;    ///< Of the table, or the name of a library, which is held against no roof.
  Summary ops_per_second;  ///< A product and its sum are two operations.
  double bytes_per_second = 0;  ///< Of the weights, at the median.
  std::optional<double> ops_share;   ///< Of the rate of the arithmetic that the table has for the type.
  std::optional<double> read_share;  ///< Of the read bandwidth; weights from memory only.

  [[nodiscard]] double ops_per_byte() const { return ops_per_second.median / bytes_per_second; }
};

struct KernelReport {
  std::string machine;  ///< Processor and threads.
  std::size_t n_threads = 0;
  bool is_from_memory = false;
  std::vector<TableRoof> roofs;  ///< Of the tables asked for; empty without roofs.
  std::vector<KernelRow> rows;   ///< By type, shape, columns, table, each in the order that was asked for.
  std::vector<std::string> errors;  ///< One line each: roofs that a row is above.

  /// Whether `roofs` has the table of a row.
  [[nodiscard]] bool has_roof(const KernelRow& row) const;
  /// The rate of the arithmetic that a row is held against.
  [[nodiscard]] double ops_roof(const KernelRow& row) const;
};

/// Runs every case once, then all again for each repetition, so that what disturbs the machine disturbs all. Panels are
/// claimed by the threads of `pool` as the executor has it. kInvalidArgument where a type's block does not divide a k, or
/// libraries know none of the types; kUnsupported where this build has no libraries; kLimitExceeded where there is no
/// memory.
Result<KernelReport> run_kernel_bench(os::ThreadPool& pool, const KernelOptions& options);

}  // namespace woolly::bench
