// One panel of 32 rows by any number of columns, for every weight type: the same three nested sums everywhere.
//
// Registers on AVX-512 with four columns: two accumulators a column (rows 0-15 and 16-31) for the sums of a block, for
// the scaled sums and for the mins; per group of four columns of k one line load, two or three operations to unpack it
// and eight dot products with broadcast activations. Bound by the dot product's one a cycle with several columns and by
// memory with one. Floats have one accumulator a column and half, so there twelve columns share a load of weights.
//
// Canonical sums (docs/adr/0001-canonical-sums.md), per output, blocks in order of k, integers exact:
//   blocks of 256:  acc = fma(d * a, Σ_sub scale * S_sub, acc);  min = fma(dmin * a, Σ_sub min * sum_sub, min)
//                   y = acc - min
//   blocks of 32:   acc = fma(d * a, S, acc);  min = fma(m * a, sum, min);  y = acc + min
//   floats:         acc = fma(w, x, acc)
//   BF16 in products of bfloat16: matmul_tiles.inl.h, and pairs of k: acc = fma(w0, x0, fma(w1, x1, acc))
#pragma once

#include "kernels/impl/even_groups.inl.h"
#include "kernels/impl/unpack.inl.h"
#include "kernels/matmul_kernel.h"
#if defined(WOOLLY_ISA_AMX)
#include "kernels/impl/matmul_tiles.inl.h"
#elif WOOLLY_HAS_BF16
#include "simd/bf16_avx512.h"
#endif

namespace woolly::kernels::WOOLLY_ISA {
namespace {

using quant::DType;

/// Half `kFirst` of a panel (0: rows 0-15, 1: rows 16-31), or both: what a kernel works on at once. Where registers are
/// few, more columns of one half need fewer loads and spill less than both halves of fewer columns.
template <std::size_t kFirst_, std::size_t kCount_>
struct Halves {
  static constexpr std::size_t kFirst = kFirst_, kCount = kCount_;
};

template <DType kType>
constexpr std::size_t kPackedBytes = panel_format(kType).packed_bytes();

/// A share of the panel behind this one, asked for block by block while this one is multiplied by some of the columns:
/// several columns take longer than the reading, which then need not wait for them.
class NextPanel {
 public:
  /// Share i of n, of a panel of `panel_bytes` bytes that takes n_blocks blocks to multiply.
  NextPanel(const std::uint8_t* next, std::size_t panel_bytes, std::size_t n_blocks, std::size_t i, std::size_t n)
      : at_(next + panel_bytes / n * i), bytes_for_block_(panel_bytes / n / n_blocks) {}
  /// Nothing: where the columns are so few that the reading takes longer, it gets in the way.
  NextPanel() = default;

  /// To be called once a block.
  [[gnu::always_inline]] void fetch() {
    for (std::size_t i = 0; i < bytes_for_block_; i += 64) __builtin_prefetch(at_ + i, 0, 2);
    at_ += bytes_for_block_;
  }

