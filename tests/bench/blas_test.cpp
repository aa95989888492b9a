#include "bench/blas/blas.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <vector>

#include "base/float16.h"
#include "bench/kernels.h"
#include "kernels/dispatch.h"

namespace woolly::bench {
namespace {

using quant::DType;

/// Sums of k products of numbers of at most 1, in any order, of which each is off by half a unit in the last place of
/// at most k: k * k * 2^-24 at most. The products of bfloat16 are exact in float32.
TEST(Blas, ProductsAreRight) {
  constexpr std::size_t kRows = 33, kK = 64;
  std::mt19937 random(1);
  std::vector<float> w(kRows * kK);
  std::vector<std::byte> f32(w.size() * 4), bf16(w.size() * 2);
  const auto draw = [&] { return base::bf16_to_f32(base::f32_to_bf16(static_cast<float>(random() % 201) / 100 - 1)); };
  for (std::size_t i = 0; i < w.size(); ++i) {
    w[i] = draw();
    const std::uint16_t half = base::f32_to_bf16(w[i]);
    std::memcpy(f32.data() + 4 * i, &w[i], 4);
    std::memcpy(bf16.data() + 2 * i, &half, 2);
  }
  for (const std::size_t n_columns : {1U, 2U, 7U}) {
    std::vector<float> x(n_columns * kK);
    for (float& value : x) value = draw();
    for (const BlasLibrary& library : blas_libraries()) {
      for (const DType type : {DType::kF32, DType::kBF16}) {
        if (!library.knows(type)) continue;
        const std::byte* weights = type == DType::kF32 ? f32.data() : bf16.data();
        const auto product = library.create({type, kRows, kK, n_columns, weights, x.data(), 2});
        ASSERT_TRUE(product) << product.error().message;
        product.value()->run();
        for (std::size_t c = 0; c < n_columns; ++c) {
          for (std::size_t row = 0; row < kRows; ++row) {
            double exact = 0;
            for (std::size_t i = 0; i < kK; ++i) exact += double{w[row * kK + i]} * double{x[c * kK + i]};
            EXPECT_NEAR(product.value()->result()[c * kRows + row], exact, kK * kK * 0x1p-24)
                << library.name << ", " << quant::info(type).name << ", " << n_columns << " columns";
          }
        }
      }
    }
  }
}

TEST(Blas, RowsStandBesideThoseOfTheTables) {
  const auto pool = os::ThreadPool::create(2);
  ASSERT_TRUE(pool);
  KernelOptions options;
  options.types = {DType::kQ4_K, DType::kBF16, DType::kF32};
  options.shapes = {{33, 256}};
  options.columns = {1, 5};
  options.tables = {kernels::available_tables().front()};
  options.n_repetitions = 1;
  options.with_roof = false;
  options.with_blas = true;
  options.effort.seconds = 1e-6;
  const auto report = run_kernel_bench(**pool, options);
  ASSERT_TRUE(report) << report.error().message;
  std::vector<std::string> rows;
  for (const KernelRow& row : report->rows) {
    rows.push_back(std::string(quant::info(row.type).name) + " " + std::string(row.isa));
    EXPECT_GT(row.ops_per_second.median, 0);
  }
  EXPECT_EQ(rows, (std::vector<std::string>{"Q4_K scalar", "Q4_K scalar", "BF16 scalar", "BF16 oneDNN", "BF16 scalar",
                                            "BF16 oneDNN", "F32 scalar", "F32 OpenBLAS", "F32 oneDNN", "F32 scalar",
                                            "F32 OpenBLAS", "F32 oneDNN"}));
}

}  // namespace
}  // namespace woolly::bench
