// One panel of 32 rows by many columns, on tile registers (AMX). The sums of integers are the canonical ones of
// matmul.inl.h, so results are the same to the bit:
//
//   blocks of 256  The integer scale of a sub-block goes into the weights: scale * code fits 16 bits, so its two bytes
//                  make two products over the whole block, and Σ_sub scale * S_sub = 256 * high + low without anything
//                  to do for each sub-block. Two products for a block of 256 instead of eight that end every 32.
//   blocks of 32   A product of 32 of k for each block; its sums are scaled as floats, eight blocks at a time.
//
//   BF16           Pairs of columns of k are what a product of bfloat16 wants, so nothing is unpacked; the sums stay in the
//                  registers over the whole of k. For any number of columns, since these sums are the tiles' own.
//
// The sums of a unit (a few columns, sixteen rows) are scaled while the products of the next are in the tile registers.
// Their weights are unpacked once for all columns, to a buffer that the first-level cache holds.
#pragma once

#include "kernels/impl/even_groups.inl.h"
#include "kernels/impl/unpack.inl.h"
#include "kernels/matmul_kernel.h"
#include "simd/tiles_amx.h"

namespace woolly::kernels::WOOLLY_ISA {
namespace {

using quant::DType;

/// From this many columns on tiles are faster than vectors.
constexpr std::size_t kMinTileColumns = 12;
/// Columns whose sums are under way at once; they bound what lies on the stack.
constexpr std::size_t kMaxTileColumns = 512;
constexpr std::size_t kTileK = 256;  ///< Of k that are unpacked at once.

/// Sixteen columns of activations as a tile load wants them: `stride` bytes apart.
struct TileActivations {
  const std::int8_t* q;
  std::size_t stride;
};

/// Columns [first, first + 16) from `at` on for `n` of k. As they lie where there are sixteen at equal distances; else,
/// with zeros for those that are missing, copied to `copy` [16][kTileK].
inline TileActivations tile_activations(const ActColumn* columns, std::size_t n_columns, std::size_t at, std::size_t n,
                                        std::int8_t* copy) {
  if (n_columns >= simd::kTileColumns) {
    const std::intptr_t stride = reinterpret_cast<std::intptr_t>(columns[1].q) - reinterpret_cast<std::intptr_t>(columns[0].q);
    bool is_even = true;
    for (std::size_t c = 2; c < simd::kTileColumns; ++c) {
      is_even &= reinterpret_cast<std::intptr_t>(columns[c].q) - reinterpret_cast<std::intptr_t>(columns[c - 1].q) == stride;
    }
    if (is_even) return {columns[0].q + at, static_cast<std::size_t>(stride)};
  }
  for (std::size_t c = 0; c < simd::kTileColumns; ++c) {
    if (c < n_columns) {
      __builtin_memcpy(copy + c * kTileK, columns[c].q + at, n);
    } else {
      __builtin_memset(copy + c * kTileK, 0, n);
    }
  }
  return {copy, kTileK};
}

inline std::size_t columns_at(std::size_t first, std::size_t n_columns) {
  return n_columns - first < simd::kTileColumns ? n_columns - first : simd::kTileColumns;
}

// ---- Blocks of 256 ----

/// A block's weights, unpacked: low and high bytes, [half][64 of k][line][64 bytes]; mins as pairs of words, [half][pair].
template <DType kType>
struct alignas(64) TileBlock256 {
  static constexpr std::size_t kPairs = 256 / Unpack<kType>::kSubBlock / 2;
  std::uint8_t low[2][4][16][64], high[2][4][16][64];
  std::int32_t min_pairs[2][kPairs][16];

