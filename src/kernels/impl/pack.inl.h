// Rows of a file to a panel (panel_format.h), for every weight type.
//
// Sixteen bytes of sixteen rows are read and transposed at once, so that a vector has rows as lanes and four bytes of a
// file block in each: with the same bits of four columns, just as the lines of a plane want them. What is left are shifts
// and masks. No read leaves a block: the file may end with it.
#pragma once

#include "kernels/impl/unpack.inl.h"
#include "kernels/matmul_kernel.h"
#include "kernels/panel_format.h"
#include "simd/vec.h"

namespace woolly::kernels::WOOLLY_ISA {
namespace simd = woolly::simd::WOOLLY_ISA;
namespace {

using quant::DType;

/// Bytes of a row that are read at once.
constexpr std::size_t kWindow = 16;

/// Asks for the line at `at` of rows that are soon to be read. Rows side by side are more streams than the hardware's
/// prefetcher follows, so the next ones are asked for line after line. Twice: from memory to the second-level cache, and
/// from there to the first when it has come. Loads that miss the first wait for a place among those under way to memory.
/// On a Xeon with AMX single columns of Q4_K come at 22 GB/s with one request for a line, at 30 GB/s with both.
inline void prefetch_line(const std::uint8_t* at) {
  constexpr std::size_t kAhead = 1024;
  __builtin_prefetch(at, 0, 3);
  __builtin_prefetch(at + kAhead, 0, 2);
}

inline void load_window(const std::uint8_t* rows, std::size_t stride, simd::I32 (&quads)[kWindow / 4]) {
  simd::Bytes bytes[kWindow / 4];
  simd::load_transposed(rows, stride, bytes);
  WOOLLY_UNROLL
  for (std::size_t i = 0; i < kWindow / 4; ++i) quads[i] = simd::as_i32(bytes[i]);
}

/// kN fields of the header of sixteen rows, of kBytes bytes each and the first at kAt of the file block, to the first or
/// the second half of each line of [kN][32].
template <DType kType, std::size_t kBytes, std::size_t kAt, std::size_t kN>
inline void pack_fields(const std::uint8_t* rows, std::size_t stride, std::uint8_t* out) {
  constexpr std::size_t kLast = panel_format(kType).block_bytes - kWindow;
  constexpr std::size_t kFrom = kAt < kLast ? kAt : kLast;
  simd::I32 quads[kWindow / 4];
  load_window(rows + kFrom, stride, quads);
  WOOLLY_UNROLL
  for (std::size_t i = 0; i < kN; ++i) {
    const std::size_t at = kAt - kFrom + kBytes * i;
    const simd::I32 field = simd::shift_right_by(quads[at / 4], static_cast<int>(at % 4 * 8));
    std::uint8_t* to = out + kBytes * kPanelRows * i;
    if constexpr (kBytes == 2) {
      simd::store_low16(to, field);
    } else {
      simd::store_low8(to, field);
    }
  }
}

/// The header of a block of sixteen rows, as the first or the second half of a panel has it.
template <DType kType>
inline void pack_header(const std::uint8_t* rows, std::size_t stride, std::size_t h, std::uint8_t* block) {
  constexpr PanelFormat kFormat = panel_format(kType);
  if constexpr (kFormat.n_words > 0) {
    pack_fields<kType, 2, kFormat.words_at, kFormat.n_words>(rows, stride, block + 32 * h);
  }
  if constexpr (kFormat.n_bytes > 0) {
    pack_fields<kType, 1, kFormat.bytes_at, kFormat.n_bytes>(rows, stride, block + 64 * kFormat.n_words + 16 * h);
  }
}

/// The low or the high bits of the codes of a block of sixteen rows: the bytes of the file that have them, transposed.
template <DType kType, bool kAreHigh>
struct CodeLines {
  static constexpr CodeBits kBits = kAreHigh ? panel_format(kType).high : panel_format(kType).low;
  static constexpr std::size_t kBytes = panel_format(kType).block_k * kBits.n_bits / 8;
  static constexpr std::size_t kWindows = (kBytes + kWindow - 1) / kWindow;
  simd::I32 quads[kWindows][kWindow / 4];

  CodeLines(const std::uint8_t* rows, std::size_t stride) {
    WOOLLY_UNROLL
    for (std::size_t w = 0; w < kWindows; ++w) load_window(rows + kBits.at + kWindow * w, stride, quads[w]);
  }