 private:
  const std::uint8_t* at_ = nullptr;
  std::size_t bytes_for_block_ = 0;
};

/// Stores y[c][half] to tile[c][32].
template <std::size_t kColumns, typename Half>
inline void store_tile(const simd::F32 (&y)[kColumns][Half::kCount], float* tile) {
  WOOLLY_UNROLL
  for (std::size_t c = 0; c < kColumns; ++c) {
    WOOLLY_UNROLL
    for (std::size_t h = 0; h < Half::kCount; ++h) simd::store(tile + c * kPanelRows + 16 * (Half::kFirst + h), y[c][h]);
  }
}

/// What a signed type's sums start from, so that the bias of `dot_s8` and the offset of unsigned codes cancel.
template <DType kType>
constexpr int kCodeOffset = Unpack<kType>::kSigned ? simd::kSignedBias : Unpack<kType>::kOffset;

/// Adds the columns of k of as many groups as the type unpacks at once, from group g (0..7) on, to the sums of both
/// halves; `at` is the first column.
template <DType kType, std::size_t kColumns, typename Half>
inline void add_groups(const std::uint8_t* sub, std::size_t g, const ActColumn* columns, std::size_t at,
                       simd::I32 (&sums)[kColumns][Half::kCount]) {
  constexpr std::size_t kGroups = Unpack<kType>::kGroupsAtOnce;
  simd::Bytes codes[2 * kGroups];
  prefetch_behind_codes<kType>(sub, g, kGroups);
  Unpack<kType>::codes(sub, g, codes);
  WOOLLY_UNROLL
  for (std::size_t i = 0; i < kGroups; ++i) {
    WOOLLY_UNROLL
    for (std::size_t c = 0; c < kColumns; ++c) {
      const simd::I32 quad = simd::splat_quad(columns[c].q + at + 4 * i);
      WOOLLY_UNROLL
      for (std::size_t h = 0; h < Half::kCount; ++h) {
        if constexpr (Unpack<kType>::kSigned) {
          sums[c][h] = simd::dot_s8(sums[c][h], codes[2 * i + Half::kFirst + h], quad);
        } else {
          sums[c][h] = simd::dot_u8(sums[c][h], codes[2 * i + Half::kFirst + h], quad);
        }
      }
    }
  }
}

/// Types with blocks of 32: a scale (and a min) for each block.
template <DType kType, std::size_t kColumns, typename Half>
inline void multiply_blocks32(const std::uint8_t* panel, std::size_t k, const ActColumn* columns, NextPanel next,
                              float* tile) {
  using Type = Unpack<kType>;
  simd::F32 acc[kColumns][Half::kCount], mins[kColumns][Half::kCount];
  WOOLLY_UNROLL
  for (std::size_t c = 0; c < kColumns; ++c) {
    WOOLLY_UNROLL
    for (std::size_t h = 0; h < Half::kCount; ++h) acc[c][h] = mins[c][h] = simd::splat(0.0F);
  }
  for (std::size_t b = 0; b < k / 32; ++b, panel += kPackedBytes<kType>) {
    next.fetch();
    simd::I32 sums[kColumns][Half::kCount];
    WOOLLY_UNROLL
    for (std::size_t c = 0; c < kColumns; ++c) {
      WOOLLY_UNROLL
      for (std::size_t h = 0; h < Half::kCount; ++h) sums[c][h] = simd::splat_i32(-kCodeOffset<kType> * columns[c].sums32[b]);
    }
    prefetch_behind(panel, 0, panel_format(kType).header_bytes());
    const std::uint8_t* sub = panel + panel_format(kType).header_bytes();
    WOOLLY_UNROLL
    for (std::size_t g = 0; g < 8; g += Type::kGroupsAtOnce) {
      add_groups<kType, kColumns, Half>(sub, g, columns, 32 * b + 4 * g, sums);
    }
    WOOLLY_UNROLL
    for (std::size_t h = 0; h < Half::kCount; ++h) {
      const simd::F32 d = Type::scale(panel, Half::kFirst + h);
      WOOLLY_UNROLL
      for (std::size_t c = 0; c < kColumns; ++c) {
        const simd::F32 a = simd::splat(columns[c].scale[b]);
        acc[c][h] = simd::fma(simd::mul(d, a), simd::to_f32(sums[c][h]), acc[c][h]);
        if constexpr (Type::kHasMin) {
          mins[c][h] = simd::fma(Type::min(panel, Half::kFirst + h), simd::splat(columns[c].scaled_sums[b]), mins[c][h]);
        }
      }
    }
  }
  if constexpr (Type::kHasMin) {
    WOOLLY_UNROLL
    for (std::size_t c = 0; c < kColumns; ++c) {
      WOOLLY_UNROLL
      for (std::size_t h = 0; h < Half::kCount; ++h) acc[c][h] = simd::add(acc[c][h], mins[c][h]);
    }
  }
  store_tile<kColumns, Half>(acc, tile);
}

/// The mins of block b: mins[c][h] = fma(dmin * a, Σ_sub min * sum_sub, mins[c][h]). Two sub-blocks a multiplication, as
/// pairs of 16-bit words. After the codes, so that their registers are free.
template <DType kType, std::size_t kColumns, typename Half>
inline void add_mins(const std::uint8_t* panel, std::size_t b, const ActColumn* columns,
                     simd::F32 (&mins)[kColumns][Half::kCount]) {
  using Type = Unpack<kType>;
  WOOLLY_UNROLL
  for (std::size_t h = 0; h < Half::kCount; ++h) {
    simd::I32 sums[kColumns];
    WOOLLY_UNROLL
    for (std::size_t c = 0; c < kColumns; ++c) sums[c] = simd::splat_i32(0);
    WOOLLY_UNROLL
    for (std::size_t s = 0; s < 256 / Type::kSubBlock; s += 2) {
      const simd::I32 pair =
          simd::bit_or(Type::sub_min(panel, s, Half::kFirst + h), simd::shift_left<16>(Type::sub_min(panel, s + 1, Half::kFirst + h)));
      WOOLLY_UNROLL
      for (std::size_t c = 0; c < kColumns; ++c) {
        const std::int16_t* act_sums = Type::kSubBlock == 16 ? columns[c].sums16 + 16 * b : columns[c].sums32 + 8 * b;
        sums[c] = simd::dot_s16(sums[c], pair, simd::splat_pair(act_sums + s));
      }
    }
    const simd::F32 dmin = Type::min(panel, Half::kFirst + h);
    WOOLLY_UNROLL
    for (std::size_t c = 0; c < kColumns; ++c) {
      mins[c][h] = simd::fma(simd::mul(dmin, simd::splat(columns[c].scale[b])), simd::to_f32(sums[c]), mins[c][h]);
    }
  }
}

/// Reads a byte of every line of a block's header before its codes. The hardware's prefetcher follows lines that are first
/// touched in order; a header that is read only when the codes are done breaks its stream.
template <DType kType>
inline void touch_header(const std::uint8_t* panel) {
  prefetch_behind(panel, 0, panel_format(kType).header_bytes());
  for (std::size_t at = 0; at < panel_format(kType).header_bytes(); at += 64) {
    static_cast<void>(*static_cast<const volatile std::uint8_t*>(panel + at));
  }
}

/// Types with blocks of 256: integer scales (and mins) for sub-blocks of 16 or 32, a float scale for the block.
template <DType kType, std::size_t kColumns, typename Half>
inline void multiply_blocks256(const std::uint8_t* panel, std::size_t k, const ActColumn* columns, NextPanel next,
                               float* tile) {
  using Type = Unpack<kType>;
  constexpr std::size_t kGroups = Type::kSubBlock / 4;
  simd::F32 acc[kColumns][Half::kCount], mins[kColumns][Half::kCount];
  WOOLLY_UNROLL
  for (std::size_t c = 0; c < kColumns; ++c) {
    WOOLLY_UNROLL
    for (std::size_t h = 0; h < Half::kCount; ++h) acc[c][h] = mins[c][h] = simd::splat(0.0F);
  }
  for (std::size_t b = 0; b < k / 256; ++b, panel += kPackedBytes<kType>) {
    touch_header<kType>(panel);
    next.fetch();
    simd::I32 scaled[kColumns][Half::kCount];
    WOOLLY_UNROLL
    for (std::size_t c = 0; c < kColumns; ++c) {
      WOOLLY_UNROLL
      for (std::size_t h = 0; h < Half::kCount; ++h) scaled[c][h] = simd::splat_i32(0);
    }
    WOOLLY_UNROLL
    for (std::size_t s = 0; s < 256 / Type::kSubBlock; ++s) {
      WOOLLY_KEEP_LOADS_HERE;
      simd::I32 sums[kColumns][Half::kCount];
      WOOLLY_UNROLL
      for (std::size_t c = 0; c < kColumns; ++c) {
        const int act_sum = Type::kSubBlock == 16 ? columns[c].sums16[16 * b + s] : columns[c].sums32[8 * b + s];
        WOOLLY_UNROLL
        for (std::size_t h = 0; h < Half::kCount; ++h) sums[c][h] = simd::splat_i32(-kCodeOffset<kType> * act_sum);
      }
      const std::size_t first = s * kGroups;  // group of four columns, 0..63
      const std::uint8_t* sub = panel + panel_format(kType).header_bytes() + first / 8 * panel_format(kType).sub_bytes();
      WOOLLY_UNROLL
      for (std::size_t g = 0; g < kGroups; g += Type::kGroupsAtOnce) {
        add_groups<kType, kColumns, Half>(sub, first % 8 + g, columns, 256 * b + 4 * (first + g), sums);
      }
      WOOLLY_UNROLL
      for (std::size_t h = 0; h < Half::kCount; ++h) {
        const simd::I32 scale = Type::sub_scale(panel, s, Half::kFirst + h);
        WOOLLY_UNROLL
        for (std::size_t c = 0; c < kColumns; ++c) {
          scaled[c][h] = simd::add(scaled[c][h], simd::mul(scale, sums[c][h]));
          simd::finish(scaled[c][h]);
        }
      }
    }
    WOOLLY_UNROLL
    for (std::size_t h = 0; h < Half::kCount; ++h) {
      const simd::F32 d = Type::scale(panel, Half::kFirst + h);
      WOOLLY_UNROLL
      for (std::size_t c = 0; c < kColumns; ++c) {
        const simd::F32 da = simd::mul(d, simd::splat(columns[c].scale[b]));
        acc[c][h] = simd::fma(da, simd::to_f32(scaled[c][h]), acc[c][h]);
      }
    }
    if constexpr (Type::kHasMin) add_mins<kType, kColumns, Half>(panel, b, columns, mins);
  }
  if constexpr (Type::kHasMin) {
    WOOLLY_UNROLL
    for (std::size_t c = 0; c < kColumns; ++c) {
      WOOLLY_UNROLL
      for (std::size_t h = 0; h < Half::kCount; ++h) acc[c][h] = simd::sub(acc[c][h], mins[c][h]);
    }
  }
  store_tile<kColumns, Half>(acc, tile);
}

/// acc[c][h] = fma(w, x, acc[c][h]) with column j of the lines at `lines` and column i of the activations.
template <DType kType, std::size_t kColumns, typename Half>
inline void add_float_column(const std::uint8_t* lines, std::size_t j, const float* const (&x)[kColumns], std::size_t i,
                             simd::F32 (&acc)[kColumns][Half::kCount]) {
  simd::F32 w[Half::kCount];
  WOOLLY_UNROLL
  for (std::size_t h = 0; h < Half::kCount; ++h) w[h] = Unpack<kType>::weights(lines + h * Unpack<kType>::kLineBytes, j);
  WOOLLY_UNROLL
  for (std::size_t c = 0; c < kColumns; ++c) {
    const simd::F32 a = simd::splat(x[c][i]);
    WOOLLY_UNROLL
    for (std::size_t h = 0; h < Half::kCount; ++h) acc[c][h] = simd::fma(w[h], a, acc[c][h]);
  }
}

/// Float types, float32 activations.
template <DType kType, std::size_t kColumns, typename Half>
inline void multiply_floats(const std::uint8_t* panel, std::size_t k, const ActColumn* columns, float* tile) {
  constexpr std::size_t kBytes = Unpack<kType>::kLineBytes, kAtOnce = Unpack<kType>::kLineColumns;
  simd::F32 acc[kColumns][Half::kCount];
  const float* x[kColumns];
  WOOLLY_UNROLL
  for (std::size_t c = 0; c < kColumns; ++c) {
    x[c] = columns[c].x;
    WOOLLY_UNROLL
    for (std::size_t h = 0; h < Half::kCount; ++h) acc[c][h] = simd::splat(0.0F);
  }
  const std::uint8_t* lines = panel + Half::kFirst * kBytes;
  std::size_t i = 0;
  for (; i + kAtOnce <= k; i += kAtOnce, lines += 2 * kBytes) {
    prefetch_behind(lines, 0, Half::kCount * kBytes);
    WOOLLY_UNROLL
    for (std::size_t j = 0; j < kAtOnce; ++j) {
      add_float_column<kType, kColumns, Half>(lines, j, x, i + j, acc);
      WOOLLY_KEEP_LOADS_HERE;
    }
  }
  if (i < k) add_float_column<kType, kColumns, Half>(lines, 0, x, i, acc);
  store_tile<kColumns, Half>(acc, tile);
}

#if defined(WOOLLY_ISA_AVX512_BF16)
/// BF16 in products of bfloat16, whose activations are rounded too.
template <std::size_t kColumns, typename Half>
inline void multiply_bf16(const std::uint8_t* panel, std::size_t k, const ActColumn* columns, float* tile) {
  simd::F32 acc[kColumns][Half::kCount];
  const std::int16_t* x[kColumns];
  WOOLLY_UNROLL
  for (std::size_t c = 0; c < kColumns; ++c) {
    x[c] = reinterpret_cast<const std::int16_t*>(columns[c].bf16);
    WOOLLY_UNROLL
    for (std::size_t h = 0; h < Half::kCount; ++h) acc[c][h] = simd::splat(0.0F);
  }
  const std::uint8_t* lines = panel + 64 * Half::kFirst;
  for (std::size_t i = 0; i < k; i += 2, lines += 128) {
    simd::Bytes w[Half::kCount];
    WOOLLY_UNROLL
    for (std::size_t h = 0; h < Half::kCount; ++h) w[h] = simd::load_bytes(lines + 64 * h);
    WOOLLY_UNROLL
    for (std::size_t c = 0; c < kColumns; ++c) {
      const simd::I32 pair = simd::splat_pair(x[c] + i);
      WOOLLY_UNROLL
      for (std::size_t h = 0; h < Half::kCount; ++h) acc[c][h] = simd::dot_bf16(acc[c][h], w[h], pair);
    }
  }
  store_tile<kColumns, Half>(acc, tile);
}
#endif

template <DType kType, std::size_t kColumns, typename Half>
inline void multiply_halves(const std::uint8_t* panel, std::size_t k, const ActColumn* columns, NextPanel next,
                            float* tile) {
  if constexpr (Unpack<kType>::kAct == ActFormat::kF32) {
    multiply_floats<kType, kColumns, Half>(panel, k, columns, tile);
#if defined(WOOLLY_ISA_AVX512_BF16)
  } else if constexpr (Unpack<kType>::kAct == ActFormat::kBF16) {
    multiply_bf16<kColumns, Half>(panel, k, columns, tile);
#endif
  } else if constexpr (Unpack<kType>::kAct == ActFormat::kA32) {
    multiply_blocks32<kType, kColumns, Half>(panel, k, columns, next, tile);
  } else {
    multiply_blocks256<kType, kColumns, Half>(panel, k, columns, next, tile);
  }
}

/// Columns that a kernel works on at once, and how many of them with both halves of a panel.
template <DType kType>
constexpr std::size_t kMaxColumns = kIsFloat<kType> ? simd::kMaxFloatColumns : simd::kMaxColumns;
template <DType kType>
constexpr std::size_t kMaxColumnsOfBothHalves =
    kIsFloat<kType> ? simd::kMaxFloatColumnsOfBothHalves : simd::kMaxColumnsOfBothHalves;

template <DType kType, std::size_t kColumns>
inline void multiply(const std::uint8_t* panel, std::size_t k, const ActColumn* columns, NextPanel next, float* tile) {
  if constexpr (kColumns <= kMaxColumnsOfBothHalves<kType>) {
    multiply_halves<kType, kColumns, Halves<0, 2>>(panel, k, columns, next, tile);
  } else {
    multiply_halves<kType, kColumns, Halves<0, 1>>(panel, k, columns, next, tile);
    multiply_halves<kType, kColumns, Halves<1, 1>>(panel, k, columns, {}, tile);
  }
}

/// What turn i of n of a panel's multiplication asks for. Sets that ask for the lines just ahead need no more.
template <DType kType>
inline NextPanel next_panel(const std::uint8_t* panel, std::size_t k, std::size_t i, std::size_t n) {
  if constexpr (kIsFloat<kType> || simd::kPrefetchBytes > 0) {
    return {};
  } else {
    // A single turn of four columns leaves time for it only where both halves share it, and not beside blocks of 32.
    constexpr bool kOneTurnHasTime =
        Unpack<kType>::kAct == ActFormat::kA256 && simd::kMaxColumnsOfBothHalves == simd::kMaxColumns;
    constexpr std::size_t kFewestTurns = kOneTurnHasTime ? 1 : 2;
    if (n < kFewestTurns) return {};
    const std::size_t n_blocks = k / panel_format(kType).block_k, panel_bytes = n_blocks * kPackedBytes<kType>;
    return {panel + panel_bytes, panel_bytes, n_blocks, i, n};
  }
}

/// `multiply` for n_columns (1 to kMaxColumns) columns.
template <DType kType, std::size_t kColumns = kMaxColumns<kType>>
inline void multiply_some(const std::uint8_t* panel, std::size_t k, const ActColumn* columns, std::size_t n_columns,
                          float* tile) {
  if constexpr (kColumns > 1) {
    if (n_columns < kColumns) return multiply_some<kType, kColumns - 1>(panel, k, columns, n_columns, tile);
  }
  multiply<kType, kColumns>(panel, k, columns, {}, tile);
}

template <DType kType>
void run_matmul(const std::uint8_t* panel, std::size_t k, const ActColumn* columns, std::size_t n_columns,
                float* tile) noexcept {
#if defined(WOOLLY_ISA_AMX)
  if constexpr (!kIsFloat<kType>) {
    if (n_columns >= kMinTileColumns) return multiply_tiles<kType>(panel, k, columns, n_columns, tile);
  }
#endif
  if constexpr (kIsFloat<kType>) {
    for_even_groups(n_columns, kMaxColumns<kType>, [&](std::size_t first, std::size_t last) {
      multiply_some<kType>(panel, k, columns + first, last - first, tile + first * kPanelRows);
    });
  } else {
    const std::size_t n_turns = n_columns / kMaxColumns<kType>;
    for (std::size_t turn = 0; turn < n_turns; ++turn) {
      const std::size_t first = turn * kMaxColumns<kType>;
      multiply<kType, kMaxColumns<kType>>(panel, k, columns + first, next_panel<kType>(panel, k, turn, n_turns),
                                          tile + first * kPanelRows);
    }
    const std::size_t done = n_turns * kMaxColumns<kType>;
    if (done < n_columns) multiply_some<kType>(panel, k, columns + done, n_columns - done, tile + done * kPanelRows);
  }
}

/// MatmulKernel::run of a type.
template <DType kType>
constexpr auto run_of() {
#if defined(WOOLLY_ISA_AMX)
  if constexpr (kType == DType::kBF16) {
    return run_bf16_matmul;
  } else
#endif
  {
    return run_matmul<kType>;
  }
}

}  // namespace
}  // namespace woolly::kernels::WOOLLY_ISA