  void unpack(const std::uint8_t* panel) {
    using Type = Unpack<kType>;
    constexpr std::size_t kGroups = Type::kSubBlock / 4, kAtOnce = Type::kGroupsAtOnce;
    prefetch_behind(panel, 0, panel_format(kType).header_bytes());
    for (std::size_t s = 0; s < 256 / Type::kSubBlock; ++s) {
      const simd::I32 scales[2] = {Type::sub_scale(panel, s, 0), Type::sub_scale(panel, s, 1)};
      const std::size_t first = s * kGroups;  // group of four columns, 0..63
      const std::uint8_t* sub = panel + panel_format(kType).header_bytes() + first / 8 * panel_format(kType).sub_bytes();
      WOOLLY_UNROLL
      for (std::size_t g = 0; g < kGroups; g += kAtOnce) {
        simd::Bytes codes[2 * kAtOnce];
        prefetch_behind_codes<kType>(sub, first % 8 + g, kAtOnce);
        Type::codes(sub, first % 8 + g, codes);
        WOOLLY_UNROLL
        for (std::size_t i = 0; i < 2 * kAtOnce; ++i) {
          const std::size_t line = first + g + i / 2, h = i % 2;
          const simd::ByteSplit split = simd::scaled_codes<Type::kSigned, Type::kOffset>(codes[i], scales[h]);
          simd::store_bytes(low[h][line / 16][line % 16], split.low);
          simd::store_bytes(high[h][line / 16][line % 16], split.high);
        }
      }
    }
    if constexpr (Type::kHasMin) {
      for (std::size_t h = 0; h < 2; ++h) {
        for (std::size_t p = 0; p < kPairs; ++p) {
          simd::store(min_pairs[h][p], simd::bit_or(Type::sub_min(panel, 2 * p, h),
                                                    simd::shift_left<16>(Type::sub_min(panel, 2 * p + 1, h))));
        }
      }
    }
  }
};

/// Sums of a unit: two tiles of columns (the second may be missing), one half; low and high bytes' products.
struct alignas(64) TileSums256 {
  std::int32_t low[2][16][16], high[2][16][16];
};

/// The tile products of one unit; `store` puts them where `scale_sums` reads them.
template <bool kTwo>
inline void multiply_tiles256(const std::uint8_t (&low)[4][16][64], const std::uint8_t (&high)[4][16][64],
                              const TileActivations (&a)[2]) {
  _tile_zero(0);
  _tile_zero(1);
  if constexpr (kTwo) {
    _tile_zero(2);
    _tile_zero(3);
  }
  WOOLLY_UNROLL
  for (std::size_t i = 0; i < 4; ++i) {
    _tile_loadd(6, low[i], 64);
    _tile_loadd(4, a[0].q + 64 * i, a[0].stride);
    _tile_dpbsud(0, 4, 6);
    _tile_loadd(7, high[i], 64);
    _tile_dpbssd(1, 4, 7);
    if constexpr (kTwo) {
      _tile_loadd(5, a[1].q + 64 * i, a[1].stride);
      _tile_dpbsud(2, 5, 6);
      _tile_dpbssd(3, 5, 7);
    }
  }
}

template <bool kTwo>
inline void store_tiles256(TileSums256& sums) {
  _tile_stored(0, sums.low[0], 64);
  _tile_stored(1, sums.high[0], 64);
  if constexpr (kTwo) {
    _tile_stored(2, sums.low[1], 64);
    _tile_stored(3, sums.high[1], 64);
  }
}

/// acc = fma(d * a, 256 * high + low, acc) and the mins likewise, for `n` columns of half h; `tile` and `mins` are
/// [column][kPanelRows].
template <DType kType>
inline void scale_sums256(const TileSums256& sums, const TileBlock256<kType>& block, const std::uint8_t* panel,
                          std::size_t b, std::size_t h, const ActColumn* columns, std::size_t n, float* tile,
                          float* mins) {
  using Type = Unpack<kType>;
  constexpr std::size_t kPairs = TileBlock256<kType>::kPairs;
  const simd::F32 d = Type::scale(panel, h);
  simd::I32 pairs[kPairs];
  simd::F32 dmin;
  if constexpr (Type::kHasMin) {
    dmin = Type::min(panel, h);
    WOOLLY_UNROLL
    for (std::size_t p = 0; p < kPairs; ++p) pairs[p] = simd::load_i32(block.min_pairs[h][p]);
  }
  for (std::size_t c = 0; c < n; ++c) {
    const std::int32_t* low = sums.low[c / 16][c % 16];
    const std::int32_t* high = sums.high[c / 16][c % 16];
    const simd::I32 sum = simd::add(simd::load_i32(low), simd::shift_left<8>(simd::load_i32(high)));
    const simd::F32 a = simd::splat(columns[c].scale[b]);
    float* acc = tile + c * kPanelRows + 16 * h;
    simd::store(acc, simd::fma(simd::mul(d, a), simd::to_f32(sum), simd::load(acc)));
    if constexpr (Type::kHasMin) {
      const std::int16_t* act_sums = Type::kSubBlock == 16 ? columns[c].sums16 + 16 * b : columns[c].sums32 + 8 * b;
      simd::I32 min_sum = simd::splat_i32(0);
      WOOLLY_UNROLL
      for (std::size_t p = 0; p < kPairs; ++p) {
        min_sum = simd::dot_s16(min_sum, pairs[p], simd::splat_pair(act_sums + 2 * p));
      }
      float* min = mins + c * kPanelRows + 16 * h;
      simd::store(min, simd::fma(simd::mul(dmin, a), simd::to_f32(min_sum), simd::load(min)));
    }
  }
}

template <DType kType>
inline void multiply_tile_blocks256(const std::uint8_t* panel, std::size_t k, const ActColumn* columns,
                                    std::size_t n_columns, float* tile) {
  using Type = Unpack<kType>;
  const simd::TileShapes shapes(64);
  TileBlock256<kType> block;
  TileSums256 sums[2];
  alignas(64) std::int8_t copies[2][simd::kTileColumns * kTileK];
  alignas(64) float mins[Type::kHasMin ? kMaxTileColumns * kPanelRows : 1];
  __builtin_memset(tile, 0, n_columns * kPanelRows * sizeof(float));
  if constexpr (Type::kHasMin) __builtin_memset(mins, 0, n_columns * kPanelRows * sizeof(float));

  constexpr std::size_t kUnit = 2 * simd::kTileColumns;
  for (std::size_t b = 0; b < k / 256; ++b, panel += panel_format(kType).packed_bytes()) {
    block.unpack(panel);
    const auto scale = [&](const TileSums256& of, std::size_t c, std::size_t h) {
      const std::size_t n = n_columns - c < kUnit ? n_columns - c : kUnit;
      scale_sums256<kType>(of, block, panel, b, h, columns + c, n, tile + c * kPanelRows,
                           Type::kHasMin ? mins + c * kPanelRows : mins);
    };
    std::size_t unit = 0;
    for (std::size_t c = 0; c < n_columns; c += kUnit) {
      TileActivations a[2] = {tile_activations(columns + c, columns_at(c, n_columns), 256 * b, 256, copies[0]), {}};
      const bool has_two = n_columns - c > simd::kTileColumns;
      if (has_two) {
        const std::size_t second = c + simd::kTileColumns;
        a[1] = tile_activations(columns + second, columns_at(second, n_columns), 256 * b, 256, copies[1]);
      }
      for (std::size_t h = 0; h < 2; ++h, ++unit) {
        if (has_two) {
          multiply_tiles256<true>(block.low[h], block.high[h], a);
        } else {
          multiply_tiles256<false>(block.low[h], block.high[h], a);
        }
        if (unit > 0) scale(sums[(unit - 1) % 2], h == 0 ? c - kUnit : c, 1 - h);
        if (has_two) {
          store_tiles256<true>(sums[unit % 2]);
        } else {
          store_tiles256<false>(sums[unit % 2]);
        }
      }
    }
    scale(sums[(unit - 1) % 2], (unit - 1) / 2 * kUnit, 1);
  }
  if constexpr (Type::kHasMin) {
    for (std::size_t i = 0; i < n_columns * kPanelRows; i += 16) {
      simd::store(tile + i, simd::sub(simd::load(tile + i), simd::load(mins + i)));
    }
  }
}

// ---- Blocks of 32 ----

/// Eight blocks' weights, unpacked: signed codes [block][half][line][64 bytes], scales and mins [block][half][row].
template <DType kType>
struct alignas(64) TileBlocks32 {
  static constexpr std::size_t kBlocks = kTileK / 32;
  std::uint8_t codes[kBlocks][2][8][64];
  float scales[kBlocks][2][16], mins[kBlocks][2][16];

