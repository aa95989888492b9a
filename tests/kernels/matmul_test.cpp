// Every weight type on every table.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>

#include "kernels/support.h"

namespace woolly::test {
namespace {

/// Lengths of rows: such as only floats have, the smallest of others, odd numbers of blocks, real models' sizes.
constexpr std::size_t kLengths[] = {1, 33, 98, 32, 64, 96, 224, 256, 288, 512, 896, 1024, 4096, 14336};

class Matmul : public testing::TestWithParam<quant::DTypeInfo> {
 protected:
  DType type() const { return GetParam().type; }
  static std::span<const kernels::KernelTable* const> tables() { return kernels::available_tables(); }

  std::vector<float> run(const kernels::KernelTable& table, const std::vector<std::uint8_t>& panel,
                         const Activations& x, std::size_t first, std::size_t n) const {
    std::vector<float> tile(n * kPanelRows, -1.0F);
    table.matmul(type())->run(panel.data(), x.k, x.columns.data() + first, n, tile.data());
    return tile;
  }

  /// What a table with products of its own must give; of others none.
  std::optional<std::vector<float>> own_products(const kernels::KernelTable& table, const std::vector<std::byte>& rows,
                                                 const Activations& x) const {
    const auto* own = std::ranges::find(kOwnProducts, table.name, &OwnProduct::table);
    const bool has_own = type() == DType::kBF16 && own != std::end(kOwnProducts);
    EXPECT_EQ(table.matmul(type())->act == ActFormat::kBF16, has_own) << table.name;
    if (!has_own) return std::nullopt;
    std::vector<std::uint16_t> w(rows.size() / 2);
    std::memcpy(w.data(), rows.data(), rows.size());
    std::vector<float> products(x.columns.size() * kPanelRows);
    for (std::size_t i = 0; i < products.size(); ++i) {
      products[i] = own->of(std::span(w).subspan(i % kPanelRows * x.k, x.k), {x.columns[i / kPanelRows].bf16, x.k});
    }
    return products;
  }

  /// Rows at an odd address and an odd distance, the last of which ends with its memory, by one column each: as `expected`.
  void expect_rows_identical(const kernels::KernelTable& table, const std::vector<std::byte>& rows,
                             const Activations& x, const std::vector<float>& expected) const {
    const kernels::MatmulKernel& kernel = *table.matmul(type());
    if (kernel.run_rows == nullptr) return;
    const std::size_t row_bytes = rows.size() / kPanelRows, stride = row_bytes + 3;
    std::vector<std::uint8_t> spread(1 + (kPanelRows - 1) * stride + row_bytes);
    for (std::size_t r = 0; r < kPanelRows; ++r) {
      std::memcpy(spread.data() + 1 + r * stride, rows.data() + r * row_bytes, row_bytes);
    }
    for (std::size_t c = 0; c < x.columns.size(); ++c) {
      std::vector<float> y(kPanelRows, -1.0F);
      kernel.run_rows(spread.data() + 1, stride, x.k, x.columns[c], y.data());
      ASSERT_EQ(std::memcmp(y.data(), expected.data() + c * kPanelRows, y.size() * sizeof(float)), 0)
          << table.name << ", k " << x.k << ", rows of the file";
    }
  }

