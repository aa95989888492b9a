// The packed layout of weights: what pack writes and the matrix kernels read, the same for all instruction sets so far.
//
// A panel is 32 rows by the whole of k, made of blocks of block_k columns in order; rows beyond the matrix are zero.
// A block takes exactly the bytes of its 32 file blocks: nothing is widened. Inside a block:
//
//   words  [n_words][32]  16-bit fields of the file block (scales), row by row
//   bytes  [n_bytes][32]  8-bit fields of the file block (small scales and their bits), row by row
//   then for each 32 columns, the planes that the code of a weight is split into:
//   6-bit plane   4 pairs of groups x 3 lines; with the codes v0, v1 (rows 0-15 and 16-31 of the first group), v2, v3 (of
//                 the second): v0 | v3 >> 4 << 6, v1 | (v3 >> 2 & 3) << 6, v2 | (v3 & 3) << 6
//   8-bit plane   8 groups of 4 columns x 2 lines of 64 bytes; line h: byte 4L+j = code of row 16h+L, column 4g+j
//   4-bit plane   8 lines; line g: byte 4L+j = code of row L | code of row 16+L << 4, column 4g+j
//   2-bit plane   4 lines; line g/2: the same bytes, field (g%2)*2+h of two bits for row 16h+L
//   1-bit plane   2 lines; line g/4: the same bytes, bit (g%4)*2+h
//
// A line thus holds 16 rows by 4 columns in the order that a four-way int8 dot product wants, with rows as lanes, so
// that no sum ever crosses lanes. Float types have blocks of one column: 32 elements, row by row.
// Included by translation units with instruction-set flags: nothing here may become a weak symbol.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/kernel_table.h"
#include "quant/dtype.h"

namespace woolly::kernels {

struct PanelFormat {
  quant::DType type;
  std::uint32_t block_k;
  std::uint32_t block_bytes;  ///< Of one row in the file; a packed block has 32 times as many.
  std::uint32_t n_words, words_at;  ///< 16-bit fields, and where they begin in the file block.
  std::uint32_t n_bytes, bytes_at;  ///< 8-bit fields likewise.
  bool plane8, plane6, plane4, plane2, plane1;

  [[nodiscard, gnu::always_inline]] constexpr std::uint32_t header_bytes() const { return 32 * (2 * n_words + n_bytes); }
  /// Of the planes of 32 columns.
  [[nodiscard, gnu::always_inline]] constexpr std::uint32_t sub_bytes() const {
    return (plane8 ? 1024U : 0U) + (plane6 ? 768U : 0U) + (plane4 ? 512U : 0U) + (plane2 ? 256U : 0U) + (plane1 ? 128U : 0U);
  }
  [[nodiscard, gnu::always_inline]] constexpr std::uint32_t packed_bytes() const { return 32 * block_bytes; }
};

/// The rows of the quantized types; float types are packed element by element.
/// Type, block_k, block_bytes, words and where, bytes and where, planes of 8, 6, 4, 2 and 1 bits.
static constexpr PanelFormat kPanelFormats[] = {
    {quant::DType::kQ4_0, 32, 18, 1, 0, 0, 0, false, false, true, false, false},
    {quant::DType::kQ4_1, 32, 20, 2, 0, 0, 0, false, false, true, false, false},
    {quant::DType::kQ5_0, 32, 22, 1, 0, 0, 0, false, false, true, false, true},
    {quant::DType::kQ5_1, 32, 24, 2, 0, 0, 0, false, false, true, false, true},
    {quant::DType::kQ8_0, 32, 34, 1, 0, 0, 0, true, false, false, false, false},
    {quant::DType::kQ2_K, 256, 84, 2, 80, 16, 0, false, false, false, true, false},
    {quant::DType::kQ3_K, 256, 110, 1, 108, 12, 96, false, false, false, true, true},
    {quant::DType::kQ4_K, 256, 144, 2, 0, 12, 4, false, false, true, false, false},
    {quant::DType::kQ5_K, 256, 176, 2, 0, 12, 4, false, false, true, false, true},
    {quant::DType::kQ6_K, 256, 210, 1, 208, 16, 192, false, true, false, false, false},
    {quant::DType::kIQ4_NL, 32, 18, 1, 0, 0, 0, false, false, true, false, false},
    {quant::DType::kIQ4_XS, 256, 136, 2, 0, 4, 4, false, false, true, false, false},
    {quant::DType::kMXFP4, 32, 17, 0, 0, 1, 0, false, false, true, false, false},
};

/// The row of a quantized type; there must be one.
static constexpr const PanelFormat& panel_format(quant::DType type) {
  std::size_t i = 0;
  while (kPanelFormats[i].type != type) ++i;
  return kPanelFormats[i];
}

static constexpr bool sizes_agree() {
  for (const PanelFormat& f : kPanelFormats) {
    if (f.header_bytes() + f.block_k / 32 * f.sub_bytes() != f.packed_bytes()) return false;
  }
  return true;
}
static_assert(sizes_agree(), "a packed block takes exactly the bytes of its file blocks");

/// Packs rows [0, n_rows) of a matrix, each `row_stride` bytes after the last and `k` columns long in file layout, to one panel;
/// n_rows <= 32, the other rows become zero (codes and scales). `panel` holds k / block_k * packed bytes.
void pack_panel(quant::DType type, const std::byte* rows, std::size_t row_stride, std::size_t n_rows, std::size_t k,
                std::uint8_t* panel) noexcept;

/// The inverse for one row (0 .. 31): its `k` columns in file layout.
void unpack_row(quant::DType type, const std::uint8_t* panel, std::size_t row, std::size_t k, std::byte* out) noexcept;

/// The bytes of a panel of `k` columns.
std::size_t panel_bytes(quant::DType type, std::size_t k) noexcept;

}  // namespace woolly::kernels
