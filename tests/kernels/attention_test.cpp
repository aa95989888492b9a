#include <gtest/gtest.h>

#include "kernels/support.h"

namespace woolly::test {
namespace {

using kernels::kKvBlock;

/// One key-value head's cache and some queries.
struct Head {
  std::size_t head_dim, n_keys;
  std::vector<std::vector<float>> keys, values, queries;
  std::vector<std::vector<std::uint8_t>> blocks;
  std::vector<const std::uint8_t*> table;
  std::size_t value_offset;

  Head(const kernels::KvKernels& kv, std::size_t dim, std::size_t n, unsigned seed) : head_dim(dim), n_keys(n) {
    std::mt19937 random(seed);
    keys = random_columns(n, dim, random);
    values = random_columns(n, dim, random);
    queries = random_columns(kernels::kMaxQueries, dim, random);
    value_offset = dim * kKvBlock * kv.element_bytes;
    const std::size_t bytes = value_offset + kernels::padded_head_dim(dim) * kKvBlock * kv.element_bytes;
    for (std::size_t i = 0; i < n; ++i) {
      if (i % kKvBlock == 0) blocks.emplace_back(bytes, std::uint8_t{0xFF});  // NaN where nothing was stored
      kv.store_key(keys[i].data(), dim, i % kKvBlock, blocks.back().data());
      kv.store_value(values[i].data(), dim, i % kKvBlock, blocks.back().data() + value_offset);
    }
    for (const auto& block : blocks) table.push_back(block.data());
  }

  /// Outputs of queries [first, first + n), query i seeing n_keys - (kMaxQueries - 1 - i) keys at least one.
  [[nodiscard]] std::uint32_t keys_of(std::size_t query) const {
    const std::size_t hidden = kernels::kMaxQueries - 1 - query;
    return static_cast<std::uint32_t>(n_keys > hidden ? n_keys - hidden : 1);
  }
  std::vector<std::vector<float>> attend(const kernels::KvKernels& kv, std::size_t first, std::size_t n) const {
    std::vector<std::vector<float>> out(n, std::vector<float>(head_dim));
    std::vector<const float*> q;
    std::vector<float*> o;
    std::vector<std::uint32_t> sees;
    for (std::size_t i = 0; i < n; ++i) {
      q.push_back(queries[first + i].data());
      o.push_back(out[i].data());
      sees.push_back(keys_of(first + i));
    }
    std::vector<float> scratch(kernels::attention_scratch_floats(head_dim));
    kv.attend({n, q.data(), o.data(), sees.data(), table.data(), 0, value_offset, head_dim, head_dim, scale(),
               scratch.data()});
    return out;
  }
  [[nodiscard]] float scale() const { return 1.0F / std::sqrt(static_cast<float>(head_dim)); }

  [[nodiscard]] std::vector<double> exact(std::size_t query) const {
    std::vector<double> weights, out(head_dim, 0.0);
    double max = -1e300, sum = 0;
    for (std::size_t i = 0; i < keys_of(query); ++i) {
      double dot = 0;
      for (std::size_t d = 0; d < head_dim; ++d) dot += static_cast<double>(queries[query][d]) * static_cast<double>(keys[i][d]);
      weights.push_back(dot * static_cast<double>(scale()));
      max = std::max(max, weights.back());
    }
    for (double& weight : weights) sum += weight = std::exp(weight - max);
    for (std::size_t i = 0; i < weights.size(); ++i) {
      for (std::size_t d = 0; d < head_dim; ++d) out[d] += weights[i] / sum * static_cast<double>(values[i][d]);
    }
    return out;
  }
};

const kernels::KvKernels& kv_of(const kernels::KernelTable& table, bool is_f16) {
  return is_f16 ? table.kv_f16 : table.kv_f32;
}

class Attention : public testing::TestWithParam<std::tuple<std::size_t, std::size_t, bool>> {};

TEST_P(Attention, IsRightIdenticalOnAllTablesAndForAnyNumberOfQueries) {
  const auto [head_dim, n_keys, is_f16] = GetParam();
  std::vector<std::vector<float>> expected;
  for (const kernels::KernelTable* table : kernels::available_tables()) {
    const kernels::KvKernels& kv = kv_of(*table, is_f16);
    const Head setup(kv, head_dim, n_keys, 9);
    const auto all = setup.attend(kv, 0, kernels::kMaxQueries);
    if (expected.empty()) expected = all;
    EXPECT_EQ(all, expected) << table->name;
    for (std::size_t n = 1; n < kernels::kMaxQueries; ++n) {
      for (std::size_t first = 0; first + n <= kernels::kMaxQueries; ++first) {
        const auto some = setup.attend(kv, first, n);
        for (std::size_t i = 0; i < n; ++i) EXPECT_EQ(some[i], expected[first + i]) << table->name << ' ' << n;
      }
    }
    // Keys and values of binary16 are within 2^-11 of theirs; scores of a few units move by as much.
    const double tolerance = is_f16 ? 6e-3 : 2e-5;
    for (std::size_t c = 0; c < kernels::kMaxQueries; ++c) {
      const auto exact = setup.exact(c);
      for (std::size_t d = 0; d < head_dim; ++d) ASSERT_NEAR(static_cast<double>(all[c][d]), exact[d], tolerance);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Kernels, Attention,
                         testing::Combine(testing::Values(8, 64, 80, 128), testing::Values(1, 3, 63, 64, 65, 300, 512, 513, 1100),
                                          testing::Bool()));

TEST(Attention, ScoresFarApartNeitherOverflowNorVanish) {
  for (const kernels::KernelTable* table : kernels::available_tables()) {
    Head setup(table->kv_f32, 64, 600, 3);
    for (auto& query : setup.queries) {
      for (float& value : query) value *= 1e4F;
    }
    for (const auto& out : setup.attend(table->kv_f32, 0, 4)) {
      for (const float value : out) ASSERT_TRUE(std::isfinite(value)) << table->name;
    }
  }
}

}  // namespace
}  // namespace woolly::test
