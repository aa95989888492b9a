// What a set of kernels offers. One table for each instruction set, chosen once at start (dispatch.h); the plan binds
// its function pointers, so nothing asks for CPU features after that.
//
// A kernel allocates nothing, knows no threads, logs nothing and works on a tile that the pool can hand out. Plain
// pointers and sizes only: this header is included by translation units with instruction-set flags.
//
// Numbers. Every output has one order of operations (docs/adr/0001-canonical-sums.md): results are the same for any number
// of columns, threads and chunks, and on all tables but for products of bfloat16.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/attention_kernel.h"
#include "kernels/matmul_kernel.h"
#include "kernels/recurrence_kernel.h"
#include "quant/dtype.h"

namespace woolly::kernels {

struct KernelTable {
  const char* name;
  const MatmulKernels* matmuls[4];

  /// out = x / rms(x) * weight; `weight` may be null. The mean of squares is summed in sixteen lanes and a fixed tree.
  void (*rms_norm)(const float* x, const float* weight, float eps, std::size_t n, float* out) noexcept;
  /// Quantizes x[k] to kA32; k % 32 == 0.
  void (*quantize_a32)(const float* x, std::size_t k, const ActStorage& out) noexcept;
  /// Quantizes x[k] to kA256; k % 256 == 0.
  void (*quantize_a256)(const float* x, std::size_t k, const ActStorage& out) noexcept;
  /// Rounds x[k] to nearest, ties to even, to kBF16; NaN stays NaN. Where k is odd, out[k] becomes zero.
  void (*round_bf16)(const float* x, std::size_t k, std::uint16_t* out) noexcept;
  /// out[i] = y[i] * scale + bias[i] (bias may be null), for i < n.
  void (*affine)(const float* y, float scale, const float* bias, std::size_t n, float* out) noexcept;
  /// x[i] += y[i].
  void (*add)(const float* y, std::size_t n, float* x) noexcept;
  /// x[i] += Σ_t weights[t] * tiles[rows[t]][i], in order of t by fused multiply-adds from zero, for i < n. `tiles` has
  /// rows of kPanelRows, and n is at most that.
  void (*add_weighted)(const float* tiles, const std::uint32_t* rows, const float* weights, std::size_t n_terms,
                       std::size_t n, float* x) noexcept;
  /// out[i] = scale * e^(x[i] - max x) / Σ_j e^(x[j] - max x), summed as rms_norm sums; out may be x. NaN everywhere
  /// where x has NaN, positive infinity, or nothing else than negative infinity.
  void (*softmax)(const float* x, float scale, std::size_t n, float* out) noexcept;
  /// out[i] = 1 / (1 + e^(-x[i])); out may be x.
  void (*sigmoid)(const float* x, std::size_t n, float* out) noexcept;
  /// out[i] = silu(gate[i]) * up[i].
  void (*swiglu)(const float* gate, const float* up, std::size_t n, float* out) noexcept;
  /// out[i] = gelu(gate[i]) * up[i], with the tanh form of GELU (https://arxiv.org/abs/1606.08415, section 2).
  void (*geglu)(const float* gate, const float* up, std::size_t n, float* out) noexcept;
  /// out[i] = g / (1 + e^(-1.702 g)) * (1 + u), of g = min(gate[i], 7) and u = up[i] within -7 and 7: gpt-oss.
  void (*clamped_swiglu)(const float* gate, const float* up, std::size_t n, float* out) noexcept;
  /// out[i] = cap * tanh(x[i] / cap).
  void (*soft_cap)(const float* x, float cap, std::size_t n, float* out) noexcept;
  /// out[i] = a[i] * b[i]; out may be either.
  void (*multiply)(const float* a, const float* b, std::size_t n, float* out) noexcept;
  /// out[i] = ln(1 + e^x[i]); out may be x.
  void (*softplus)(const float* x, std::size_t n, float* out) noexcept;
  /// out[i] = e^x[i]; out may be x.
  void (*exp)(const float* x, std::size_t n, float* out) noexcept;
  void (*convolve)(const ConvolutionTask& task) noexcept;
  void (*recur)(const RecurrenceTask& task) noexcept;
  /// Rotates pairs of `head[0 .. n_rot)` in place: (2i, 2i+1) by angle i; `cos_sin` [n_rot / 2][2].
  void (*rope_adjacent)(float* head, const float* cos_sin, std::size_t n_rot) noexcept;
  /// The same for pairs (i, i + n_rot / 2).
  void (*rope_halves)(float* head, const float* cos_sin, std::size_t n_rot) noexcept;

  const KvKernels* kvs;  ///< [kKvTypes].

  /// The roofs (bench/roof.h). Reads `bytes`, a multiple of 512, in 1, 2 or 4 streams with nothing else to do; what
  /// comes back depends on every line, so that none can be left out.
  std::uint64_t (*read_stream)(const std::byte* data, std::size_t bytes, std::size_t n_streams) noexcept;
  /// Multiplies and adds bytes in registers only; gives the number of operations, a product and its sum being two.
  std::uint64_t (*integer_loop)(std::uint64_t n_turns) noexcept;
  /// The same with fused multiply-adds of float32.
  std::uint64_t (*float_loop)(std::uint64_t n_turns) noexcept;
  /// The same with products of bfloat16; nullptr on tables that have none.
  std::uint64_t (*bf16_loop)(std::uint64_t n_turns) noexcept;

  /// The kernels of a type of the cache, or nullptr.
  [[nodiscard]] const KvKernels* kv(quant::DType type) const {
    for (std::size_t i = 0; i < kKvTypes; ++i) {
      if (kvs[i].type == type) return &kvs[i];
    }
    return nullptr;
  }
  /// The kernel of a tensor type, or nullptr.
  [[nodiscard]] const MatmulKernel* matmul(quant::DType type) const {
    for (const MatmulKernels* group : matmuls) {
      for (std::size_t i = 0; i < group->n; ++i) {
        if (group->rows[i].type == type) return &group->rows[i];
      }
    }
    return nullptr;
  }
};

}  // namespace woolly::kernels
