#include <gtest/gtest.h>

#include <algorithm>

#include "kernels/support.h"

namespace woolly::test {
namespace {

using kernels::kKvBlock;
using quant::DType;

/// How an attention differs from the plain one.
struct Variant {
  std::uint32_t window = 0xFFFFFFFF;
  float soft_cap = 0.0F;
  bool has_sinks = false;
};

/// One key-value head's cache and some queries. Blocks lie in any order, and what was not written is NaN.
struct Head {
  const kernels::KvKernels& kv;
  std::size_t head_dim, value_dim, n_keys, n_queries;
  std::vector<std::vector<float>> keys, values, queries;
  std::vector<float> sinks;
  std::vector<std::vector<std::uint8_t>> blocks;
  std::vector<const std::uint8_t*> table;
  std::size_t value_offset;

  Head(const kernels::KvKernels& of, std::size_t dim, std::size_t dim_of_values, std::size_t n, std::size_t queries_of,
       unsigned seed = 9)
      : kv(of), head_dim(dim), value_dim(dim_of_values), n_keys(n), n_queries(queries_of) {
    std::mt19937 random(seed);
    keys = random_columns(n, dim, random);
    values = random_columns(n, value_dim, random);
    queries = random_columns(n_queries, dim, random);
    sinks = random_columns(1, n_queries, random)[0];
    value_offset = kernels::kv_key_bytes(kv.type, dim) + 64;
    const std::size_t bytes = value_offset + kernels::kv_value_bytes(kv.type, value_dim);
    blocks.assign((n + kKvBlock - 1) / kKvBlock, {});
    for (std::size_t i = blocks.size(); i-- > 0;) blocks[i].assign(bytes + 64, std::uint8_t{0xFF});
    for (auto& block : blocks) table.push_back(reinterpret_cast<std::uint8_t*>((reinterpret_cast<std::uintptr_t>(block.data()) + 63) / 64 * 64));
    for (std::size_t i = 0; i < n; ++i) {
      auto* block = const_cast<std::uint8_t*>(table[i / kKvBlock]);
      kv.store_key(keys[i].data(), dim, i % kKvBlock, block);
      kv.store_value(values[i].data(), value_dim, i % kKvBlock, block + value_offset);
    }
  }

  /// The last query sees all keys, each one before it one key less, as the rows of a prompt do.
  [[nodiscard]] std::uint32_t keys_of(std::size_t query) const {
    const std::size_t hidden = n_queries - 1 - query;
    return static_cast<std::uint32_t>(n_keys > hidden ? n_keys - hidden : 1);
  }
  [[nodiscard]] float scale() const { return 1.0F / std::sqrt(static_cast<float>(head_dim)); }

  /// Outputs of queries [first, first + n).
  [[nodiscard]] std::vector<std::vector<float>> attend(std::size_t first, std::size_t n, const Variant& variant = {}) const {
    std::vector<std::vector<float>> out(n, std::vector<float>(value_dim));
    std::vector<const float*> q;
    std::vector<float*> o;
    std::vector<std::uint32_t> sees;
    for (std::size_t i = 0; i < n; ++i) {
      q.push_back(queries[first + i].data());
      o.push_back(out[i].data());
      sees.push_back(keys_of(first + i));
    }
    std::vector<float> scratch(kernels::attention_scratch_floats(head_dim, value_dim) + 16, std::nanf(""));
    auto* aligned = reinterpret_cast<float*>((reinterpret_cast<std::uintptr_t>(scratch.data()) + 63) / 64 * 64);
    kv.attend({.n_queries = n, .queries = q.data(), .outputs = o.data(), .n_keys = sees.data(), .blocks = table.data(),
               .key_offset = 0, .value_offset = value_offset, .head_dim = head_dim, .value_dim = value_dim,
               .scale = scale(), .scratch = aligned, .soft_cap = variant.soft_cap, .window = variant.window,
               .sinks = variant.has_sinks ? sinks.data() + first : nullptr});
    return out;
  }

  /// The definition, in double, on the numbers before they went to the cache.
  [[nodiscard]] std::vector<double> exact(std::size_t query, const Variant& variant = {}) const {
    std::vector<double> logits, out(value_dim, 0.0);
    const std::size_t end = keys_of(query), begin = end > variant.window ? end - variant.window : 0;
    double max = variant.has_sinks ? static_cast<double>(sinks[query]) : -1e300;
    for (std::size_t i = begin; i < end; ++i) {
      double dot = 0;
      for (std::size_t d = 0; d < head_dim; ++d) dot += static_cast<double>(queries[query][d]) * static_cast<double>(keys[i][d]);
      dot *= static_cast<double>(scale());
      const auto cap = static_cast<double>(variant.soft_cap);
      logits.push_back(cap != 0 ? cap * std::tanh(dot / cap) : dot);
      max = std::max(max, logits.back());
    }
    double sum = variant.has_sinks ? std::exp(static_cast<double>(sinks[query]) - max) : 0;
    for (double& logit : logits) sum += logit = std::exp(logit - max);
    for (std::size_t i = begin; i < end; ++i) {
      for (std::size_t d = 0; d < value_dim; ++d) out[d] += logits[i - begin] / sum * static_cast<double>(values[i][d]);
    }
    return out;
  }

