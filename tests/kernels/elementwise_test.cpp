#include <gtest/gtest.h>

#include <bit>
#include <numeric>

#include "kernels/support.h"

namespace woolly::test {
namespace {

constexpr std::size_t kSizes[] = {1, 8, 15, 16, 17, 64, 576, 1000};

/// Calls `body(table, result)` and expects every table to leave the same bits in `result`.
template <typename Body>
void expect_identical(std::size_t n, Body body) {
  std::vector<float> expected;
  for (const kernels::KernelTable* table : kernels::available_tables()) {
    std::vector<float> result(n, 0.5F);
    body(*table, result);
    if (expected.empty()) expected = result;
    ASSERT_EQ(std::memcmp(result.data(), expected.data(), n * sizeof(float)), 0) << table->name << ", " << n;
  }
}

TEST(Elementwise, RmsNormIsIdenticalOnAllTablesAndRight) {
  std::mt19937 random(1);
  for (const std::size_t n : kSizes) {
    const auto x = random_columns(2, n, random);
    expect_identical(n, [&](const kernels::KernelTable& table, std::vector<float>& out) {
      table.rms_norm(x[0].data(), x[1].data(), 1e-5F, n, out.data());
      double squares = 0;
      for (const float v : x[0]) squares += static_cast<double>(v) * static_cast<double>(v);
      const double scale = 1 / std::sqrt(squares / static_cast<double>(n) + 1e-5);
      for (std::size_t i = 0; i < n; ++i) {
        const double expected = static_cast<double>(x[0][i]) * scale * static_cast<double>(x[1][i]);
        ASSERT_NEAR(static_cast<double>(out[i]), expected, 1e-6 + std::abs(expected) * 1e-5);
      }
    });
  }
}

TEST(Elementwise, EpiloguesAreIdenticalOnAllTables) {
  std::mt19937 random(2);
  for (const std::size_t n : kSizes) {
    const auto x = random_columns(2, n, random);
    expect_identical(n, [&](const kernels::KernelTable& table, std::vector<float>& out) {
      table.add(x[0].data(), n, out.data());
      for (std::size_t i = 0; i < n; ++i) ASSERT_EQ(out[i], 0.5F + x[0][i]);
    });
    expect_identical(n, [&](const kernels::KernelTable& table, std::vector<float>& out) {
      table.affine(x[0].data(), 3.0F, x[1].data(), n, out.data());
      for (std::size_t i = 0; i < n; ++i) ASSERT_EQ(out[i], x[0][i] * 3.0F + x[1][i]);
    });
    expect_identical(n, [&](const kernels::KernelTable& table, std::vector<float>& out) {
      table.swiglu(x[0].data(), x[1].data(), n, out.data());
    });
    expect_identical(n, [&](const kernels::KernelTable& table, std::vector<float>& out) {
      table.sigmoid(x[0].data(), n, out.data());
      for (std::size_t i = 0; i < n; ++i) {
        ASSERT_NEAR(static_cast<double>(out[i]), 1 / (1 + std::exp(-static_cast<double>(x[0][i]))), 1e-6);
      }
    });
  }
}

TEST(Elementwise, ExponentialsAreIdenticalOnAllTablesAndRight) {
  std::mt19937 random(6);
  for (const std::size_t n : kSizes) {
    auto x = random_columns(1, n, random)[0];
    for (float& value : x) value *= 20;
    expect_identical(n, [&](const kernels::KernelTable& table, std::vector<float>& out) {
      table.softplus(x.data(), n, out.data());
      for (std::size_t i = 0; i < n; ++i) {
        const double expected = std::log1p(std::exp(static_cast<double>(x[i])));
        ASSERT_NEAR(static_cast<double>(out[i]), expected, expected * 8 * 0x1p-23) << x[i];
      }
    });
    expect_identical(n, [&](const kernels::KernelTable& table, std::vector<float>& out) {
      table.exp(x.data(), n, out.data());
      for (std::size_t i = 0; i < n; ++i) {
        const double expected = std::exp(static_cast<double>(x[i]));
        ASSERT_NEAR(static_cast<double>(out[i]), expected, expected * 4 * 0x1p-23) << x[i];
      }
    });
    expect_identical(n, [&](const kernels::KernelTable& table, std::vector<float>& out) {
      table.multiply(x.data(), x.data(), n, out.data());
      for (std::size_t i = 0; i < n; ++i) ASSERT_EQ(out[i], x[i] * x[i]);
    });
  }
  const float odd[] = {-INFINITY, INFINITY, NAN, -1000, 1000};
  for (const kernels::KernelTable* table : kernels::available_tables()) {
    float out[5];
    table->softplus(odd, 5, out);
    EXPECT_EQ(out[0], 0.0F) << table->name;
    EXPECT_EQ(out[1], INFINITY) << table->name;
    EXPECT_TRUE(std::isnan(out[2])) << table->name;
    EXPECT_EQ(out[4], 1000.0F) << table->name;
  }
}

TEST(Elementwise, WeightedSumsAreIdenticalOnAllTablesAndInOrder) {
  std::mt19937 random(4);
  const auto tiles = random_columns(1, 24 * kPanelRows, random)[0], weights = random_columns(1, 20, random)[0];
  const std::vector<std::uint32_t> rows = {3, 23, 0, 7, 7, 1, 22, 9, 4, 5, 6, 8, 2, 10, 21, 11, 12, 13, 14, 15};
  for (const std::size_t n : {1U, 15U, 16U, 17U, 32U}) {
    for (const std::size_t n_terms : {1U, 2U, 8U, 20U}) {
      expect_identical(n, [&](const kernels::KernelTable& table, std::vector<float>& x) {
        table.add_weighted(tiles.data(), rows.data(), weights.data(), n_terms, n, x.data());
        for (std::size_t i = 0; i < n; ++i) {
          float sum = 0;
          for (std::size_t t = 0; t < n_terms; ++t) sum = std::fma(weights[t], tiles[rows[t] * kPanelRows + i], sum);
          ASSERT_EQ(x[i], 0.5F + sum) << table.name;
        }
      });
    }
  }
}

TEST(Elementwise, SoftmaxIsIdenticalOnAllTablesAndRight) {
  std::mt19937 random(5);
  for (const std::size_t n : kSizes) {
    auto x = random_columns(1, n, random)[0];
    for (float& value : x) value = 10.0F * value + 300.0F;
    expect_identical(n, [&](const kernels::KernelTable& table, std::vector<float>& out) {
      out = x;
      table.softmax(out.data(), 2.5F, n, out.data());
      const double max = static_cast<double>(*std::max_element(x.begin(), x.end()));
      double sum = 0;
      for (const float value : x) sum += std::exp(static_cast<double>(value) - max);
      for (std::size_t i = 0; i < n; ++i) {
        const double expected = 2.5 * std::exp(static_cast<double>(x[i]) - max) / sum;
        // e^x to 2 ulp, a sum of positive terms in chains of n / 16, a quotient and a product.
        const double ulps = 8.0 + static_cast<double>(n) / 16;
        ASSERT_NEAR(static_cast<double>(out[i]), expected, expected * ulps * 0x1p-23 + 1e-37) << table.name;
      }
    });
  }
}

TEST(Elementwise, SoftmaxOfNonsenseIsNan) {
  for (const kernels::KernelTable* table : kernels::available_tables()) {
    for (const std::vector<float>& x : {std::vector<float>{1, NAN, 2}, {INFINITY, 1}, {-INFINITY, -INFINITY}, {NAN}}) {
      std::vector<float> out(x.size());
      table->softmax(x.data(), 1.0F, x.size(), out.data());
      for (const float value : out) EXPECT_TRUE(std::isnan(value)) << table->name;
    }
    const float x[] = {-INFINITY, 5.0F};
    float out[2];
    table->softmax(x, 1.0F, 2, out);
    EXPECT_EQ(out[0], 0.0F);
    EXPECT_EQ(out[1], 1.0F);
  }
}

/// The exponential inside silu over a walk through all floats: identical on all tables, and within 4 ulp of double.
TEST(Elementwise, SiluIsAccurateFromEndToEnd) {
  std::vector<float> x;
  for (std::uint64_t bits = 0; bits < (1ULL << 32U); bits += 65'521) {
    const float value = std::bit_cast<float>(static_cast<std::uint32_t>(bits));
    if (!std::isnan(value)) x.push_back(value);
  }
  const std::vector<float> ones(x.size(), 1.0F);
  expect_identical(x.size(), [&](const kernels::KernelTable& table, std::vector<float>& out) {
    table.swiglu(x.data(), ones.data(), x.size(), out.data());
    for (std::size_t i = 0; i < x.size(); ++i) {
      if (std::isinf(x[i])) continue;
      const double expected = static_cast<double>(x[i]) / (1 + std::exp(-static_cast<double>(x[i])));
      if (std::abs(expected) < 1e-35) {
        ASSERT_LT(std::abs(out[i]), 1e-34F) << x[i];
      } else {
        ASSERT_NEAR(static_cast<double>(out[i]), expected, std::abs(expected) * 4 * 0x1p-23) << x[i];
      }
    }
  });
  float nan = NAN, one = 1.0F, out = 0.0F;
  for (const kernels::KernelTable* table : kernels::available_tables()) {
    table->swiglu(&nan, &one, 1, &out);
    EXPECT_TRUE(std::isnan(out)) << table->name;
  }
}

TEST(Elementwise, QuantizationIsIdenticalOnAllTablesAndRoundsToNearest) {
  std::mt19937 random(3);
  const std::size_t k = 1024;
  const auto x = random_columns(1, k, random);
  std::vector<std::int8_t> first_q;
  for (const kernels::KernelTable* table : kernels::available_tables()) {
    for (const std::size_t block : {std::size_t{32}, std::size_t{256}}) {
      const Activations a(*table, block == 32 ? ActFormat::kA32 : ActFormat::kA256, x);
      const auto& q = a.q[0];
      const auto& scale = a.scale[0];
      const auto expect_sums = [&](std::size_t of_sum, const std::vector<std::int16_t>& sums) {
        for (std::size_t b = 0; b < k / of_sum; ++b) {
          EXPECT_EQ(std::accumulate(q.begin() + static_cast<std::ptrdiff_t>(b * of_sum),
                                    q.begin() + static_cast<std::ptrdiff_t>((b + 1) * of_sum), 0),
                    sums[b]);
        }
      };
      expect_sums(32, a.sums32[0]);
      if (block == 256) expect_sums(16, a.sums16[0]);
      for (std::size_t b = 0; block == 32 && b < k / 32; ++b) {
        EXPECT_EQ(static_cast<double>(a.scaled_sums[0][b]), static_cast<double>(scale[b]) * a.sums32[0][b]) << "exact";
      }
      for (std::size_t i = 0; i < k; ++i) {
        // Half a step, and the rounding of the scale to eleven bits.
        const float error = std::abs(x[0][i] - scale[i / block] * static_cast<float>(q[i]));
        ASSERT_LE(error, scale[i / block] * (0.5F + 127 * 0x1p-11F)) << table->name;
      }
      if (block == 32) {
        if (first_q.empty()) first_q = q;
        EXPECT_EQ(q, first_q) << table->name;
      }
    }
  }
}

TEST(Elementwise, BlocksOfZerosAndOfNonsenseQuantizeToZeros) {
  std::vector<float> x(96, 0.0F);
  for (std::size_t i = 32; i < 64; ++i) x[i] = 1e-40F;
  x[70] = NAN;
  for (const kernels::KernelTable* table : kernels::available_tables()) {
    const Activations a(*table, ActFormat::kA32, {x});
    for (const std::int8_t code : a.q[0]) EXPECT_EQ(code, 0);
    EXPECT_EQ(a.scale[0][0], 0.0F);
    EXPECT_EQ(a.scale[0][1], 0.0F);
    EXPECT_TRUE(std::isnan(a.scale[0][2])) << table->name;
    EXPECT_TRUE(std::isnan(a.scaled_sums[0][2])) << table->name;
    for (std::size_t b = 0; b < 3; ++b) EXPECT_EQ(a.sums32[0][b], 0);
  }
}

/// A walk through all floats, in pieces that end anywhere; base::f32_to_bf16 has tests of its own.
TEST(Elementwise, RoundingToBf16IsThatOfOneNumberOnAllTables) {
  std::vector<float> x;
  for (std::uint64_t bits = 0; bits < (1ULL << 32U); bits += 65'521 * 3) {
    x.push_back(std::bit_cast<float>(static_cast<std::uint32_t>(bits)));
  }
  for (const std::uint32_t bits :
       {0x7F800000U, 0x7F800001U, 0x7FFFFFFFU, 0xFF80FFFFU, 0x7F7FFFFFU, 0x3F808000U, 0x3F818000U}) {
    x.push_back(std::bit_cast<float>(bits));
  }
  for (const kernels::KernelTable* table : kernels::available_tables()) {
    for (const std::size_t k : std::initializer_list<std::size_t>{1, 2, 15, 16, 33, x.size()}) {
      const std::size_t from = x.size() - k;
      std::vector<std::uint16_t> rounded(k + k % 2, 0xFFFF);
      table->round_bf16(x.data() + from, k, rounded.data());
      for (std::size_t i = 0; i < k; ++i) {
        ASSERT_EQ(rounded[i], base::f32_to_bf16(x[from + i])) << table->name << ", " << x[from + i];
      }
      if (k % 2 != 0) {
        EXPECT_EQ(rounded[k], 0) << table->name << ", " << k;
      }
    }
  }
}

TEST(Elementwise, RopeTurnsPairsAndNothingBehindThem) {
  std::mt19937 random(4);
  for (const std::size_t n : {0U, 2U, 8U, 14U, 16U, 18U, 30U, 32U, 48U, 64U, 66U, 128U}) {
    const auto head = random_columns(1, n + 2, random)[0];
    std::vector<float> cos_sin(n);
    for (std::size_t i = 0; i < n / 2; ++i) {
      cos_sin[2 * i] = std::cos(0.1F * static_cast<float>(i));
      cos_sin[2 * i + 1] = std::sin(0.1F * static_cast<float>(i));
    }
    const auto expect_turned = [&](const std::vector<float>& turned, std::size_t a, std::size_t b, std::size_t i) {
      const float c = cos_sin[2 * i], s = cos_sin[2 * i + 1];
      EXPECT_EQ(turned[a], head[a] * c - head[b] * s) << n;
      EXPECT_EQ(turned[b], head[a] * s + head[b] * c) << n;
    };
    for (const kernels::KernelTable* table : kernels::available_tables()) {
      auto adjacent = head, halves = head;
      table->rope_adjacent(adjacent.data(), cos_sin.data(), n);
      table->rope_halves(halves.data(), cos_sin.data(), n);
      for (std::size_t i = 0; i < n / 2; ++i) {
        expect_turned(adjacent, 2 * i, 2 * i + 1, i);
        expect_turned(halves, i, i + n / 2, i);
      }
      for (const auto& turned : {adjacent, halves}) {
        EXPECT_EQ(turned[n], head[n]) << table->name << " " << n;
        EXPECT_EQ(turned[n + 1], head[n + 1]) << table->name << " " << n;
      }
    }
  }
}

}  // namespace
}  // namespace woolly::test
