#include "kernels/recurrence_kernel.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "kernels/dispatch.h"
#include "kernels/support.h"

namespace woolly::test {
namespace {

constexpr std::size_t kSizes[] = {1, 2, 15, 16, 17, 31, 32};

std::vector<float> random_floats(std::size_t n, std::mt19937& random, float spread = 1.0F) {
  std::normal_distribution<float> normal(0.0F, spread);
  std::vector<float> values(n);
  for (float& value : values) value = normal(random);
  return values;
}

TEST(Convolution, IsIdenticalOnAllTablesAndRight) {
  std::mt19937 random(5);
  constexpr std::size_t kPositions = 3;
  for (const std::size_t n : {1U, 15U, 16U, 17U, 100U}) {
    for (const std::size_t n_taps : {2U, 3U, 4U, 16U}) {
      const auto taps = random_floats(n * n_taps, random), bias = random_floats(n, random);
      const std::size_t n_inputs = n_taps - 1 + kPositions;
      const auto in = random_floats(n_inputs * n, random);
      std::vector<const float*> inputs;
      for (std::size_t i = 0; i < n_inputs; ++i) inputs.push_back(in.data() + i * n);
      std::vector<float> first;
      for (const kernels::KernelTable* table : kernels::available_tables()) {
        std::vector<float> out(2 * kPositions * n);
        std::vector<float*> outputs, plain;
        for (std::size_t i = 0; i < kPositions; ++i) {
          outputs.push_back(out.data() + i * n);
          plain.push_back(out.data() + (kPositions + i) * n);
        }
        kernels::ConvolutionTask task{kPositions, n, taps.data(), n_taps, nullptr, false, inputs.data(), plain.data()};
        table->convolve(task);
        task.bias = bias.data();
        task.has_silu = true;
        task.outputs = outputs.data();
        table->convolve(task);
        for (std::size_t position = 0; position < kPositions; ++position) {
          for (std::size_t i = 0; i < n; ++i) {
            float sum = 0;
            for (std::size_t t = 0; t < n_taps; ++t) sum = std::fma(taps[i * n_taps + t], inputs[position + t][i], sum);
            ASSERT_EQ(plain[position][i], sum) << table->name;
            const double with_bias = static_cast<double>(sum + bias[i]);
            const double expected = with_bias / (1 + std::exp(-with_bias));
            ASSERT_NEAR(static_cast<double>(outputs[position][i]), expected, std::abs(expected) * 4 * 0x1p-23) << table->name;
          }
        }
        if (first.empty()) first = out;
        ASSERT_TRUE(out == first) << table->name;
      }
    }
  }
}

struct Recurrence {
  std::size_t key_dim, n_columns, n_positions;
  bool has_delta_rule;
  std::vector<float> keys, queries, values, decays, weights, before;
  float skip;

  Recurrence(std::size_t k, std::size_t columns, std::size_t positions, bool delta, std::mt19937& random)
      : key_dim(k),
        n_columns(columns),
        n_positions(positions),
        has_delta_rule(delta),
        keys(random_floats(positions * k, random)),
        queries(random_floats(positions * k, random)),
        values(random_floats(positions * columns, random)),
        decays(random_floats(positions, random, 0.3F)),
        weights(random_floats(positions, random, 0.3F)),
        before(random_floats(k * kernels::kStateColumns, random)),
        skip(delta ? 0.0F : 0.7F) {}

  /// In calls of `at_once` positions, in place if `in_place`; the outputs, and the state behind them.
  [[nodiscard]] std::vector<float> run(const kernels::KernelTable& table, std::size_t at_once, bool in_place) const {
    std::vector<float> out(n_positions * n_columns), state = before, other(before.size(), NAN);
    float* from = state.data();
    float* to = in_place ? from : other.data();
    for (std::size_t first = 0; first < n_positions; first += at_once) {
      table.recur({.n_positions = std::min(at_once, n_positions - first),
                   .key_dim = key_dim,
                   .n_columns = n_columns,
                   .has_delta_rule = has_delta_rule,
                   .keys = keys.data() + first * key_dim,
                   .queries = queries.data() + first * key_dim,
                   .key_stride = key_dim,
                   .values = values.data() + first * n_columns,
                   .value_stride = n_columns,
                   .decays = decays.data() + first,
                   .weights = weights.data() + first,
                   .skip = skip,
                   .before = from,
                   .after = to,
                   .out = out.data() + first * n_columns,
                   .out_stride = n_columns});
      if (!in_place) std::swap(from, to);
    }
    const float* last = in_place ? to : from;
    for (std::size_t i = 0; i < key_dim; ++i) {
      for (std::size_t c = 0; c < n_columns; ++c) out.push_back(last[i * kernels::kStateColumns + c]);
    }
    return out;
  }

  /// The definition, in double precision.
  [[nodiscard]] std::vector<double> expected() const {
    std::vector<double> out, state(key_dim * n_columns);
    for (std::size_t i = 0; i < key_dim; ++i) {
      for (std::size_t c = 0; c < n_columns; ++c) {
        state[i * n_columns + c] = static_cast<double>(before[i * kernels::kStateColumns + c]);
      }
    }
    for (std::size_t t = 0; t < n_positions; ++t) {
      for (std::size_t c = 0; c < n_columns; ++c) {
        double along = 0, y = 0;
        for (std::size_t i = 0; i < key_dim; ++i) {
          double& s = state[i * n_columns + c];
          s *= static_cast<double>(decays[t]);
          along += s * static_cast<double>(keys[t * key_dim + i]);
        }
        const auto value = static_cast<double>(values[t * n_columns + c]);
        const double added = static_cast<double>(weights[t]) * (has_delta_rule ? value - along : value);
        for (std::size_t i = 0; i < key_dim; ++i) {
          double& s = state[i * n_columns + c];
          s += static_cast<double>(keys[t * key_dim + i]) * added;
          y += s * static_cast<double>(queries[t * key_dim + i]);
        }
        out.push_back(y + static_cast<double>(skip) * value);
      }
    }
    out.insert(out.end(), state.begin(), state.end());
    return out;
  }
};

TEST(Recurrence, IsIdenticalOnAllTablesHoweverPositionsAreCutAndRight) {
  std::mt19937 random(7);
  for (const std::size_t n_columns : kSizes) {
    for (const std::size_t key_dim : {1U, 2U, 9U, 64U}) {
      for (const bool has_delta_rule : {false, true}) {
        const Recurrence recurrence(key_dim, n_columns, 5, has_delta_rule, random);
        const std::vector<double> expected = recurrence.expected();
        const std::vector<float> first = recurrence.run(*kernels::available_tables().front(), 5, true);
        double largest = 1;
        for (const double value : expected) largest = std::max(largest, std::abs(value));
        for (std::size_t i = 0; i < first.size(); ++i) {
          // Five positions of sums over at most 64 elements, each of which may lose half a unit of the largest number there is.
          ASSERT_NEAR(static_cast<double>(first[i]), expected[i], largest * 5 * 64 * 0x1p-24);
        }
        for (const kernels::KernelTable* table : kernels::available_tables()) {
          for (const std::size_t at_once : {1U, 2U, 5U}) {
            ASSERT_TRUE(recurrence.run(*table, at_once, true) == first) << table->name << ", " << at_once;
            ASSERT_TRUE(recurrence.run(*table, at_once, false) == first) << table->name << ", " << at_once;
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace woolly::test
