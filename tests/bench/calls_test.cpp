#include "bench/calls.h"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "kernels/dispatch.h"

namespace woolly::bench {
namespace {

TEST(CallBench, MeasuresEachKernelAtEachSizeThatItTakes) {
  const auto tables = kernels::available_tables();
  const CallOptions options{
      .tables = {tables.begin(), tables.end()}, .n_repetitions = 2, .max_elements = 16384, .seconds = 1e-7};
  const auto report = run_call_bench(options);
  ASSERT_TRUE(report) << report.error().message;
  std::set<std::string> kernels;
  for (std::size_t i = 0; i < report->rows.size(); ++i) {
    const CallRow& row = report->rows[i];
    EXPECT_EQ(row.isa, tables[i % tables.size()]->name);
    EXPECT_GT(row.ns.median, 0) << row.kernel << " of " << row.n_elements;
    EXPECT_LE(row.n_elements, 16384u);
    kernels.emplace(row.kernel);
  }
  EXPECT_EQ(kernels, (std::set<std::string>{"rms_norm", "quantize_a32", "quantize_a256", "round_bf16", "affine", "add",
                                            "softmax", "swiglu", "rope_adjacent", "rope_halves", "matmul F32",
                                            "matmul BF16", "matmul Q8_0", "matmul Q4_K"}));
  const auto sizes_of = [&](std::string_view kernel) {
    std::set<std::size_t> sizes;
    for (const CallRow& row : report->rows) {
      if (row.kernel == kernel) sizes.insert(row.n_elements);
    }
    return sizes;
  };
  EXPECT_EQ(sizes_of("add"), (std::set<std::size_t>{16, 64, 256, 1024, 4096, 16384}));
  EXPECT_EQ(sizes_of("quantize_a256"), (std::set<std::size_t>{256, 1024, 4096, 16384}));
  EXPECT_EQ(sizes_of("matmul Q4_K"), (std::set<std::size_t>{16384}));
  EXPECT_GT(report->direct_ns.median, 0);
  EXPECT_GT(report->table_ns.median, 0);
}

TEST(SlowerThanScalar, NamesKernelSizeAndTable) {
  const std::vector<CallRow> rows = {{"add", 16, "avx2", {4.1, 0}},  {"add", 16, "scalar", {4, 0}},
                                     {"add", 64, "scalar", {10, 0}}, {"add", 64, "avx2", {20, 0}},
                                     {"add", 256, "scalar", {10, 0}}, {"add", 256, "avx2", {12, 0.4}},
                                     {"swiglu", 64, "avx2", {30, 0}}};
  EXPECT_EQ(slower_than_scalar(rows),
            std::vector<std::string>{"slower than scalar code: add of 64 takes 20.0 ns with avx2, 10.0 ns without"});
}

}  // namespace
}  // namespace woolly::bench
