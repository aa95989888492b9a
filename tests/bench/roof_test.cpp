#include "bench/roof.h"

#include <gtest/gtest.h>

#include "kernels/dispatch.h"

namespace woolly::bench {
namespace {

TEST(MeasureRoof, IsPositiveOnEveryTableAndForAnyThreads) {
  for (const std::size_t n_threads : {1U, 3U}) {
    const auto pool = os::ThreadPool::create(n_threads);
    ASSERT_TRUE(pool) << pool.error().message;
    for (const kernels::KernelTable* table : kernels::available_tables()) {
      const RoofEffort effort{.bytes = 9U << 20U, .n_passes = 1, .arithmetic_seconds = 1e-4};
      const auto roof = measure_roof(*table, **pool, effort);
      ASSERT_TRUE(roof) << roof.error().message;
      EXPECT_GT(roof->read_bytes_per_second, 0) << table->name;
      EXPECT_GT(roof->integer_ops_per_second, 0) << table->name;
      EXPECT_GT(roof->float_ops_per_second, 0) << table->name;
      const bool has_bf16 = table->matmul(quant::DType::kBF16)->act == kernels::ActFormat::kBF16;
      EXPECT_EQ(roof->bf16_ops_per_second > 0, has_bf16) << table->name;
      EXPECT_EQ(roof->bytes, 8U << 20U) << "whole pieces of 4 MiB";
    }
  }
}

TEST(BestOf, TakesEachBoundForItself) {
  const Roof best = best_of({1, 20, 5, 3, 7}, {2, 10, 5, 4, 6});
  EXPECT_EQ(best.read_bytes_per_second, 2);
  EXPECT_EQ(best.integer_ops_per_second, 20);
  EXPECT_EQ(best.float_ops_per_second, 4);
  EXPECT_EQ(best.bf16_ops_per_second, 7);
}

TEST(Roof, HasARateForEachFormatOfActivations) {
  const Roof roof{1, 20, 5, 3, 7};
  EXPECT_EQ(roof.ops_per_second(kernels::ActFormat::kA32), 20);
  EXPECT_EQ(roof.ops_per_second(kernels::ActFormat::kA256), 20);
  EXPECT_EQ(roof.ops_per_second(kernels::ActFormat::kF32), 3);
  EXPECT_EQ(roof.ops_per_second(kernels::ActFormat::kBF16), 7);
}

}  // namespace
}  // namespace woolly::bench