  /// Scores of a few units move by the rounding of keys and queries, values by their own.
  [[nodiscard]] double tolerance() const {
    switch (kv.type) {
      case DType::kF32: return 2e-5;
      case DType::kF16: return 6e-3;
      default: return 6e-2;
    }
  }
  void expect_exact(const std::vector<std::vector<float>>& all, const Variant& variant = {}) const {
    for (std::size_t c = 0; c < all.size(); ++c) {
      const auto wanted = exact(c, variant);
      for (std::size_t d = 0; d < value_dim; ++d) {
        ASSERT_NEAR(static_cast<double>(all[c][d]), wanted[d], tolerance()) << "query " << c << ", dimension " << d;
      }
    }
  }
};

std::vector<const kernels::KvKernels*> types_of(const kernels::KernelTable& table) {
  std::vector<const kernels::KvKernels*> types;
  for (std::size_t i = 0; i < kernels::kKvTypes; ++i) types.push_back(&table.kvs[i]);
  return types;
}

/// Whether results of a type are the same on this table as on the scalar one; see ADR 1.
bool has_own_products(const kernels::KernelTable& table, DType type) {
  const std::string_view name = table.name;
  if (name == "amx") return type != DType::kF32;
  return name == "avx512_bf16" && type == DType::kBF16;
}

using Shape = std::tuple<std::size_t, std::size_t>;  ///< head_dim, n_keys.
class Attention : public testing::TestWithParam<Shape> {};

TEST_P(Attention, IsRightIdenticalOnAllTablesAndForAnyNumberOfQueries) {
  const auto [head_dim, n_keys] = GetParam();
  constexpr std::size_t kQueries = 37;
  for (std::size_t type = 0; type < kernels::kKvTypes; ++type) {
    std::vector<std::vector<float>> expected;
    for (const kernels::KernelTable* table : kernels::available_tables()) {
      const kernels::KvKernels& kv = table->kvs[type];
      SCOPED_TRACE(testing::Message() << table->name << ", " << quant::info(kv.type).name);
      const Head head(kv, head_dim, head_dim, n_keys, kQueries);
      const auto all = head.attend(0, kQueries);
      head.expect_exact(all);
      if (expected.empty()) expected = all;
      if (!has_own_products(*table, kv.type)) {
        EXPECT_EQ(all, expected);
      }
      const std::size_t parts[][2] = {{0, 1}, {36, 1}, {0, 2}, {5, 3}, {20, 4}, {31, 6}, {11, 7}, {3, 12}, {1, 16}, {20, 17}, {0, 33}};
      for (const auto& [first, n] : parts) {
        const auto some = head.attend(first, n);
        for (std::size_t i = 0; i < n; ++i) ASSERT_EQ(some[i], all[first + i]) << first + i << " of " << n << " queries";
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Kernels, Attention,
                         testing::Combine(testing::Values(2, 7, 64, 80, 96, 128), testing::Values(1, 64, 87, 590)));
INSTANTIATE_TEST_SUITE_P(LargeHeads, Attention, testing::Combine(testing::Values(192, 256, 512), testing::Values(75)));

class AttentionVariants : public testing::TestWithParam<Variant> {};

TEST_P(AttentionVariants, AreRightAndIdenticalForAnyNumberOfQueries) {
  const Variant variant = GetParam();
  constexpr std::size_t kQueries = 40;
  for (const kernels::KernelTable* table : kernels::available_tables()) {
    for (const kernels::KvKernels* kv : types_of(*table)) {
      SCOPED_TRACE(testing::Message() << table->name << ", " << quant::info(kv->type).name);
      for (const std::size_t n_keys : {30U, 600U}) {
        const Head head(*kv, 64, 48, n_keys, kQueries);
        const auto all = head.attend(0, kQueries, variant);
        head.expect_exact(all, variant);
        for (std::size_t i = 0; i < kQueries; i += 7) ASSERT_EQ(head.attend(i, 1, variant)[0], all[i]) << i;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Kernels, AttentionVariants,
                         testing::Values(Variant{.window = 1}, Variant{.window = 17}, Variant{.window = 64},
                                         Variant{.window = 500}, Variant{.soft_cap = 0.5F}, Variant{.has_sinks = true},
                                         Variant{.window = 70, .soft_cap = 2.0F, .has_sinks = true}));

TEST(Attention, AsManyQueriesAtOnceAsThereMayBe) {
  for (const kernels::KernelTable* table : kernels::available_tables()) {
    for (const kernels::KvKernels* kv : types_of(*table)) {
      SCOPED_TRACE(testing::Message() << table->name << ", " << quant::info(kv->type).name);
      const Head head(*kv, 64, 64, 200, kernels::kMaxQueries);
      const auto all = head.attend(0, kernels::kMaxQueries);
      head.expect_exact(all);
      for (std::size_t i = 0; i < kernels::kMaxQueries; i += 9) ASSERT_EQ(head.attend(i, 1)[0], all[i]) << i;
    }
  }
}

TEST(Attention, ScoresFarApartNeitherOverflowNorVanish) {
  for (const kernels::KernelTable* table : kernels::available_tables()) {
    for (const kernels::KvKernels* kv : types_of(*table)) {
      Head head(*kv, 64, 64, 600, 4, 3);
      for (auto& query : head.queries) {
        for (float& value : query) value *= 1e4F;
      }
      for (const auto& out : head.attend(0, 4)) {
        for (const float value : out) ASSERT_TRUE(std::isfinite(value)) << table->name;
      }
    }
  }
}

TEST(Attention, NumbersBelowTheNormalOnesCount) {
  constexpr float kUnit = 0x1p-24F;  // the smallest of binary16; whole ones up to 127 are in every type
  for (const kernels::KernelTable* table : kernels::available_tables()) {
    for (const kernels::KvKernels* kv : types_of(*table)) {
      SCOPED_TRACE(testing::Message() << table->name << ", " << quant::info(kv->type).name);
      Head head(*kv, 64, 64, 70, 20);
      for (std::size_t i = 0; i < head.n_keys; ++i) {
        for (std::size_t d = 0; d < 64; ++d) head.values[i][d] = kUnit * static_cast<float>((37 * i + d) % 128);
        head.values[i][i % 64] = 127 * kUnit;  // of Q8_0 what makes the scale
        head.values[i][(i + 32) % 64] = 127 * kUnit;
        auto* block = const_cast<std::uint8_t*>(head.table[i / kKvBlock]);
        kv->store_value(head.values[i].data(), 64, i % kKvBlock, block + head.value_offset);
      }
      for (const std::size_t n : {1U, 20U}) {
        const auto out = head.attend(0, n);
        for (std::size_t c = 0; c < n; ++c) {
          const auto wanted = head.exact(c);
          for (std::size_t d = 0; d < 64; ++d) {
            ASSERT_NEAR(static_cast<double>(out[c][d] / kUnit), wanted[d] / static_cast<double>(kUnit), 2) << d;
          }
        }
      }
    }
  }
}

TEST(Attention, NonsenseStaysVisible) {
  for (const kernels::KernelTable* table : kernels::available_tables()) {
    for (const kernels::KvKernels* kv : types_of(*table)) {
      const Head head(*kv, 64, 64, 10, 1);
      auto* block = const_cast<std::uint8_t*>(head.table[0]);
      std::vector<float> value(64, std::nanf(""));
      kv->store_value(value.data(), 64, 4, block + head.value_offset);
      const auto out = head.attend(0, 1);
      for (const float x : out[0]) ASSERT_TRUE(std::isnan(x)) << table->name;
    }
  }
}

/// Weights of scores less their largest, in base 2, as tables with products of bfloat16 have them (ADR 1).
std::uint16_t bf16_weight(float x) {
  const float whole = std::floor(x), r = x - whole;
  float p = 0.0134266854F;
  for (const float c : {0.0522424716F, 0.2412802066F, 0.6930448445F, 1.0F}) p = std::fma(p, r, c);
  return base::f32_to_bf16(flushed(std::ldexp(p, static_cast<int>(whole))));
}

TEST(Attention, ProductsOfBF16AreTheirOwnToTheBit) {
  for (const kernels::KernelTable* table : kernels::available_tables()) {
    const auto* own = std::ranges::find(kOwnProducts, table->name, &OwnProduct::table);
    if (own == std::end(kOwnProducts)) continue;
    for (const std::size_t head_dim : {7U, 64U, 80U}) {
      for (const std::size_t n_keys : {1U, 37U, 64U}) {  // of one block: no factors between blocks
        SCOPED_TRACE(testing::Message() << table->name << ", heads of " << head_dim << ", " << n_keys << " keys");
        const Head head(*table->kv(DType::kBF16), head_dim, head_dim, n_keys, 1);
        const auto rounded = [](const std::vector<float>& x) {
          std::vector<std::uint16_t> words(x.size());
          std::ranges::transform(x, words.begin(), base::f32_to_bf16);
          return words;
        };
        std::vector<float> scores, sums(16, 0.0F);
        for (const auto& key : head.keys) {
          scores.push_back(own->of(rounded(key), rounded(head.queries[0])) * (head.scale() * 1.44269504F));
        }
        const float max = *std::ranges::max_element(scores);
        std::vector<std::uint16_t> weights;
        for (std::size_t i = 0; i < n_keys; ++i) {
          weights.push_back(bf16_weight(scores[i] - max));
          sums[i % 16] += base::bf16_to_f32(weights[i]);
        }
        for (std::size_t half = 8; half > 0; half /= 2) {
          for (std::size_t i = 0; i < half; ++i) sums[i] += sums[i + half];
        }
        const auto out = head.attend(0, 1)[0];
        for (std::size_t d = 0; d < head_dim; ++d) {
          std::vector<float> values;
          for (const auto& value : head.values) values.push_back(value[d]);
          ASSERT_EQ(out[d], own->of(rounded(values), weights) / sums[0]) << "dimension " << d;
        }
      }
    }
  }
}

}  // namespace
}  // namespace woolly::test
