// What recurrent layers do from position to position. Compiled once for each instruction set.
//
// A state's columns are the lanes of vectors, so no sum crosses lanes. 32 columns of a head with keys of 128 are 16 KiB, which
// stay in the first-level cache for as many positions as there are; what is the bound of a single position is reading
// and writing the state once.
#include "kernels/recurrence_kernel.h"

#include "kernels/impl/exp.inl.h"
#include "kernels/impl/lanes.inl.h"
#include "kernels/impl/parts.h"

namespace woolly::kernels::WOOLLY_ISA {
namespace simd = woolly::simd::WOOLLY_ISA;
namespace {

constexpr std::size_t kVectors = kStateColumns / 16;

/// Sums over the elements of a key or query, by columns.
struct Sums {
  simd::F32 of[2][kVectors];  ///< Over even and odd elements.

  static Sums none() {
    Sums sums;
    for (auto& half : sums.of) {
      for (simd::F32& sum : half) sum = simd::splat(0.0F);
    }
    return sums;
  }
  [[nodiscard]] simd::F32 all(std::size_t v) const { return simd::add(of[0][v], of[1][v]); }
};

inline Sums multiply(const float* state, const float* key, std::size_t n) {
  Sums sums = Sums::none();
  for (std::size_t i = 0; i < n; ++i) {
    const simd::F32 factor = simd::splat(key[i]);
    for (std::size_t v = 0; v < kVectors; ++v) {
      simd::F32& sum = sums.of[i % 2][v];
      sum = simd::fma(simd::load(state + i * kStateColumns + 16 * v), factor, sum);
    }
  }
  return sums;
}

/// What a state becomes: `decay` times itself and `key` times `added`.
struct Update {
  const float* before;
  float* after;
  const float* key;
  simd::F32 decay;
  simd::F32 added[kVectors];

  [[nodiscard]] simd::F32 at(std::size_t i, std::size_t v) const {
    const std::size_t offset = i * kStateColumns + 16 * v;
    const simd::F32 state = simd::fma(simd::splat(key[i]), added[v], simd::mul(simd::load(before + offset), decay));
    simd::store(after + offset, state);
    return state;
  }
};

/// Updates a state and multiplies it by a query, and, if kHasNext, by the key of the next position.
template <bool kHasNext>
inline void step(const Update& update, const float* query, const float* next_key, std::size_t n, Sums& of_query, Sums& of_next) {
  const auto element = [&](std::size_t i, std::size_t parity) {
    for (std::size_t v = 0; v < kVectors; ++v) {
      const simd::F32 state = update.at(i, v);
      of_query.of[parity][v] = simd::fma(state, simd::splat(query[i]), of_query.of[parity][v]);
      if constexpr (kHasNext) of_next.of[parity][v] = simd::fma(state, simd::splat(next_key[i]), of_next.of[parity][v]);
    }
  };
  std::size_t i = 0;
  for (; i + 2 <= n; i += 2) {
    element(i, 0);
    element(i + 1, 1);
  }
  if (i < n) element(i, 0);
}

/// Lanes of columns [16 v, 16 v + 16) that there are.
inline std::size_t count_of(std::size_t n_columns, std::size_t v) {
  const std::size_t rest = n_columns > 16 * v ? n_columns - 16 * v : 0;
  return rest < 16 ? rest : 16;
}

}  // namespace

void recur(const RecurrenceTask& task) noexcept {
  const float* state = task.before;
  Sums of_key = task.has_delta_rule ? multiply(state, task.keys, task.key_dim) : Sums::none();
  for (std::size_t t = 0; t < task.n_positions; ++t) {
    const float* values = task.values + t * task.value_stride;
    Update update{state, task.after, task.keys + t * task.key_stride, simd::splat(task.decays[t]), {}};
    simd::F32 value[kVectors];
    for (std::size_t v = 0; v < kVectors; ++v) {
      const std::size_t count = count_of(task.n_columns, v);
      value[v] = count == 0 ? simd::splat(0.0F) : load_some(values + 16 * v, count);
      simd::F32 difference = value[v];
      if (task.has_delta_rule) difference = simd::sub(difference, simd::mul(update.decay, of_key.all(v)));
      update.added[v] = simd::mul(simd::splat(task.weights[t]), difference);
    }
    Sums of_query = Sums::none(), of_next = Sums::none();
    const float* query = task.queries + t * task.key_stride;
    if (task.has_delta_rule && t + 1 < task.n_positions) {
      step<true>(update, query, update.key + task.key_stride, task.key_dim, of_query, of_next);
    } else {
      step<false>(update, query, nullptr, task.key_dim, of_query, of_next);
    }
    of_key = of_next;
    for (std::size_t v = 0; v < kVectors; ++v) {
      const std::size_t count = count_of(task.n_columns, v);
      if (count == 0) continue;
      const simd::F32 out = simd::fma(simd::splat(task.skip), value[v], of_query.all(v));
      store_some(task.out + t * task.out_stride + 16 * v, out, count);
    }
    state = task.after;
  }
}

void convolve(const ConvolutionTask& task) noexcept {
  constexpr std::size_t kMostTaps = 16;
  for_lanes(task.n_columns, [&](std::size_t i, std::size_t count) {
    simd::F32 taps[kMostTaps];
    for (std::size_t t = 0; t < task.n_taps; ++t) {
      float of_columns[16] = {};
      for (std::size_t j = 0; j < count; ++j) of_columns[j] = task.taps[(i + j) * task.n_taps + t];
      taps[t] = simd::load(of_columns);
    }
    const simd::F32 bias = task.bias == nullptr ? simd::splat(0.0F) : load_some(task.bias + i, count);
    for (std::size_t position = 0; position < task.n_positions; ++position) {
      simd::F32 sum = simd::splat(0.0F);
      for (std::size_t t = 0; t < task.n_taps; ++t) {
        sum = simd::fma(taps[t], load_some(task.inputs[position + t] + i, count), sum);
      }
      if (task.bias != nullptr) sum = simd::add(sum, bias);
      if (task.has_silu) sum = simd::div(sum, simd::add(simd::splat(1.0F), exp(simd::sub(simd::splat(0.0F), sum))));
      store_some(task.outputs[position] + i, sum, count);
    }
  });
}

}  // namespace woolly::kernels::WOOLLY_ISA
