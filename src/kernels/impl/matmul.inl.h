// One panel of 32 rows by any number of columns, for every weight type: the same three nested sums everywhere.
//
// Registers on AVX-512 with four columns: two accumulators a column (rows 0-15 and 16-31) for the sums of a block, for
// the scaled sums and for the mins; per group of four columns of k one line load, two or three operations to unpack it
// and eight dot products with broadcast activations. Bound by the dot product's one a cycle with several columns and by
// memory with one.
//
// Canonical sums (docs/adr/0001-canonical-sums.md), per output, blocks in order of k, integers exact:
//   blocks of 256:  acc = fma(d * a, Σ_sub scale * S_sub, acc);  min = fma(dmin * a, Σ_sub min * sum_sub, min)
//                   y = acc - min
//   blocks of 32:   acc = fma(d * a, S, acc);  min = fma(m * a, sum, min);  y = acc + min
//   floats:         acc = fma(w, x, acc)
#pragma once

#include "kernels/impl/unpack.inl.h"
#include "kernels/kernel_table.h"

namespace woolly::kernels::WOOLLY_ISA {
namespace {

using quant::DType;
constexpr std::size_t kHalves = 2;  // rows 0-15 and 16-31

template <DType kType>
constexpr std::size_t kPackedBytes = panel_format(kType).packed_bytes();

/// Stores y[c][half] to tile[c][32].
template <int kColumns>
inline void store_tile(const simd::F32 (&y)[kColumns][kHalves], float* tile) {
  WOOLLY_UNROLL
  for (int c = 0; c < kColumns; ++c) {
    WOOLLY_UNROLL
    for (std::size_t h = 0; h < kHalves; ++h) simd::store(tile + c * int{kPanelRows} + 16 * h, y[c][h]);
  }
}

/// What a signed type's sums start from, so that the bias of `dot_s8` and the offset of unsigned codes cancel.
template <DType kType>
constexpr int kCodeOffset = Unpack<kType>::kSigned ? simd::kSignedBias : Unpack<kType>::kOffset;

/// Adds four columns of k of one group to the sums of both halves.
template <DType kType, int kColumns>
inline void add_group(const std::uint8_t* sub, std::size_t g, const ActColumn* columns, std::size_t at,
                      simd::I32 (&sums)[kColumns][kHalves]) {
  simd::Bytes codes[kHalves];
  Unpack<kType>::codes(sub, g, codes);
  WOOLLY_UNROLL
  for (int c = 0; c < kColumns; ++c) {
    const simd::I32 quad = simd::splat_quad(columns[c].q + at);
    WOOLLY_UNROLL
    for (std::size_t h = 0; h < kHalves; ++h) {
      if constexpr (Unpack<kType>::kSigned) {
        sums[c][h] = simd::dot_s8(sums[c][h], codes[h], quad);
      } else {
        sums[c][h] = simd::dot_u8(sums[c][h], codes[h], quad);
      }
    }
  }
}

/// Types with blocks of 32: a scale (and a min) for each block.
template <DType kType, int kColumns>
inline void multiply_blocks32(const std::uint8_t* panel, std::size_t k, const ActColumn* columns, float* tile) {
  using Type = Unpack<kType>;
  simd::F32 acc[kColumns][kHalves], mins[kColumns][kHalves];
  WOOLLY_UNROLL
  for (int c = 0; c < kColumns; ++c) {
    WOOLLY_UNROLL
    for (std::size_t h = 0; h < kHalves; ++h) acc[c][h] = mins[c][h] = simd::splat(0.0F);
  }
  for (std::size_t b = 0; b < k / 32; ++b, panel += kPackedBytes<kType>) {
    simd::I32 sums[kColumns][kHalves];
    WOOLLY_UNROLL
    for (int c = 0; c < kColumns; ++c) {
      sums[c][0] = sums[c][1] = simd::splat_i32(-kCodeOffset<kType> * columns[c].sums[b]);
    }
    const std::uint8_t* sub = panel + panel_format(kType).header_bytes();
    WOOLLY_UNROLL
    for (std::size_t g = 0; g < 8; ++g) add_group<kType, kColumns>(sub, g, columns, 32 * b + 4 * g, sums);
    WOOLLY_UNROLL
    for (std::size_t h = 0; h < kHalves; ++h) {
      const simd::F32 d = Type::scale(panel, h);
      WOOLLY_UNROLL
      for (int c = 0; c < kColumns; ++c) {
        const simd::F32 a = simd::splat(columns[c].scale[b]);
        acc[c][h] = simd::fma(simd::mul(d, a), simd::to_f32(sums[c][h]), acc[c][h]);
        if constexpr (Type::kHasMin) {
          const simd::F32 sum = simd::splat(static_cast<float>(columns[c].sums[b]));
          mins[c][h] = simd::fma(simd::mul(Type::min(panel, h), a), sum, mins[c][h]);
        }
      }
    }
  }
  if constexpr (Type::kHasMin) {
    WOOLLY_UNROLL
    for (int c = 0; c < kColumns; ++c) {
      WOOLLY_UNROLL
      for (std::size_t h = 0; h < kHalves; ++h) acc[c][h] = simd::add(acc[c][h], mins[c][h]);
    }
  }
  store_tile<kColumns>(acc, tile);
}

/// Types with blocks of 256: integer scales (and mins) for sub-blocks of 16 or 32, a float scale for the block.
template <DType kType, int kColumns>
inline void multiply_blocks256(const std::uint8_t* panel, std::size_t k, const ActColumn* columns, float* tile) {
  using Type = Unpack<kType>;
  constexpr std::size_t kGroups = Type::kSubBlock / 4;
  simd::F32 acc[kColumns][kHalves], mins[kColumns][kHalves];
  WOOLLY_UNROLL
  for (int c = 0; c < kColumns; ++c) {
    WOOLLY_UNROLL
    for (std::size_t h = 0; h < kHalves; ++h) acc[c][h] = mins[c][h] = simd::splat(0.0F);
  }
  for (std::size_t b = 0; b < k / 256; ++b, panel += kPackedBytes<kType>) {
    simd::I32 scaled[kColumns][kHalves], scaled_mins[kColumns][kHalves];
    WOOLLY_UNROLL
    for (int c = 0; c < kColumns; ++c) {
      WOOLLY_UNROLL
      for (std::size_t h = 0; h < kHalves; ++h) scaled[c][h] = scaled_mins[c][h] = simd::splat_i32(0);
    }
    WOOLLY_UNROLL
    for (std::size_t s = 0; s < 256 / Type::kSubBlock; ++s) {
      std::int32_t act_sum[kColumns];
      simd::I32 sums[kColumns][kHalves];
      WOOLLY_UNROLL
      for (int c = 0; c < kColumns; ++c) {
        const std::int16_t* sums16 = columns[c].sums + 16 * b + s * (Type::kSubBlock / 16);
        act_sum[c] = Type::kSubBlock == 16 ? sums16[0] : sums16[0] + sums16[1];
        sums[c][0] = sums[c][1] = simd::splat_i32(-kCodeOffset<kType> * act_sum[c]);
      }
      const std::size_t first = s * kGroups;  // group of four columns, 0..63
      const std::uint8_t* sub = panel + panel_format(kType).header_bytes() + first / 8 * panel_format(kType).sub_bytes();
      WOOLLY_UNROLL
      for (std::size_t g = 0; g < kGroups; ++g) {
        add_group<kType, kColumns>(sub, first % 8 + g, columns, 256 * b + 4 * (first + g), sums);
      }
      WOOLLY_UNROLL
      for (std::size_t h = 0; h < kHalves; ++h) {
        const simd::I32 scale = Type::sub_scale(panel, s, h);
        WOOLLY_UNROLL
        for (int c = 0; c < kColumns; ++c) scaled[c][h] = simd::add(scaled[c][h], simd::mul(scale, sums[c][h]));
        if constexpr (Type::kHasMin) {
          const simd::I32 min = Type::sub_min(panel, s, h);
          WOOLLY_UNROLL
          for (int c = 0; c < kColumns; ++c) {
            scaled_mins[c][h] = simd::add(scaled_mins[c][h], simd::mul(min, simd::splat_i32(act_sum[c])));
          }
        }
      }
    }
    WOOLLY_UNROLL
    for (std::size_t h = 0; h < kHalves; ++h) {
      const simd::F32 d = Type::scale(panel, h);
      WOOLLY_UNROLL
      for (int c = 0; c < kColumns; ++c) {
        const simd::F32 a = simd::splat(columns[c].scale[b]);
        acc[c][h] = simd::fma(simd::mul(d, a), simd::to_f32(scaled[c][h]), acc[c][h]);
        if constexpr (Type::kHasMin) {
          mins[c][h] = simd::fma(simd::mul(Type::min(panel, h), a), simd::to_f32(scaled_mins[c][h]), mins[c][h]);
        }
      }
    }
  }
  if constexpr (Type::kHasMin) {
    WOOLLY_UNROLL
    for (int c = 0; c < kColumns; ++c) {
      WOOLLY_UNROLL
      for (std::size_t h = 0; h < kHalves; ++h) acc[c][h] = simd::sub(acc[c][h], mins[c][h]);
    }
  }
  store_tile<kColumns>(acc, tile);
}

/// Float types: [k][32] elements, float32 activations.
template <DType kType, int kColumns>
inline void multiply_floats(const std::uint8_t* panel, std::size_t k, const ActColumn* columns, float* tile) {
  simd::F32 acc[kColumns][kHalves];
  WOOLLY_UNROLL
  for (int c = 0; c < kColumns; ++c) {
    WOOLLY_UNROLL
    for (std::size_t h = 0; h < kHalves; ++h) acc[c][h] = simd::splat(0.0F);
  }
  for (std::size_t i = 0; i < k; ++i) {
    WOOLLY_UNROLL
    for (std::size_t h = 0; h < kHalves; ++h) {
      const simd::F32 w = Unpack<kType>::weights(panel, kPanelRows * i + 16 * h);
      WOOLLY_UNROLL
      for (int c = 0; c < kColumns; ++c) acc[c][h] = simd::fma(w, simd::splat(columns[c].x[i]), acc[c][h]);
    }
  }
  store_tile<kColumns>(acc, tile);
}

template <DType kType, int kColumns>
inline void multiply(const std::uint8_t* panel, std::size_t k, const ActColumn* columns, float* tile) {
  if constexpr (Unpack<kType>::kAct == ActFormat::kF32) {
    multiply_floats<kType, kColumns>(panel, k, columns, tile);
  } else if constexpr (Unpack<kType>::kAct == ActFormat::kA32) {
    multiply_blocks32<kType, kColumns>(panel, k, columns, tile);
  } else {
    multiply_blocks256<kType, kColumns>(panel, k, columns, tile);
  }
}

template <DType kType>
void run_matmul(const std::uint8_t* panel, std::size_t k, const ActColumn* columns, std::size_t n_columns,
                float* tile) noexcept {
  std::size_t c = 0;
  for (; c + simd::kMaxColumns <= n_columns; c += simd::kMaxColumns) {
    multiply<kType, simd::kMaxColumns>(panel, k, columns + c, tile + c * kPanelRows);
  }
  const std::size_t left = n_columns - c;
  if constexpr (simd::kMaxColumns > 3) {
    if (left == 3) return multiply<kType, 3>(panel, k, columns + c, tile + c * kPanelRows);
  }
  if constexpr (simd::kMaxColumns > 2) {
    if (left == 2) return multiply<kType, 2>(panel, k, columns + c, tile + c * kPanelRows);
  }
  if (left == 1) multiply<kType, 1>(panel, k, columns + c, tile + c * kPanelRows);
}

template <DType kType>
constexpr MatmulKernel kernel() {
  return {kType, Unpack<kType>::kAct, run_matmul<kType>};
}

}  // namespace
}  // namespace woolly::kernels::WOOLLY_ISA