  /// `columns` through all tables: identical to the scalar one, but for tables with products of their own, for any
  /// number of columns at once, and from rows that are not packed.
  void expect_identical(const std::vector<std::byte>& rows, const std::vector<std::vector<float>>& columns) const {
    const std::size_t k = columns.front().size(), n = columns.size();
    const auto panel = pack(type(), rows, rows.size() / (k / GetParam().block_k * GetParam().block_bytes), k);
    std::vector<float> of_scalar;
    for (const kernels::KernelTable* table : tables()) {
      const Activations x(*table, table->matmul(type())->act, columns);
      const auto all = run(*table, panel, x, 0, n);
      if (of_scalar.empty()) of_scalar = all;
      const auto expected = own_products(*table, rows, x).value_or(of_scalar);
      ASSERT_EQ(std::memcmp(all.data(), expected.data(), all.size() * sizeof(float)), 0) << table->name << ", k " << k;
      expect_rows_identical(*table, rows, x, expected);
      for (std::size_t at_once = 1; at_once < n; ++at_once) {
        for (std::size_t c = 0; c < n; c += at_once) {
          const std::size_t m = std::min(at_once, n - c);
          const auto some = run(*table, panel, x, c, m);
          ASSERT_EQ(std::memcmp(some.data(), expected.data() + c * kPanelRows, some.size() * sizeof(float)), 0)
              << table->name << ", k " << k << ", " << at_once << " columns at once";
        }
      }
    }
  }
};

TEST_P(Matmul, EveryTableHasAKernel) {
  for (const kernels::KernelTable* table : tables()) EXPECT_NE(table->matmul(type()), nullptr) << table->name;
}

TEST_P(Matmul, IsIdenticalOnAllTablesAndForAnyNumberOfColumns) {
  std::mt19937 random(3);
  for (const std::size_t k : kLengths) {
    if (k % GetParam().block_k != 0) continue;
    const std::size_t n = k > 1024 ? 5 : 12;
    expect_identical(random_rows(type(), 32, k, random), random_columns(n, k, random));
  }
}

/// Columns that lie anyhow in memory, as they need not where the rows of a batch are chosen.
TEST_P(Matmul, IsIdenticalWhereverTheColumnsLie) {
  std::mt19937 random(8);
  const std::size_t k = 512, n = 40;
  const auto panel = pack(type(), random_rows(type(), 32, k, random), 32, k);
  const std::vector<std::vector<float>> columns = random_columns(n, k, random);
  for (const kernels::KernelTable* table : tables()) {
    Activations x(*table, table->matmul(type())->act, columns);
    const auto in_order = run(*table, panel, x, 0, n);
    std::vector<std::size_t> order(n);
    std::iota(order.begin(), order.end(), 0U);
    std::shuffle(order.begin() + 5, order.end() - 10, random);
    const std::vector<ActColumn> before = x.columns;
    for (std::size_t c = 0; c < n; ++c) x.columns[c] = before[order[c]];
    const auto shuffled = run(*table, panel, x, 0, n);
    for (std::size_t c = 0; c < n; ++c) {
      const float* expected = in_order.data() + order[c] * kPanelRows;
      ASSERT_EQ(std::memcmp(shuffled.data() + c * kPanelRows, expected, kPanelRows * sizeof(float)), 0)
          << table->name << ", column " << c;
    }
  }
}

/// Numbers of columns on either side of what kernels take at once, tiles among them, and of their largest batch.
TEST_P(Matmul, IsIdenticalForManyColumns) {
  std::mt19937 random(7);
  const std::size_t k = 512, most = 530;
  const auto panel = pack(type(), random_rows(type(), 32, k, random), 32, k);
  const std::vector<std::vector<float>> columns = random_columns(most, k, random);
  for (const kernels::KernelTable* table : tables()) {
    const Activations x(*table, table->matmul(type())->act, columns);
    std::vector<float> expected;
    for (std::size_t c = 0; c < most; ++c) {
      const auto one = run(*table, panel, x, c, 1);
      expected.insert(expected.end(), one.begin(), one.end());
    }
    for (const std::size_t n : std::initializer_list<std::size_t>{11, 12, 13, 15, 16, 17, 31, 32, 33, 47, 48, 49, 65, 512, 513, 529}) {
      const auto all = run(*table, panel, x, most - n, n);
      ASSERT_EQ(std::memcmp(all.data(), expected.data() + (most - n) * kPanelRows, all.size() * sizeof(float)), 0)
          << table->name << ", " << n << " columns";
    }
  }
}

/// Against the product in double of the decoded weights and the activations as the kernel sees them. Each output is a
/// chain of n fused multiply-adds of terms t, so it errs by at most n * 2^-24 * Σ|t|, and by as much again for the
/// rounding of d * a; types with mins have two chains.
TEST_P(Matmul, IsCloseToTheDoubleProduct) {
  std::mt19937 random(4);
  for (const std::size_t k : {std::size_t{256}, std::size_t{1024}, std::size_t{4096}}) {
    const auto rows = random_rows(type(), 32, k, random);
    const auto panel = pack(type(), rows, 32, k);
    std::vector<float> w(32 * k);
    GetParam().decode(rows.data(), 32 * k / GetParam().block_k, w.data());
    for (const kernels::KernelTable* table : tables()) {
      const ActFormat format = table->matmul(type())->act;
      const Activations x(*table, format, random_columns(3, k, random));
      const auto tile = run(*table, panel, x, 0, 3);
      for (std::size_t c = 0; c < 3; ++c) {
        for (std::size_t r = 0; r < 32; ++r) {
          double sum = 0, size = 0;
          for (std::size_t i = 0; i < k; ++i) {
            const double a = x.value(format, c, i);
            const double term = static_cast<double>(w[r * k + i]) * a;
            sum += term;
            size += std::abs(term);
          }
          // A min and its scale nearly cancel: their parts are larger than the weight, by 31 codes at most.
          const double bound = (static_cast<double>(k) + 4) * 0x1p-24 * (size * 2 + 64 * static_cast<double>(k) * 0.05);
          ASSERT_NEAR(static_cast<double>(tile[c * 32 + r]), sum, bound) << table->name << " k " << k << " row " << r;
        }
      }
    }
  }
}

TEST_P(Matmul, IsExactOnExtremeCodesAndActivations) {
  std::mt19937 random(5);
  const std::size_t k = 512;
  const auto columns_of = [&](auto value) {
    std::vector<std::vector<float>> columns(3, std::vector<float>(k));
    for (std::size_t c = 0; c < 3; ++c) {
      for (std::size_t i = 0; i < k; ++i) columns[c][i] = value(c, i);
    }
    return columns;
  };
  const std::vector<std::vector<float>> cases[] = {
      columns_of([](std::size_t, std::size_t) { return 1.0F; }),                                 // +127 everywhere
      columns_of([](std::size_t, std::size_t) { return -1.0F; }),
      columns_of([](std::size_t c, std::size_t i) { return (i + c) % 2 == 0 ? 1.0F : -1.0F; }),  // alternating
      columns_of([](std::size_t c, std::size_t i) { return i == 100 * c ? 1e6F : 0.01F; }),      // one outlier
      columns_of([](std::size_t, std::size_t i) { return i % 3 == 0 ? 7e4F : -9e4F; }),          // beyond binary16
      columns_of([](std::size_t, std::size_t) { return 1e-42F; }),                               // denormal
      columns_of([](std::size_t c, std::size_t) { return c == 1 ? 0.0F : 2.0F; }),               // a column of zeros
  };
  for (const int code : {-1, 0x00, 0xFF, 0x0F, 0xF0, 0x80, 0x7F}) {
    const auto rows = random_rows(type(), 32, k, random, code);
    for (const auto& columns : cases) expect_identical(rows, columns);
  }
}

TEST_P(Matmul, PassesNotANumberAndInfinityOn) {
  std::mt19937 random(6);
  const std::size_t k = 512;
  const auto panel = pack(type(), random_rows(type(), 32, k, random), 32, k);
  for (const float bad : {NAN, INFINITY, -INFINITY}) {
    auto columns = random_columns(2, k, random);
    columns[1][77] = bad;
    for (const kernels::KernelTable* table : tables()) {
      const Activations x(*table, table->matmul(type())->act, columns);
      const auto tile = run(*table, panel, x, 0, 2);
      for (std::size_t r = 0; r < 32; ++r) {
        EXPECT_TRUE(std::isfinite(tile[r])) << table->name;
        EXPECT_FALSE(std::isfinite(tile[32 + r])) << table->name;
      }
    }
  }
}

std::vector<quant::DTypeInfo> all_types() { return {quant::all_dtypes().begin(), quant::all_dtypes().end()}; }

INSTANTIATE_TEST_SUITE_P(Kernels, Matmul, testing::ValuesIn(all_types()),
                         [](const auto& tested) { return std::string(tested.param.name); });

}  // namespace
}  // namespace woolly::test