  void unpack(const std::uint8_t* panel, std::size_t n_blocks) {
    using Type = Unpack<kType>;
    for (std::size_t b = 0; b < n_blocks; ++b, panel += panel_format(kType).packed_bytes()) {
      prefetch_behind(panel, 0, panel_format(kType).header_bytes());
      WOOLLY_UNROLL
      for (std::size_t g = 0; g < 8; ++g) {
        simd::Bytes both[2];
        prefetch_behind_codes<kType>(panel + panel_format(kType).header_bytes(), g, 1);
        Type::codes(panel + panel_format(kType).header_bytes(), g, both);
        for (std::size_t h = 0; h < 2; ++h) simd::store_bytes(codes[b][h][g], simd::signed_codes<Type::kOffset>(both[h]));
      }
      for (std::size_t h = 0; h < 2; ++h) {
        simd::store(scales[b][h], Type::scale(panel, h));
        if constexpr (Type::kHasMin) simd::store(mins[b][h], Type::min(panel, h));
      }
    }
  }
};

/// Sums of a unit: sixteen columns, one half, [block][column][row].
struct alignas(64) TileSums32 {
  std::int32_t of[kTileK / 32][16][16];
};

inline void multiply_tiles32(const std::uint8_t (&codes)[2][8][64], std::size_t h, const TileActivations& a,
                             std::size_t b, TileSums32& sums) {
  // Two blocks in turn, so that one is under way while the other is stored.
  if (b % 2 == 0) {
    _tile_zero(0);
    _tile_loadd(4, a.q + 32 * b, a.stride);
    _tile_loadd(6, codes[h], 64);
    _tile_dpbssd(0, 4, 6);
    _tile_stored(0, sums.of[b], 64);
  } else {
    _tile_zero(1);
    _tile_loadd(5, a.q + 32 * b, a.stride);
    _tile_loadd(7, codes[h], 64);
    _tile_dpbssd(1, 5, 7);
    _tile_stored(1, sums.of[b], 64);
  }
}

/// acc = fma(d * a, sum, acc) and the mins likewise, blocks in order, for `n` columns of half h.
template <DType kType, std::size_t kBlocks>
inline void scale_sums32(const TileSums32& sums, const TileBlocks32<kType>& blocks, std::size_t first_block,
                         std::size_t h, const ActColumn* columns, std::size_t n, float* tile, float* mins) {
  using Type = Unpack<kType>;
  for (std::size_t c = 0; c < n; ++c) {
    float* acc_at = tile + c * kPanelRows + 16 * h;
    simd::F32 acc = simd::load(acc_at);
    WOOLLY_UNROLL
    for (std::size_t b = 0; b < kBlocks; ++b) {
      const simd::F32 a = simd::splat(columns[c].scale[first_block + b]);
      acc = simd::fma(simd::mul(simd::load(blocks.scales[b][h]), a), simd::to_f32(simd::load_i32(sums.of[b][c])), acc);
    }
    simd::store(acc_at, acc);
    if constexpr (Type::kHasMin) {
      float* min_at = mins + c * kPanelRows + 16 * h;
      simd::F32 min = simd::load(min_at);
      WOOLLY_UNROLL
      for (std::size_t b = 0; b < kBlocks; ++b) {
        min = simd::fma(simd::load(blocks.mins[b][h]), simd::splat(columns[c].scaled_sums[first_block + b]), min);
      }
      simd::store(min_at, min);
    }
  }
}

/// kBlocks blocks from block `first_block` on, for all columns.
template <DType kType, std::size_t kBlocks>
inline void add_tile_blocks32(const std::uint8_t* panel, std::size_t first_block, const ActColumn* columns,
                              std::size_t n_columns, float* tile, float* mins) {
  TileBlocks32<kType> blocks;
  TileSums32 sums[2];
  alignas(64) std::int8_t copy[simd::kTileColumns * kTileK];
  blocks.unpack(panel, kBlocks);
  const auto scale = [&](const TileSums32& of, std::size_t c, std::size_t h) {
    scale_sums32<kType, kBlocks>(of, blocks, first_block, h, columns + c, columns_at(c, n_columns),
                                 tile + c * kPanelRows, Unpack<kType>::kHasMin ? mins + c * kPanelRows : mins);
  };
  std::size_t unit = 0;
  for (std::size_t c = 0; c < n_columns; c += simd::kTileColumns) {
    const TileActivations a =
        tile_activations(columns + c, columns_at(c, n_columns), 32 * first_block, 32 * kBlocks, copy);
    for (std::size_t h = 0; h < 2; ++h, ++unit) {
      WOOLLY_UNROLL
      for (std::size_t b = 0; b < kBlocks; ++b) multiply_tiles32(blocks.codes[b], h, a, b, sums[unit % 2]);
      if (unit > 0) scale(sums[(unit - 1) % 2], h == 0 ? c - simd::kTileColumns : c, 1 - h);
    }
  }
  scale(sums[(unit - 1) % 2], (unit - 1) / 2 * simd::kTileColumns, 1);
}

template <DType kType>
inline void multiply_tile_blocks32(const std::uint8_t* panel, std::size_t k, const ActColumn* columns,
                                   std::size_t n_columns, float* tile) {
  using Type = Unpack<kType>;
  const simd::TileShapes shapes(32);
  alignas(64) float mins[Type::kHasMin ? kMaxTileColumns * kPanelRows : 1];
  __builtin_memset(tile, 0, n_columns * kPanelRows * sizeof(float));
  if constexpr (Type::kHasMin) __builtin_memset(mins, 0, n_columns * kPanelRows * sizeof(float));
  constexpr std::size_t kBlocks = kTileK / 32;
  std::size_t b = 0;
  for (; b + kBlocks <= k / 32; b += kBlocks, panel += kBlocks * panel_format(kType).packed_bytes()) {
    add_tile_blocks32<kType, kBlocks>(panel, b, columns, n_columns, tile, mins);
  }
  for (; b < k / 32; ++b, panel += panel_format(kType).packed_bytes()) {
    add_tile_blocks32<kType, 1>(panel, b, columns, n_columns, tile, mins);
  }
  if constexpr (Type::kHasMin) {
    for (std::size_t i = 0; i < n_columns * kPanelRows; i += 16) {
      simd::store(tile + i, simd::add(simd::load(tile + i), simd::load(mins + i)));
    }
  }
}

// ---- BF16 ----

/// Columns of activations that lie at equal distances, as a tile load wants them.
struct EvenColumns {
  const std::uint16_t* x;
  std::size_t stride;  ///< Bytes.
  std::size_t n;
};

/// As many of the columns, from the first on, as lie evenly and fit a tile.
inline EvenColumns even_columns(const ActColumn* columns, std::size_t n_columns) {
  const auto address = [&](std::size_t c) { return reinterpret_cast<std::uintptr_t>(columns[c].bf16); };
  std::size_t stride = 0, n = 1;
  if (n_columns > 1) stride = address(1) - address(0);
  while (n < n_columns && n < simd::kTileColumns && address(n) - address(n - 1) == stride) ++n;
  return {columns[0].bf16, stride, n};
}

/// Products over k [from, to) in steps of 32; weights and activations are read as they lie.
template <bool kTwo>
inline void multiply_tiles_bf16(const std::uint8_t* panel, const EvenColumns (&a)[2], std::size_t from, std::size_t to) {
  constexpr std::size_t kPairBytes = 2 * kPanelRows * sizeof(std::uint16_t);  // of two columns of k
  // A step takes 2 KiB at once: lines are asked for from 8 KiB ahead, and half of them at a time.
  constexpr std::size_t kFurther = 5120;
  for (std::size_t i = from; i < to; i += 32) {
    const std::uint8_t* lines = panel + i / 2 * kPairBytes;
    prefetch_behind(lines + kFurther, 0, 8 * kPairBytes);
    _tile_loadd(4, a[0].x + i, a[0].stride);
    _tile_loadd(6, lines, kPairBytes);
    _tile_dpbf16ps(0, 4, 6);
    prefetch_behind(lines + kFurther, 8 * kPairBytes, 16 * kPairBytes);
    _tile_loadd(7, lines + 64, kPairBytes);
    _tile_dpbf16ps(1, 4, 7);
    if constexpr (kTwo) {
      _tile_loadd(5, a[1].x + i, a[1].stride);
      _tile_dpbf16ps(2, 5, 6);
      _tile_dpbf16ps(3, 5, 7);
    }
  }
}

/// Sums between the registers and `tile`.
template <bool kTwo>
inline void load_tiles_bf16(const float* tile, std::size_t n_first) {
  constexpr std::size_t kStride = kPanelRows * sizeof(float);
  _tile_loadd(0, tile, kStride);
  _tile_loadd(1, tile + 16, kStride);
  if constexpr (kTwo) {
    _tile_loadd(2, tile + n_first * kPanelRows, kStride);
    _tile_loadd(3, tile + n_first * kPanelRows + 16, kStride);
  }
}
template <bool kTwo>
inline void store_tiles_bf16(float* tile, std::size_t n_first) {
  constexpr std::size_t kStride = kPanelRows * sizeof(float);
  _tile_stored(0, tile, kStride);
  _tile_stored(1, tile + 16, kStride);
  if constexpr (kTwo) {
    _tile_stored(2, tile + n_first * kPanelRows, kStride);
    _tile_stored(3, tile + n_first * kPanelRows + 16, kStride);
  }
}

template <bool kTwo>
inline void multiply_even_columns(const std::uint8_t* panel, std::size_t k, const EvenColumns (&a)[2], float* tile) {
  const std::size_t whole = k / 32 * 32, tail_bytes = (k - whole + 1) / 2 * 4, n_second = kTwo ? a[1].n : a[0].n;
  simd::TileShapes shapes(whole > 0 ? 64 : tail_bytes, a[0].n, n_second);  // the sums are zero
  multiply_tiles_bf16<kTwo>(panel, a, 0, whole);
  if (whole > 0 && whole < k) {
    store_tiles_bf16<kTwo>(tile, a[0].n);
    shapes.set(tail_bytes, a[0].n, n_second);
    load_tiles_bf16<kTwo>(tile, a[0].n);
  }
  multiply_tiles_bf16<kTwo>(panel, a, whole, k);
  store_tiles_bf16<kTwo>(tile, a[0].n);
}

/// MatmulKernel::run.
inline void run_bf16_matmul(const std::uint8_t* panel, std::size_t k, const ActColumn* columns, std::size_t n_columns,
                            float* tile) noexcept {
  for_even_groups(n_columns, 2 * simd::kTileColumns, [&](std::size_t first, std::size_t last) {
    while (first < last) {
      EvenColumns a[2] = {even_columns(columns + first, last - first), {}};
      const std::size_t second = first + a[0].n;
      if (second < last) {
        a[1] = even_columns(columns + second, last - second);
        multiply_even_columns<true>(panel, k, a, tile + first * kPanelRows);
      } else {
        multiply_even_columns<false>(panel, k, a, tile + first * kPanelRows);
      }
      first = second + a[1].n;
    }
  });
}

/// As run_matmul, for kMinTileColumns columns or more.
template <DType kType>
inline void multiply_tiles(const std::uint8_t* panel, std::size_t k, const ActColumn* columns, std::size_t n_columns,
                           float* tile) {
  for (std::size_t c = 0; c < n_columns; c += kMaxTileColumns) {
    const std::size_t n = n_columns - c < kMaxTileColumns ? n_columns - c : kMaxTileColumns;
    if constexpr (Unpack<kType>::kAct == ActFormat::kA32) {
      multiply_tile_blocks32<kType>(panel, k, columns + c, n, tile + c * kPanelRows);
    } else {
      multiply_tile_blocks256<kType>(panel, k, columns + c, n, tile + c * kPanelRows);
    }
  }
}

}  // namespace
}  // namespace woolly::kernels::WOOLLY_ISA
