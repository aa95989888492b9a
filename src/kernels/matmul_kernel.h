// Multiplying packed weights by activations: what a matrix kernel takes and gives. See kernel_table.h.
#pragma once

#include <cstddef>
#include <cstdint>

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

}  // namespace woolly::kernels
