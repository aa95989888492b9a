// The packed layout of weights: what pack writes and the matrix kernels read, the same for all instruction sets so far.
//
// A panel is 32 rows by the whole of k, made of blocks of block_k columns in order; rows beyond the matrix are zero.
// A block takes exactly the bytes of its 32 file blocks: nothing is widened. Only TQ1_0 and the types with codebooks, whose
// file blocks have no code for each weight, become flat blocks (quant/blocks.h) first, of 1.2 to 1.9 times the bytes
// (docs/adr/0005-codebooks-become-codes.md). Inside a block:
//
//   words  [n_words][32]  16-bit fields of the file block (scales), row by row
//   bytes  [n_bytes][32]  8-bit fields of the file block (small scales and their bits), row by row
//   then for each 32 columns, the planes that the codes of the weights are split into: one of the low bits of each code
//   and, behind it, one of the high bits, if the file keeps them apart
//
// A plane is made of lines of 64 bytes. Byte 4L+j of a line belongs to row L or 16+L and to column j of a group of four:
//
//   n-bit plane   2n lines; group g (0..7), rows 16h+L: bits v*n%8 and on of line v*n/8, where v = 2g+h
//   6-bit plane   in place of a 4-bit and a 2-bit plane: 3 lines for each pair of groups; with the codes v0, v1 (rows 0-15
//                 and 16-31 of the first group), v2, v3 (of the second): v0 | v3 >> 4 << 6, v1 | (v3 >> 2 & 3) << 6,
//                 v2 | (v3 & 3) << 6
//
// A line thus holds 16 rows by 4 columns in the order that a four-way int8 dot product wants, with rows as lanes, so
// that no sum ever crosses lanes. Float types have blocks of one column: 32 elements, row by row; but BF16 has lines of
// sixteen rows by two columns (rows 0-15, then 16-31; a last column without a second has zeros beside it), which is what
// products of bfloat16 want and what a shift and a mask make floats of.
// Included by translation units with instruction-set flags: nothing here may become a weak symbol.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/matmul_kernel.h"
#include "quant/dtype.h"
#include "quant/flat.h"

namespace woolly::kernels {

/// Where a file block has some bits of every code: those of column i are the field i / span % n of byte
/// at + i / (span * n) * span + i % span, with n = 8 / n_bits fields in a byte.
struct CodeBits {
  std::uint32_t n_bits;  ///< 1, 2, 4 or 8; 0 where there are none.
  std::uint32_t at, span;

  [[nodiscard, gnu::always_inline]] constexpr std::size_t byte_of(std::size_t column) const {
    return at + column / (span * (8 / n_bits)) * span + column % span;
  }
  [[nodiscard, gnu::always_inline]] constexpr unsigned shift_of(std::size_t column) const {
    return static_cast<unsigned>(column / span % (8 / n_bits)) * n_bits;
  }
  [[nodiscard, gnu::always_inline]] constexpr unsigned mask() const { return (1U << n_bits) - 1; }
};

struct PanelFormat {
  quant::DType type;
  std::uint32_t block_k;
  std::uint32_t block_bytes;  ///< Of one row in the file, or of its flat block; a packed block has 32 times as many.
  std::uint32_t n_words, words_at;  ///< 16-bit fields, and where they begin in the file block.
  std::uint32_t n_bytes, bytes_at;  ///< 8-bit fields likewise.
  CodeBits low, high;
  std::uint32_t file_bytes = 0;  ///< Where blocks are flat (quant/blocks.h): of one row in the file ...
  void (*flatten)(const std::uint8_t* block, std::uint8_t* flat) noexcept = nullptr;  ///< ... and how it becomes one.

