// How fast attention runs over cached keys and values: every type of the cache, head size, number of keys, number of
// queries and kernel table that is asked for, held against what the machine can do.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "bench/kernels.h"
#include "bench/measure.h"
#include "bench/roof.h"
#include "kernels/kernel_table.h"
#include "os/thread_pool.h"
#include "quant/dtype.h"
#include "woolly/error.h"

namespace woolly::bench {

struct AttentionOptions {
  std::vector<quant::DType> types;     ///< Of the cache.
  std::vector<std::size_t> head_dims;  ///< 1 to kMaxHeadDim; values are as long as keys.
  std::vector<std::size_t> queries;    ///< At once, of one key-value head: 1 to kernels::kMaxQueries.
  std::vector<std::size_t> keys;       ///< That every query sees: 1 to kMaxKeys.
  std::vector<const kernels::KernelTable*> tables;
  /// Keys and values come from memory, as in a step of single tokens. Without it each thread has one head, which tile
  /// of queries after tile of queries reads again, as in a prompt.
  bool is_from_memory = false;
  std::size_t n_repetitions = 5;
  bool with_roof = true;
  /// From memory, each type, head size and number of keys has at least half of `memory_bytes`.
  KernelEffort effort;

  static constexpr std::size_t kMaxHeadDim = 1024;
  static constexpr std::size_t kMaxKeys = std::size_t{1} << 20U;
};

struct AttentionRow {
  quant::DType type;
  std::size_t head_dim = 0, n_queries = 0, n_keys = 0;
  const kernels::KernelTable* table;
  /// Of the products with keys and values, 4 * head_dim for each query and key; the softmax is not counted.
  Summary ops_per_second;
  double bytes_per_second = 0;        ///< Of keys and values, which a tile of queries reads once; at the median.
  std::optional<double> float_share;  ///< Of the rate of float32 multiply-adds.
  std::optional<double> bf16_share;   ///< Of products of bfloat16; of tables that have them and types other than F32.
  std::optional<double> read_share;   ///< Of the read bandwidth; from memory only.
};

struct AttentionReport {
  std::string machine;  ///< Processor and threads.
  std::size_t n_threads = 0;
  bool is_from_memory = false;
  std::vector<TableRoof> roofs;    ///< Of the tables asked for; empty without roofs.
  std::vector<AttentionRow> rows;  ///< By type, head size, keys, queries, table, each in the order that was asked for.
  std::vector<std::string> errors; ///< One line each: roofs that a row is above.
};

/// Runs every case once, then all again for each repetition, so that what disturbs the machine disturbs all. Blocks lie
/// as those of a model with several layers and key-value heads (exec/kv_cache.h). kInvalidArgument where the cache has
/// no such type; kLimitExceeded where there is no memory.
Result<AttentionReport> run_attention_bench(os::ThreadPool& pool, const AttentionOptions& options);

}  // namespace woolly::bench
