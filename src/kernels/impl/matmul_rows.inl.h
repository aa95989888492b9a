// 32 rows as the file has them by one column, for weights that stay in a mapped file.
//
// Sixteen bytes of sixteen rows are transposed in registers (pack.inl.h), so that rows are lanes, and a lane has bits of
// four columns, or of several times four. From there on all is as with panels. Only the columns of a sub-block come in the
// order of the file, which makes no difference to sums of integers: results are those of matmul.inl.h.
#pragma once

#include "kernels/impl/matmul.inl.h"
#include "kernels/impl/pack.inl.h"
#include "kernels/impl/unpack.inl.h"
#include "kernels/matmul_kernel.h"

namespace woolly::kernels::WOOLLY_ISA {
namespace {

using quant::DType;

/// How columns lie in the bytes of a block that have their low bits, window by window.
template <DType kType>
struct RowWindows {
  static constexpr CodeBits kLow = panel_format(kType).low;
  static constexpr std::size_t kN = panel_format(kType).block_k * kLow.n_bits / 8 / kWindow;
  static constexpr std::size_t kFields = 8 / kLow.n_bits;
  /// Sums under way: the fields of a byte belong to a sub-block each, or all to the same.
  static constexpr std::size_t kSums = kLow.span < Unpack<kType>::kSubBlock ? 1 : kFields;
  /// Windows until they are complete.
  static constexpr std::size_t kOfSum = kSums == 1 && kFields > 1 ? 1 : Unpack<kType>::kSubBlock / kWindow;
  /// Lines of 64 bytes in a block of sixteen rows, and how many are asked for with each window.
  static constexpr std::size_t kBlockLines = (16 * panel_format(kType).block_bytes + 63) / 64;
  static constexpr std::size_t kLines = (kBlockLines + kN - 1) / kN;