  /// Those of four columns from `column` on, each in a byte.
  [[nodiscard]] simd::I32 columns(std::size_t column) const {
    if constexpr (kBits.span == 1) {  // side by side in a byte: the product gives each its own
      const simd::I32 nibble = simd::shift_right_by(quads[0][0], static_cast<int>(column));
      const simd::I32 spread = simd::mul(simd::bit_and(nibble, simd::splat_i32(0x0F)), simd::splat_i32(0x00204081));
      return simd::bit_and(spread, simd::splat_i32(0x01010101));
    } else {
      const std::size_t at = kBits.byte_of(column) - kBits.at;
      const simd::I32 line = quads[at / kWindow][at % kWindow / 4];
      return simd::bit_and(simd::shift_right_by(line, static_cast<int>(kBits.shift_of(column))),
                           simd::as_i32(simd::splat_bytes(kBits.mask())));
    }
  }
};

inline void put_line(std::uint8_t* to, simd::I32 line) { simd::store(to, simd::as_bytes(line)); }

/// Of both halves of the rows, in turn: columns 32 s + 4 g and on of half v % 2, group g = v / 2.
template <DType kType, bool kAreHigh>
struct PanelLines {
  using Lines = CodeLines<kType, kAreHigh>;
  static constexpr CodeBits kBits = Lines::kBits;
  Lines halves[2];

  PanelLines(const std::uint8_t* rows, std::size_t stride)
      : halves{Lines(rows, stride), Lines(rows + 16 * stride, stride)} {}
  [[nodiscard]] simd::I32 columns(std::size_t s, std::size_t v) const {
    return halves[v % 2].columns(32 * s + v / 2 * 4);
  }
};

/// The plane of these bits of columns 32 s and on.
template <typename Lines>
inline void pack_plane(const Lines& lines, std::size_t s, std::uint8_t* plane) {
  constexpr std::size_t kBits = Lines::kBits.n_bits, kFields = 8 / kBits;
  WOOLLY_UNROLL
  for (std::size_t v = 0; v < 16; v += kFields) {
    simd::I32 line = lines.columns(s, v);
    WOOLLY_UNROLL
    for (std::size_t i = 1; i < kFields; ++i) {
      line = simd::bit_or(line, simd::shift_left_by(lines.columns(s, v + i), static_cast<int>(kBits * i)));
    }
    put_line(plane + 64 * (v / kFields), line);
  }
}

/// The 6-bit plane of columns 32 s and on.
template <typename Low, typename High>
inline void pack_plane6(const Low& low, const High& high, std::size_t s, std::uint8_t* plane) {
  WOOLLY_UNROLL
  for (std::size_t v = 0; v < 16; v += 4) {
    // Two bits of the last code go atop each of the first three: bits 4 and 5, 2 and 3, 0 and 1.
    const simd::I32 last = low.columns(s, v + 3), top = simd::as_i32(simd::splat_bytes(0xC0));
    const simd::I32 tops[3] = {simd::shift_left<6>(high.columns(s, v + 3)), simd::bit_and(simd::shift_left<4>(last), top),
                               simd::bit_and(simd::shift_left<6>(last), top)};
    WOOLLY_UNROLL
    for (std::size_t i = 0; i < 3; ++i) {
      const simd::I32 code = simd::bit_or(low.columns(s, v + i), simd::shift_left<4>(high.columns(s, v + i)));
      put_line(plane + 48 * v + 64 * i, simd::bit_or(code, tops[i]));
    }
  }
}

/// A block of 32 rows, `stride` bytes apart.
template <DType kType>
inline void pack_block(const std::uint8_t* rows, std::size_t stride, std::uint8_t* out) {
  constexpr PanelFormat kFormat = panel_format(kType);
  WOOLLY_UNROLL
  for (std::size_t h = 0; h < 2; ++h) pack_header<kType>(rows + 16 * h * stride, stride, h, out);
  std::uint8_t* plane = out + kFormat.header_bytes();
  const PanelLines<kType, false> low(rows, stride);
  if constexpr (kFormat.high.n_bits == 0) {
    for (std::size_t s = 0; s < kFormat.block_k / 32; ++s) pack_plane(low, s, plane + s * kFormat.sub_bytes());
  } else {
    const PanelLines<kType, true> high(rows, stride);
    for (std::size_t s = 0; s < kFormat.block_k / 32; ++s, plane += kFormat.sub_bytes()) {
      if constexpr (kFormat.has_plane6()) {
        pack_plane6(low, high, s, plane);
      } else {
        pack_plane(low, s, plane);
        pack_plane(high, s, plane + 128 * kFormat.low.n_bits);
      }
    }
  }
}

/// A window of float elements of 32 rows, kBytes bytes each, to [kWindow / kBytes][32], of which n columns are stored.
/// Two columns of BF16 are one element.
template <std::size_t kBytes>
inline void pack_elements(const std::uint8_t* rows, std::size_t stride, std::size_t n, std::uint8_t* out) {
  WOOLLY_UNROLL
  for (std::size_t h = 0; h < 2; ++h) {
    simd::I32 quads[kWindow / 4];
    load_window(rows + 16 * h * stride, stride, quads);
    for (std::size_t i = 0; i < kWindow / kBytes; ++i) {
      if (i == n) break;
      std::uint8_t* to = out + kBytes * (kPanelRows * i + 16 * h);
      if constexpr (kBytes == 4) {
        simd::store(to, simd::as_bytes(quads[i]));
      } else {
        simd::store_low16(to, simd::shift_right_by(quads[i / 2], static_cast<int>(i % 2 * 16)));
      }
    }
  }
}

/// 32 blocks of kBytes bytes, those of rows beyond n_rows zero.
template <std::size_t kBytes>
struct PaddedRows {
  std::uint8_t rows[kPanelRows * kBytes] = {};

