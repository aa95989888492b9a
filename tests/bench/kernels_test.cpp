#include "bench/kernels.h"

#include <gtest/gtest.h>

#include "bench/blas/blas.h"
#include "kernels/dispatch.h"

namespace woolly::bench {
namespace {

std::unique_ptr<os::ThreadPool> pool_of(std::size_t n_threads) {
  auto pool = os::ThreadPool::create(n_threads);
  EXPECT_TRUE(pool) << pool.error().message;
  return std::move(pool).value();
}

/// As little as can be measured.
KernelOptions tiny_options() {
  KernelOptions options;
  options.types = {quant::DType::kQ4_K, quant::DType::kF32};
  options.shapes = {{33, 256}};
  options.columns = {1, 5};
  options.tables = {kernels::available_tables().front()};
  options.n_repetitions = 1;
  options.with_roof = false;
  options.effort = {.seconds = 1e-6,
                    .memory_bytes = 1U << 20U,
                    .roof = {.bytes = 4U << 20U, .n_passes = 1, .arithmetic_seconds = 1e-4}};
  return options;
}

TEST(KernelBench, HasARowForEachTypeShapeColumnsAndTable) {
  KernelOptions options = tiny_options();
  for (const quant::DTypeInfo& info : quant::all_dtypes()) options.types.push_back(info.type);
  options.types.erase(options.types.begin(), options.types.begin() + 2);
  options.shapes = {{33, 256}, {8, 512}};
  options.tables.assign(kernels::available_tables().begin(), kernels::available_tables().end());
  const auto pool = pool_of(3);
  for (const bool is_from_memory : {false, true}) {
    options.is_from_memory = is_from_memory;
    const auto report = run_kernel_bench(*pool, options);
    ASSERT_TRUE(report) << report.error().message;
    EXPECT_EQ(report->is_from_memory, is_from_memory);
    EXPECT_EQ(report->n_threads, 3u);
    std::size_t i = 0;
    for (const quant::DType type : options.types) {
      for (const Shape& shape : options.shapes) {
        for (const std::size_t n_columns : options.columns) {
          for (const kernels::KernelTable* table : options.tables) {
            ASSERT_LT(i, report->rows.size());
            const KernelRow& row = report->rows[i++];
            EXPECT_EQ(row.type, type);
            EXPECT_EQ(row.shape.n_rows, shape.n_rows);
            EXPECT_EQ(row.shape.k, shape.k);
            EXPECT_EQ(row.n_columns, n_columns);
            EXPECT_EQ(row.isa, table->name);
            EXPECT_GT(row.ops_per_second.median, 0);
            EXPECT_FALSE(row.ops_share || row.read_share);
            const quant::DTypeInfo& info = quant::info(type);
            const double ops_of_block = 2.0 * static_cast<double>(n_columns) * info.block_k;
            const std::uint32_t packed = info.flat.block_bytes != 0 ? info.flat.block_bytes : info.block_bytes;
            EXPECT_DOUBLE_EQ(row.ops_per_byte(), ops_of_block / packed);
          }
        }
      }
    }
    EXPECT_EQ(i, report->rows.size());
  }
}

TEST(KernelBench, HoldsRowsAgainstTheRoofOfTheirArithmetic) {
  KernelOptions options = tiny_options();
  options.with_roof = true;
  const auto pool = pool_of(2);
  for (const bool is_from_memory : {false, true}) {
    options.is_from_memory = is_from_memory;
    const auto report = run_kernel_bench(*pool, options);
    ASSERT_TRUE(report) << report.error().message;
    ASSERT_EQ(report->roofs.size(), 1u);
    EXPECT_STREQ(report->roofs[0].table->name, "scalar");
    const Roof& roof = report->roofs[0].roof;
    ASSERT_EQ(report->rows.size(), 4u);
    for (const KernelRow& row : report->rows) {
      const double rate = row.type == quant::DType::kF32 ? roof.float_ops_per_second : roof.integer_ops_per_second;
      EXPECT_DOUBLE_EQ(row.ops_share.value_or(0), row.ops_per_second.median / rate);
      ASSERT_EQ(row.read_share.has_value(), is_from_memory);
      EXPECT_DOUBLE_EQ(row.read_share.value_or(0),
                       is_from_memory ? row.bytes_per_second / roof.read_bytes_per_second : 0);
    }
  }
}

TEST(KernelBench, NamesTheShapeThatATypeCannotHave) {
  KernelOptions options = tiny_options();
  options.shapes = {{64, 256}, {31, 32}};
  const auto report = run_kernel_bench(*pool_of(1), options);
  ASSERT_FALSE(report);
  for (const char* part : {"31x32", "Q4_K", "multiples of 256"}) {
    EXPECT_NE(report.error().message.find(part), std::string::npos) << report.error().message;
  }
}

TEST(KernelBench, SaysWhyThereIsNoLibraryToCompareWith) {
  KernelOptions options = tiny_options();
  options.types = {quant::DType::kQ4_K};
  options.with_blas = true;
  const auto report = run_kernel_bench(*pool_of(1), options);
  ASSERT_FALSE(report);
  const char* part = blas_libraries().empty() ? "-DWOOLLY_BENCH_BLAS=ON" : "F32 and BF16";
  EXPECT_NE(report.error().message.find(part), std::string::npos) << report.error().message;
}

}  // namespace
}  // namespace woolly::bench