  /// The column of field f of byte `at`.
  [[gnu::always_inline]] static constexpr std::size_t column(std::size_t at, std::size_t f) {
    return at / kLow.span * kLow.span * kFields + f * kLow.span + at % kLow.span;
  }
  [[gnu::always_inline]] static constexpr std::size_t first_line(std::size_t w) { return kBlockLines * w / kN; }
};

/// Of sixteen rows: Σ_sub scale * S_sub of a block of 256, S of a block of 32. `header` is as half 0 of a panel has it.
/// The next sixteen rows, which begin where these end, are asked for from `next` on, a few lines with each window.
template <DType kType>
inline simd::I32 sum_row_block(const std::uint8_t* rows, std::size_t stride, const std::uint8_t* header, std::size_t b,
                               const ActColumn& column, const std::uint8_t* next) {
  using Type = Unpack<kType>;
  using Windows = RowWindows<kType>;
  constexpr PanelFormat kFormat = panel_format(kType);
  constexpr bool kHasHigh = kFormat.high.n_bits > 0;
  const CodeLines<kType, kHasHigh> high(rows, stride);  // where there are none, it is not used and so not read
  simd::I32 scaled = simd::splat_i32(0);
  WOOLLY_UNROLL
  for (std::size_t first = 0; first < Windows::kN; first += Windows::kOfSum) {
    WOOLLY_KEEP_LOADS_HERE;
    simd::I32 sums[Windows::kSums];
    WOOLLY_UNROLL
    for (std::size_t f = 0; f < Windows::kSums; ++f) {
      const std::size_t s = Windows::column(kWindow * first, f) / Type::kSubBlock;
      const std::int16_t* act_sums = Type::kSubBlock == 16 ? column.sums16 : column.sums32;
      const int act_sum = act_sums[kFormat.block_k / Type::kSubBlock * b + s];
      sums[f] = simd::splat_i32(-kCodeOffset<kType> * act_sum);
    }
    WOOLLY_UNROLL
    for (std::size_t w = first; w < first + Windows::kOfSum; ++w) {
      simd::I32 quads[kWindow / 4];
      WOOLLY_UNROLL
      for (std::size_t i = 0; i < Windows::kLines; ++i) prefetch_line(next + 64 * (Windows::first_line(w) + i));
      load_window(rows + kFormat.low.at + kWindow * w, stride, quads);
      WOOLLY_UNROLL
      for (std::size_t i = 0; i < kWindow / 4; ++i) {
        WOOLLY_UNROLL
        for (std::size_t f = 0; f < Windows::kFields; ++f) {
          const std::size_t at = Windows::column(kWindow * w + 4 * i, f);
          simd::I32 code = simd::shift_right_by(quads[i], static_cast<int>(f * kFormat.low.n_bits));
          code = simd::bit_and(code, simd::as_i32(simd::splat_bytes(kFormat.low.mask())));
          if constexpr (kHasHigh) code = simd::bit_or(code, simd::shift_left<kFormat.low.n_bits>(high.columns(at)));
          simd::Bytes weights = simd::as_bytes(code);
          if constexpr (Type::kTable != nullptr) weights = simd::lookup16(Type::kTable, weights);
          simd::I32& sum = sums[Windows::kSums == 1 ? 0 : f];
          const simd::I32 quad = simd::splat_quad(column.q + kFormat.block_k * b + at);
          if constexpr (Type::kSigned) {
            sum = simd::dot_s8(sum, weights, quad);
          } else {
            sum = simd::dot_u8(sum, weights, quad);
          }
        }
      }
    }
    if constexpr (Type::kAct == ActFormat::kA32) {
      scaled = sums[0];
    } else {
      WOOLLY_UNROLL
      for (std::size_t f = 0; f < Windows::kSums; ++f) {
        const std::size_t s = Windows::column(kWindow * first, f) / Type::kSubBlock;
        scaled = simd::add(scaled, simd::mul(Type::sub_scale(header, s, 0), sums[f]));
        simd::finish(scaled);
      }
    }
  }
  return scaled;
}

/// Sixteen rows by one column.
template <DType kType>
inline void multiply_rows(const std::uint8_t* rows, std::size_t stride, std::size_t k, const ActColumn& column,
                          float* y) {
  using Type = Unpack<kType>;
  constexpr PanelFormat kFormat = panel_format(kType);
  simd::F32 acc = simd::splat(0.0F), mins[1][1] = {{acc}};
  const std::uint8_t* next = rows + 16 * stride;
  for (std::size_t b = 0; b < k / kFormat.block_k; ++b, rows += kFormat.block_bytes, next += 16 * kFormat.block_bytes) {
    alignas(64) std::uint8_t header[kFormat.header_bytes()];
    pack_header<kType>(rows, stride, 0, header);
    const simd::I32 sum = sum_row_block<kType>(rows, stride, header, b, column, next);
    const simd::F32 a = simd::splat(column.scale[b]);
    acc = simd::fma(simd::mul(Type::scale(header, 0), a), simd::to_f32(sum), acc);
    if constexpr (Type::kHasMin && Type::kAct == ActFormat::kA32) {
      mins[0][0] = simd::fma(Type::min(header, 0), simd::splat(column.scaled_sums[b]), mins[0][0]);
    } else if constexpr (Type::kHasMin) {
      add_mins<kType, 1, Halves<0, 1>>(header, b, &column, mins);
    }
  }
  if constexpr (Type::kHasMin) {
    acc = Type::kAct == ActFormat::kA32 ? simd::add(acc, mins[0][0]) : simd::sub(acc, mins[0][0]);
  }
  simd::store(y, acc);
}

/// MatmulKernel::run_rows.
template <DType kType>
void run_rows(const std::uint8_t* rows, std::size_t row_stride, std::size_t k, const ActColumn& column,
              float* y) noexcept {
  multiply_rows<kType>(rows, row_stride, k, column, y);
  multiply_rows<kType>(rows + 16 * row_stride, row_stride, k, column, y + 16);
}

}  // namespace
}  // namespace woolly::kernels::WOOLLY_ISA