  void copy(const std::uint8_t* from, std::size_t stride, std::size_t n_rows, std::size_t bytes) {
    for (std::size_t row = 0; row < n_rows; ++row) __builtin_memcpy(rows + row * kBytes, from + row * stride, bytes);
  }
};

/// The flat blocks of a file block of each row.
template <DType kType>
inline void flatten_rows(const std::uint8_t* rows, std::size_t stride, std::size_t n_rows, std::uint8_t* out) {
  for (std::size_t row = 0; row < n_rows; ++row) {
    panel_format(kType).flatten(rows + row * stride, out + row * panel_format(kType).block_bytes);
  }
}

/// MatmulKernel::pack.
template <DType kType>
void pack_panel(const std::uint8_t* rows, std::size_t row_stride, std::size_t n_rows, std::size_t k,
                std::uint8_t* panel) noexcept {
  if constexpr (kIsFloat<kType>) {
    constexpr std::size_t kBytes = kType == DType::kF16 ? 2 : 4;
    const std::size_t row_bytes = k * (kType == DType::kF32 ? 4 : 2);
    for (std::size_t at = 0; at < row_bytes; at += kWindow, panel += kPanelRows * kWindow) {
      const std::size_t n = row_bytes - at < kWindow ? row_bytes - at : kWindow;
      if (n_rows == kPanelRows && n == kWindow) {
        pack_elements<kBytes>(rows + at, row_stride, kWindow / kBytes, panel);
      } else {
        PaddedRows<kWindow> padded;
        padded.copy(rows + at, row_stride, n_rows, n);
        pack_elements<kBytes>(padded.rows, kWindow, (n + kBytes - 1) / kBytes, panel);
      }
    }
  } else {
    constexpr PanelFormat kFormat = panel_format(kType);
    PaddedRows<kFormat.block_bytes> padded;
    const std::uint8_t* next = rows + kPanelRows * row_stride;  // those of the next panel begin where these end
    for (std::size_t b = 0; b < k / kFormat.block_k; ++b, next += kPanelRows * kFormat.row_bytes()) {
      for (std::size_t at = 0; at < kPanelRows * kFormat.row_bytes(); at += 64) prefetch_line(next + at);
      const std::uint8_t* from = rows + b * kFormat.row_bytes();
      std::size_t stride = row_stride;
      if constexpr (kFormat.is_flat()) {
        flatten_rows<kType>(from, stride, n_rows, padded.rows);
        from = padded.rows, stride = kFormat.block_bytes;
      } else if (n_rows < kPanelRows) {
        padded.copy(from, stride, n_rows, kFormat.block_bytes);
        from = padded.rows, stride = kFormat.block_bytes;
      }
      pack_block<kType>(from, stride, panel + b * kFormat.packed_bytes());
    }
  }
}

}  // namespace
}  // namespace woolly::kernels::WOOLLY_ISA
