#include "bench/attention.h"

#include <gtest/gtest.h>

#include <cmath>

#include "kernels/dispatch.h"

namespace woolly::bench {
namespace {

using quant::DType;

std::unique_ptr<os::ThreadPool> pool_of(std::size_t n_threads) {
  auto pool = os::ThreadPool::create(n_threads);
  EXPECT_TRUE(pool) << pool.error().message;
  return std::move(pool).value();
}

/// As little as can be measured.
AttentionOptions tiny_options() {
  AttentionOptions options;
  options.types = {DType::kF32, DType::kBF16};
  options.head_dims = {32};
  options.queries = {1, 5};
  options.keys = {70};
  options.tables = {kernels::available_tables().front()};
  options.n_repetitions = 1;
  options.with_roof = false;
  options.effort = {.seconds = 1e-6,
                    .memory_bytes = 1U << 20U,
                    .roof = {.bytes = 4U << 20U, .n_passes = 1, .arithmetic_seconds = 1e-4}};
  return options;
}

TEST(AttentionBench, HasARowForEachTypeHeadKeysQueriesAndTable) {
  AttentionOptions options = tiny_options();
  options.types = {DType::kF32, DType::kF16, DType::kBF16, DType::kQ8_0};
  options.head_dims = {64, 1};
  options.keys = {1, 64, 130};
  options.tables.assign(kernels::available_tables().begin(), kernels::available_tables().end());
  const auto pool = pool_of(3);
  for (const bool is_from_memory : {false, true}) {
    options.is_from_memory = is_from_memory;
    const auto report = run_attention_bench(*pool, options);
    ASSERT_TRUE(report) << report.error().message;
    EXPECT_EQ(report->is_from_memory, is_from_memory);
    EXPECT_EQ(report->n_threads, 3u);
    std::size_t i = 0;
    for (const DType type : options.types) {
      for (const std::size_t head_dim : options.head_dims) {
        for (const std::size_t n_keys : options.keys) {
          for (const std::size_t n_queries : options.queries) {
            for (const kernels::KernelTable* table : options.tables) {
              ASSERT_LT(i, report->rows.size());
              const AttentionRow& row = report->rows[i++];
              EXPECT_EQ(row.type, type);
              EXPECT_EQ(row.head_dim, head_dim);
              EXPECT_EQ(row.n_keys, n_keys);
              EXPECT_EQ(row.n_queries, n_queries);
              EXPECT_EQ(row.table, table);
              EXPECT_GT(row.ops_per_second.median, 0);
              EXPECT_TRUE(std::isfinite(row.ops_per_second.median));
              EXPECT_FALSE(row.float_share || row.bf16_share || row.read_share);
            }
          }
        }
      }
    }
    EXPECT_EQ(i, report->rows.size());
  }
}

TEST(AttentionBench, CountsProductsAndTheBytesOfKeysAndValues) {
  AttentionOptions options = tiny_options();
  options.types = {DType::kF32, DType::kF16, DType::kBF16, DType::kQ8_0};
  options.head_dims = {64};
  const auto report = run_attention_bench(*pool_of(1), options);
  ASSERT_TRUE(report) << report.error().message;
  const double bytes_of_element[] = {4, 2, 2, 1 + 2.0 / 32};  // of Q8_0 with its share of a scale
  ASSERT_EQ(report->rows.size(), 8u);
  for (std::size_t i = 0; i < report->rows.size(); ++i) {
    const AttentionRow& row = report->rows[i];
    const double ops_per_byte = row.ops_per_second.median / row.bytes_per_second;
    EXPECT_DOUBLE_EQ(ops_per_byte, 2.0 * static_cast<double>(row.n_queries) / bytes_of_element[i / 2]) << i;
  }
}

TEST(AttentionBench, HoldsRowsAgainstTheRoofsOfTheirTable) {
  AttentionOptions options = tiny_options();
  options.with_roof = true;
  options.tables.assign(kernels::available_tables().begin(), kernels::available_tables().end());
  const auto pool = pool_of(2);
  for (const bool is_from_memory : {false, true}) {
    options.is_from_memory = is_from_memory;
    const auto report = run_attention_bench(*pool, options);
    ASSERT_TRUE(report) << report.error().message;
    ASSERT_EQ(report->roofs.size(), options.tables.size());
    for (const AttentionRow& row : report->rows) {
      const Roof* roof = find_roof(report->roofs, row.table->name);
      ASSERT_NE(roof, nullptr);
      const double rate = row.ops_per_second.median;
      EXPECT_DOUBLE_EQ(row.float_share.value_or(0), rate / roof->float_ops_per_second);
      const bool has_bf16 = row.table->bf16_loop != nullptr && row.type == DType::kBF16;
      ASSERT_EQ(row.bf16_share.has_value(), has_bf16);
      EXPECT_DOUBLE_EQ(row.bf16_share.value_or(0), has_bf16 ? rate / roof->bf16_ops_per_second : 0);
      ASSERT_EQ(row.read_share.has_value(), is_from_memory);
      EXPECT_DOUBLE_EQ(row.read_share.value_or(0),
                       is_from_memory ? row.bytes_per_second / roof->read_bytes_per_second : 0);
    }
  }
}

TEST(AttentionBench, NamesTheTypeThatACacheCannotHave) {
  AttentionOptions options = tiny_options();
  options.types = {DType::kF16, DType::kQ4_K};
  const auto report = run_attention_bench(*pool_of(1), options);
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(report.error().message, "type of keys and values is Q4_K, allowed are F32, F16, BF16, Q8_0");
}

}  // namespace
}  // namespace woolly::bench
