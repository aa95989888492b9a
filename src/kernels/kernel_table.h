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

#include "kernels/kv_format.h"
#include "quant/dtype.h"

namespace woolly::kernels {

/// How a matrix kernel wants its activations.
enum class ActFormat : std::uint8_t {
  kF32,   ///< float32 as they are: for F32, F16 and, on tables without products of bfloat16, BF16 weights.
  kA32,   ///< int8 with a float scale and a sum for each 32: for types with blocks of 32.
  kA256,  ///< int8 with a float scale for each 256 and sums for each 16: for types with blocks of 256.
  kBF16,  ///< bfloat16: for BF16 weights on tables with products of bfloat16.
};
inline constexpr std::size_t kActFormats = 4;

/// One column of activations (one token's vector of length k) in the format that the kernel wants. Quantized values
/// are round-half-even(x * 127 / amax) in [-127, 127]; a block that holds NaN or infinity has scale NaN and zeros.
struct ActColumn {
  const float* x = nullptr;             ///< kF32: [k].
  const std::int8_t* q = nullptr;       ///< kA32, kA256: [k].
  const float* scale = nullptr;         ///< kA32: [k / 32], of eleven significant bits; kA256: [k / 256].
  const std::int16_t* sums32 = nullptr; ///< kA32, kA256: sums of 32 values of q, [k / 32].
  const std::int16_t* sums16 = nullptr; ///< kA256: sums of 16, [k / 16].
  const float* scaled_sums = nullptr;   ///< kA32: scale * sum, exact, [k / 32].
  const std::uint16_t* bf16 = nullptr;  ///< kBF16: [k], and a zero behind them where k is odd.
};

/// The same arrays, to be written by the quantizers.
struct ActStorage {
  std::int8_t* q;
  float* scale;
  std::int16_t* sums32;
  std::int16_t* sums16;
  float* scaled_sums;
};

/// Rows of a panel: the unit in which weights are packed and matrix kernels work.
inline constexpr std::size_t kPanelRows = 32;

/// The packed layout of a type and its kernel; see panel_format.h for the layout.
struct MatmulKernel {
  quant::DType type;
  ActFormat act;
  /// Multiplies one panel by columns: `tile[c][r] = Σ_k w[r, k] * x[c, k]`, tile `[n_columns, kPanelRows]`.
  /// `k` is a multiple of the type's block.
  void (*run)(const std::uint8_t* panel, std::size_t k, const ActColumn* columns, std::size_t n_columns,
              float* tile) noexcept;
  /// The same of kPanelRows rows as the file has them, `row_stride` bytes apart and at any alignment, by one column:
  /// `y[r] = Σ_k w[r, k] * x[k]`, to the bit what `run` gives for their panel. nullptr for types whose rows in the file have
  /// no codes: floats, and those of flat blocks (quant/blocks.h).
  void (*run_rows)(const std::uint8_t* rows, std::size_t row_stride, std::size_t k, const ActColumn& column,
                   float* y) noexcept;
  /// Packs rows of a matrix as the file has them, `row_stride` bytes apart and at any alignment, to one panel
  /// (panel_format.h) of k columns. n_rows is at most kPanelRows; the panel's other rows become zero.
  void (*pack)(const std::uint8_t* rows, std::size_t row_stride, std::size_t n_rows, std::size_t k,
               std::uint8_t* panel) noexcept;
};

struct MatmulKernels {
  const MatmulKernel* rows;
  std::size_t n;
};

/// Some query vectors of one key-value head and where their keys and values are.
struct AttentionTask {
  std::size_t n_queries;            ///< 1 to kMaxQueries.
  const float* const* queries;      ///< [n_queries] pointers to [head_dim].
  float* const* outputs;            ///< [n_queries] pointers to [value_dim].
  const std::uint32_t* n_keys;      ///< [n_queries]: the query sees keys 0 .. n_keys - 1; at least 1.
  const std::uint8_t* const* blocks;///< Block table: [ceil(max n_keys / kKvBlock)] addresses of blocks.
  std::size_t key_offset;           ///< Of this head's keys in a block, in bytes (kv_format.h).
  std::size_t value_offset;         ///< Of this head's values in a block, in bytes.
  std::size_t head_dim;
  std::size_t value_dim;
  float scale;                      ///< The softmax sees scale * q·k ...
  float* scratch;                   ///< attention_scratch_floats(head_dim, value_dim), 64-byte aligned.
  float soft_cap = 0.0F;            ///< ... or, where this is not 0, soft_cap * tanh(scale * q·k / soft_cap).
  std::uint32_t window = 0xFFFFFFFF;///< Of its keys a query sees the last `window`; at least 1.
  const float* sinks = nullptr;     ///< [n_queries]: logits of one more key whose value is zero; nullptr: none.
};

/// Query vectors that share one pass over keys and values.
inline constexpr std::size_t kMaxQueries = 128;

/// Enough for the queries, a block's keys or values in another type, scores and outputs; see attention.inl.h.
static constexpr std::size_t attention_scratch_floats(std::size_t head_dim, std::size_t value_dim) {
  const std::size_t key_dim = (head_dim + 31) / 32 * 32, padded = (value_dim + 31) / 32 * 32;
  const std::size_t wider = key_dim > padded ? key_dim : padded;
  return kMaxQueries * (key_dim + 2 * kKvBlock + 3 * padded) + 2 * kKvBlock * wider +
         wider / kKvScaleBlock * 2 * kKvBlock + 6 * 16 * kKvBlock;
}

/// One type of the key-value cache: F32, F16, BF16 or Q8_0.
struct KvKernels {
  quant::DType type;
  /// Writes one key to position `slot` (0 .. kKvBlock - 1) of a head's keys.
  void (*store_key)(const float* key, std::size_t head_dim, std::size_t slot, std::uint8_t* keys) noexcept;
  /// Writes one value to position `slot` of a head's values; the padding becomes zero.
  void (*store_value)(const float* value, std::size_t value_dim, std::size_t slot, std::uint8_t* values) noexcept;
  void (*attend)(const AttentionTask& task) noexcept;
};
inline constexpr std::size_t kKvTypes = 4;

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
  /// out[i] = Σ_t taps[i * n_taps + t] * rows[t][i], in order of t by fused multiply-adds from zero, for i < n.
  void (*convolve)(const float* taps, std::size_t n_taps, const float* const* rows, std::size_t n, float* out) noexcept;
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