  [[nodiscard, gnu::always_inline]] constexpr bool is_flat() const { return file_bytes != 0; }
  [[nodiscard, gnu::always_inline]] constexpr std::uint32_t row_bytes() const { return is_flat() ? file_bytes : block_bytes; }
  [[nodiscard, gnu::always_inline]] constexpr std::uint32_t header_bytes() const { return 32 * (2 * n_words + n_bytes); }
  /// Of the planes of 32 columns.
  [[nodiscard, gnu::always_inline]] constexpr std::uint32_t sub_bytes() const { return 128 * (low.n_bits + high.n_bits); }
  [[nodiscard, gnu::always_inline]] constexpr std::uint32_t packed_bytes() const { return 32 * block_bytes; }
  [[nodiscard, gnu::always_inline]] constexpr bool has_plane6() const { return low.n_bits == 4 && high.n_bits == 2; }
};

/// The rows of the quantized types; float types are packed element by element.
/// Type, block_k, block_bytes, words and where, bytes and where, low bits of the codes, high bits.
static constexpr PanelFormat kPanelFormats[] = {
    {quant::DType::kQ4_0, 32, 18, 1, 0, 0, 0, {4, 2, 16}, {}},
    {quant::DType::kQ4_1, 32, 20, 2, 0, 0, 0, {4, 4, 16}, {}},
    {quant::DType::kQ5_0, 32, 22, 1, 0, 0, 0, {4, 6, 16}, {1, 2, 1}},
    {quant::DType::kQ5_1, 32, 24, 2, 0, 0, 0, {4, 8, 16}, {1, 4, 1}},
    {quant::DType::kQ8_0, 32, 34, 1, 0, 0, 0, {8, 2, 32}, {}},
    {quant::DType::kQ2_K, 256, 84, 2, 80, 16, 0, {2, 16, 32}, {}},
    {quant::DType::kQ3_K, 256, 110, 1, 108, 12, 96, {2, 32, 32}, {1, 0, 32}},
    {quant::DType::kQ4_K, 256, 144, 2, 0, 12, 4, {4, 16, 32}, {}},
    {quant::DType::kQ5_K, 256, 176, 2, 0, 12, 4, {4, 48, 32}, {1, 16, 32}},
    {quant::DType::kQ6_K, 256, 210, 1, 208, 16, 192, {4, 0, 64}, {2, 128, 32}},
    {quant::DType::kIQ4_NL, 32, 18, 1, 0, 0, 0, {4, 2, 16}, {}},
    {quant::DType::kIQ4_XS, 256, 136, 2, 0, 4, 4, {4, 8, 16}, {}},
    {quant::DType::kMXFP4, 32, 17, 0, 0, 1, 0, {4, 1, 16}, {}},
    {quant::DType::kIQ1_S, 256, 70, 1, 0, 4, 2, {2, 6, 32}, {}, 50, quant::flatten_iq1_s},
    {quant::DType::kIQ1_M, 256, 106, 1, 0, 8, 2, {2, 10, 32}, {1, 74, 32}, 56, quant::flatten_iq1_m},
    {quant::DType::kIQ2_XXS, 256, 102, 1, 0, 4, 2, {2, 6, 32}, {1, 70, 32}, 66, quant::flatten_iq2_xxs},
    {quant::DType::kIQ2_XS, 256, 106, 1, 0, 8, 2, {2, 10, 32}, {1, 74, 32}, 74, quant::flatten_iq2_xs},
    {quant::DType::kIQ2_S, 256, 106, 1, 0, 8, 2, {2, 10, 32}, {1, 74, 32}, 82, quant::flatten_iq2_s},
    {quant::DType::kIQ3_XXS, 256, 134, 1, 0, 4, 2, {4, 6, 16}, {}, 98, quant::flatten_iq3_xxs},
    {quant::DType::kIQ3_S, 256, 134, 1, 0, 4, 2, {4, 6, 16}, {}, 110, quant::flatten_iq3_s},
    {quant::DType::kTQ1_0, 256, 66, 1, 64, 0, 0, {2, 0, 32}, {}, 54, quant::flatten_tq1_0},
    {quant::DType::kTQ2_0, 256, 66, 1, 64, 0, 0, {2, 0, 32}, {}},
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
static_assert(sizes_agree(), "a packed block takes exactly the bytes of its file blocks or of their flat ones");

/// One row (0 .. 31) of a panel as the file has it, or in flat blocks where the type has them: `k` columns.
void unpack_row(quant::DType type, const std::uint8_t* panel, std::size_t row, std::size_t k, std::byte* out) noexcept;

/// The bytes of a panel of `k` columns: those of its file blocks or of their flat ones, and of a column more for BF16 where
/// k is odd.
std::size_t panel_bytes(quant::DType type, std::size_t k) noexcept;

}  // namespace woolly::kernels
