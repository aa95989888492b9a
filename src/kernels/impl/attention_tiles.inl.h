// Products of attention in tile registers (AMX), which multiply bfloat16.
//
//   BF16         queries and weights are rounded to bfloat16; keys and values are read from the cache as they lie.
//   F16, Q8_0    every number is the sum of two of bfloat16, high + low: exactly so for F16, to 2^-15 of it for Q8_0, queries
//                and weights. Three products of four are taken: low · low is below 2^-15 of the largest, whereas the
//                type's own rounding is 2^-12 and 2^-8. Keys and values are taken apart once for all queries of a task.
//
// Canonical order: as TDPBF16PS has it, for each 32 of the sum high · high, then low · high, then high · low, those of a
// query or weight first (docs/adr/0001-canonical-sums.md).
#pragma once

#include <type_traits>

#include "kernels/impl/attention_floats.inl.h"
#include "kernels/impl/attention_softmax.inl.h"
#include "simd/bf16_avx512.h"
#include "simd/tiles_amx.h"

namespace woolly::kernels::WOOLLY_ISA {
namespace {

/// A matrix of bfloat16, or of sums of two of them.
struct TileOperand {
  const std::uint16_t* high;
  const std::uint16_t* low;   ///< Unused where there is one plane.
  std::size_t stride;         ///< Bytes from one row to the next: of queries or weights; of pairs of the sum.

  /// From byte `at` of each plane on.
  [[nodiscard]] TileOperand from(std::size_t at) const {
    const auto moved = [at](const std::uint16_t* plane) { return plane + at / sizeof *plane; };
    return {moved(high), moved(low), stride};
  }
};

/// Products of two row tiles with one or two column tiles: registers 0 and 1 hold the sums of the first, 2 and 3 those of the
/// second. c[32 rows][16 * kColumnTiles] = (kAdds ? c : 0) + a · b over 32 * n_chunks of the sum; `a` is [rows][sum], `b`
/// [sum / 2][columns][2].
template <std::size_t kColumnTiles, std::size_t kPlanes, bool kAdds>
inline void multiply_two_row_tiles(const TileOperand& a, const TileOperand& b, std::size_t n_chunks, float* c,
                                   std::size_t c_stride) {
  constexpr bool kTwoColumns = kColumnTiles == 2;
  float* second = c + 16 * c_stride;
  const std::size_t c_bytes = c_stride * sizeof(float);
  if constexpr (kAdds) {
    _tile_loadd(0, c, c_bytes);
    _tile_loadd(2, second, c_bytes);
    if constexpr (kTwoColumns) _tile_loadd(1, c + 16, c_bytes);
    if constexpr (kTwoColumns) _tile_loadd(3, second + 16, c_bytes);
  } else {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  }
  for (std::size_t chunk = 0; chunk < n_chunks; ++chunk) {
    const auto load_rows = [&](const std::uint16_t* plane) {
      _tile_loadd(4, plane + 32 * chunk, a.stride);
      _tile_loadd(5, plane + 32 * chunk + 16 * a.stride / sizeof *plane, a.stride);
    };
    const auto load_columns = [&](const std::uint16_t* plane) {
      const std::uint16_t* columns = plane + chunk * 16 * b.stride / sizeof *plane;
      _tile_loadd(6, columns, b.stride);
      if constexpr (kTwoColumns) _tile_loadd(7, columns + 32, b.stride);
    };
    const auto multiply = [] {
      _tile_dpbf16ps(0, 4, 6);
      _tile_dpbf16ps(2, 5, 6);
      if constexpr (kTwoColumns) _tile_dpbf16ps(1, 4, 7);
      if constexpr (kTwoColumns) _tile_dpbf16ps(3, 5, 7);
    };
    load_rows(a.high);
    load_columns(b.high);
    multiply();
    if constexpr (kPlanes == 2) {
      load_rows(a.low);
      multiply();
      load_rows(a.high);
      load_columns(b.low);
      multiply();
    }
  }
  _tile_stored(0, c, c_bytes);
  _tile_stored(2, second, c_bytes);
  if constexpr (kTwoColumns) _tile_stored(1, c + 16, c_bytes);
  if constexpr (kTwoColumns) _tile_stored(3, second + 16, c_bytes);
}

/// One row tile of an output and up to four column tiles of it, whose sums are in registers 0 to 3.
struct TileOutput {
  float* c;  ///< nullptr: none.
  std::size_t c_bytes;         ///< From one row to the next.
  std::size_t n_column_tiles;  ///< 1 to 4.

  void load() const {
    _tile_loadd(0, c, c_bytes);
    if (n_column_tiles > 1) _tile_loadd(1, c + 16, c_bytes);
    if (n_column_tiles > 2) _tile_loadd(2, c + 32, c_bytes);
    if (n_column_tiles > 3) _tile_loadd(3, c + 48, c_bytes);
  }
  static void zero() {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  }
  void store() const {
    _tile_stored(0, c, c_bytes);
    if (n_column_tiles > 1) _tile_stored(1, c + 16, c_bytes);
    if (n_column_tiles > 2) _tile_stored(2, c + 32, c_bytes);
    if (n_column_tiles > 3) _tile_stored(3, c + 48, c_bytes);
  }
};

/// 32 of the sum of products for an output.
struct TilePanel {
  TileOperand a, b;
  TileOutput out;
};

/// Adds a panel's products to the sums in the registers.
template <std::size_t kPlanes>
inline void multiply_panel(const TilePanel& panel) {
  const std::size_t n = panel.out.n_column_tiles;
  constexpr bool kHasLow = kPlanes == 2;
  const auto multiply = [&](const std::uint16_t* plane, auto by_low) {
    constexpr bool kByLow = by_low.value;  // too
    _tile_loadd(6, plane, panel.b.stride);
    _tile_dpbf16ps(0, 4, 6);
    if constexpr (kByLow) _tile_dpbf16ps(0, 5, 6);
    if (n > 1) {
      _tile_loadd(7, plane + 32, panel.b.stride);
      _tile_dpbf16ps(1, 4, 7);
      if constexpr (kByLow) _tile_dpbf16ps(1, 5, 7);
    }
    if (n > 2) {
      _tile_loadd(6, plane + 64, panel.b.stride);
      _tile_dpbf16ps(2, 4, 6);
      if constexpr (kByLow) _tile_dpbf16ps(2, 5, 6);
    }
    if (n > 3) {
      _tile_loadd(7, plane + 96, panel.b.stride);
      _tile_dpbf16ps(3, 4, 7);
      if constexpr (kByLow) _tile_dpbf16ps(3, 5, 7);
    }
  };
  _tile_loadd(4, panel.a.high, panel.a.stride);
  if constexpr (kHasLow) _tile_loadd(5, panel.a.low, panel.a.stride);
  multiply(panel.b.high, std::bool_constant<kHasLow>());
  if constexpr (kHasLow) multiply(panel.b.low, std::false_type());
}

/// Products with the keys and values of a cache of type Kv, which is not F32; see attention.inl.h for what calls it.
template <typename Kv>
class TileProducts {
 public:
  explicit TileProducts(const AttentionTask& task)
      : task_(task),
        scratch_(task),
        key_dim_((task.head_dim + 31) / 32 * 32),
        padded_(padded_value_dim(task.value_dim)),
        stride_(blocks_at_once(task.n_queries) * kKvBlock),
        n_first_(task.n_queries < 16 ? task.n_queries : 16),
        shapes_(64, n_first_, n_first_) {
    queries_ = {planes(scratch_.queries), planes(scratch_.queries) + kMaxQueries * key_dim_, key_dim_ * 2};
    weights_ = {planes(scratch_.weights), planes(scratch_.weights) + kMaxQueries * kKvBlock, stride_ * 2};
    for (std::size_t c = 0; c < task.n_queries; ++c) {
      for_32_lanes(task.queries[c], task.head_dim,
                   [&](std::size_t d, simd::F32(&x)[2]) { put(x, queries_, c * key_dim_ + d); });
    }
  }

  [[nodiscard]] const AttentionScratch& scratch() const { return scratch_; }

  void begin_split() { clear(scratch_.split_out, task_.n_queries * padded_); }

  void score(const KvSource& keys, std::size_t slot) {
    if constexpr (kHasScales<Kv>) load_scales(key_scales<Kv>(keys.data, task_.head_dim), task_.head_dim);
    const std::size_t n_tiles = (keys.n_positions + 15) / 16, n_chunks = key_dim_ / 32;
    const bool is_converted = kPlanes == 2 || key_dim_ != task_.head_dim;
    float* scores = scratch_.scores + slot * kKvBlock;
    TileOperand b = in_cache(keys, kKvBlock * 4);
    if (has_few_queries()) {
      for (std::size_t chunk = 0; chunk < n_chunks; ++chunk) {
        const TileOperand part = is_converted ? panel_in_scratch() : b.from(16 * chunk * b.stride);
        if (is_converted) {
          convert_keys(keys, 16 * chunk, part);
        } else {
          prefetch_behind(part);
        }
        push<false>({queries_.from(64 * chunk), part, {scores, stride_ * sizeof(float), n_tiles}});
      }
      return;
    }
    if (is_converted) {
      b = in_scratch(0, key_dim_, kKvBlock * 4);
      for (std::size_t chunk = 0; chunk < n_chunks; ++chunk) convert_keys(keys, 16 * chunk, b.from(16 * chunk * b.stride));
    }
    multiply<false>(queries_, b, n_chunks, n_tiles, scores, stride_);
  }

  /// All scores are there.
  void finish_scores() { finish<false>(); }

  /// Turns a query's scores into weights; see attention.inl.h.
  float weigh(std::size_t c, std::size_t slot, Visible visible, Softmax& state) {
    const std::size_t at = c * stride_ + slot * kKvBlock;
    return state.weigh(task_, visible, scratch_.scores + at, [&](std::size_t i, simd::F32(&x)[2]) {
      for (simd::F32& weight : x) weight = simd::exp2_to_16_bits(weight);
      put(x, weights_, at + i);
    });
  }

  void hide(std::size_t c, std::size_t slot) {
    simd::F32 zeros[2] = {simd::splat(0.0F), simd::splat(0.0F)};
    for (std::size_t i = 0; i < kKvBlock; i += 32) put(zeros, weights_, c * stride_ + slot * kKvBlock + i);
  }

  void add_values(const KvSource& values, std::size_t slot, const float* shrink) {
    for (std::size_t c = 0; c < task_.n_queries; ++c) {
      if (shrink[c] == 1.0F) continue;
      finish<true>();
      float* out = scratch_.split_out + c * padded_;
      for (std::size_t d = 0; d < padded_; d += 16) {
        simd::store(out + d, simd::mul(simd::load(out + d), simd::splat(shrink[c])));
      }
    }
    if constexpr (kHasScales<Kv>) load_scales(value_scales<Kv>(values.data, task_.value_dim), task_.value_dim);
    const std::size_t n_chunks = (values.n_positions + 31) / 32, n_tiles = padded_ / 16;
    // What was never written must not be multiplied, not even by zero.
    const bool is_converted = kPlanes == 2 || values.n_positions < kKvBlock;
    const TileOperand weights = weights_.from(slot * kKvBlock * sizeof(std::uint16_t));
    TileOperand b = in_cache(values, padded_ * 4);
    if (has_few_queries()) {
      for (std::size_t tile = 0; tile < n_tiles; tile += 4) {
        const std::size_t n = n_tiles - tile < 4 ? n_tiles - tile : 4;
        for (std::size_t chunk = 0; chunk < n_chunks; ++chunk) {
          const TileOperand part = is_converted ? panel_in_scratch() : b.from(16 * chunk * b.stride + 64 * tile);
          if (is_converted) {
            convert_values(values, 16 * chunk, 16 * tile, 16 * n, part);
          } else {
            prefetch_behind(part);
          }
          push<true>({weights.from(64 * chunk), part, {scratch_.split_out + 16 * tile, padded_ * sizeof(float), n}});
        }
      }
      return;
    }
    if (is_converted) {
      b = in_scratch(1, padded_, padded_ * 4);
      for (std::size_t chunk = 0; chunk < n_chunks; ++chunk) {
        convert_values(values, 16 * chunk, 0, padded_, b.from(16 * chunk * b.stride));
      }
    }
    multiply<true>(weights, b, n_chunks, n_tiles, scratch_.split_out, padded_);
  }

  /// All values are added.
  void finish_values() { finish<true>(); }

  /// Dimensions [d, d + 16) of a query's output over the split.
  [[nodiscard]] simd::F32 split_output(std::size_t c, std::size_t d) const {
    return simd::load(scratch_.split_out + c * padded_ + d);
  }

 private:
  using Element = typename Kv::Element;
  static constexpr std::size_t kPlanes = Kv::kType == quant::DType::kBF16 ? 1 : 2;

  static std::uint16_t* planes(float* p) { return reinterpret_cast<std::uint16_t*>(p); }
  static TileOperand in_cache(const KvSource& source, std::size_t stride) {
    const auto* elements = reinterpret_cast<const std::uint16_t*>(source.data);
    return {elements, elements, stride};
  }
  [[nodiscard]] TileOperand in_scratch(std::size_t i, std::size_t dim, std::size_t stride) const {
    std::uint16_t* block = planes(scratch_.blocks[i]);
    return {block, block + kKvBlock * dim, stride};
  }
  /// Sixteen rows of 64 pairs, not where the last two panels were, which may still be multiplied.
  TileOperand panel_in_scratch() {
    constexpr std::size_t kPanel = 16 * kKvBlock * 2;
    std::uint16_t* panel = planes(scratch_.panels) + n_panels_++ % 3 * 2 * kPanel;
    return {panel, panel + kPanel, kKvBlock * 4};
  }

  /// Of a block, 2^-24 times, as floats.
  void load_scales(const std::uint16_t* scales, std::size_t dim) const {
    for (std::size_t i = 0; i < kv_scale_bytes(Kv::kType, dim) / 2; i += 16) {
      simd::store(scratch_.scales + i, simd::mul(simd::load_f16(scales + i), simd::splat(0x1p-24F)));
    }
  }

  /// What load_scales gave, of those that are first and second in their pairs.
  struct PairScales {
    simd::F32 first, second;
  };

  /// 32 * n elements of the cache, side by side, as bfloat16; `scale_of(i)` gives the scales of 32 from i on.
  template <typename Scale>
  static void convert(const KvSource& source, std::size_t at, std::size_t n, std::uint16_t* high,
                      [[maybe_unused]] std::uint16_t* low, [[maybe_unused]] Scale scale_of) {
    const Element* from = reinterpret_cast<const Element*>(source.data) + at;
    constexpr std::size_t kDistance = 10240;  // a head's blocks lie side by side; not whole pages, which share sets
    [[maybe_unused]] std::uint32_t not_normal = 0;
    for (std::size_t i = 0; i < 32 * n; i += 32) {
      const auto* line = reinterpret_cast<const std::uint8_t*>(from + i);
      if (i * sizeof(Element) % 64 == 0) __builtin_prefetch(line + kDistance, 0, 2);
      if constexpr (Kv::kType == quant::DType::kBF16) {
        __builtin_memcpy(high + i, from + i, 64);
      } else if constexpr (Kv::kType == quant::DType::kF16) {
        not_normal |= simd::split_f16_to_bf16(from + i, high + i, low + i);
      } else {
        const PairScales scales = scale_of(i);
        simd::split_s8_to_bf16(from + i, scales.first, scales.second, high + i, low + i);
      }
    }
    if constexpr (Kv::kType == quant::DType::kF16) {
      if (__builtin_expect(not_normal == 0, 1)) return;
      for (std::size_t i = 0; i < 32 * n; i += 32) {
        simd::F32 x[2] = {Kv::load(from + i), Kv::load(from + i + 16)};
        simd::split_to_bf16(x, high + i, low + i);
      }
    }
  }

  /// Sixteen pairs of dimensions from `first` on, of all positions.
  void convert_keys(const KvSource& keys, std::size_t first, const TileOperand& to) const {
    const std::size_t n_pairs = padded_key_dim(task_.head_dim) / 2, n_vectors = (keys.n_positions + 15) / 16;
    for (std::size_t row = 0; row < 16; ++row) {
      const std::size_t pair = first + row;
      std::uint16_t* high = row_of(to.high, row, to.stride);
      std::uint16_t* low = row_of(to.low, row, to.stride);
      if (pair >= n_pairs) {
        clear_row(high, low, 4 * kKvBlock);
        continue;
      }
      convert(keys, 2 * pair * kKvBlock, n_vectors, high, low, [&](std::size_t i) -> PairScales {
        const simd::F32 of_16 = simd::load(scratch_.scales + 2 * pair / kKvScaleBlock * kKvBlock + i / 2);
        return {of_16, of_16};
      });
    }
  }

  /// Sixteen pairs of positions from `first` on, of dimensions [begin, begin + n).
  void convert_values(const KvSource& values, std::size_t first, std::size_t begin, std::size_t n, const TileOperand& to) const {
    for (std::size_t row = 0; row < 16; ++row) {
      const std::size_t pair = first + row;
      std::uint16_t* high = row_of(to.high, row, to.stride);
      std::uint16_t* low = row_of(to.low, row, to.stride);
      if (2 * pair >= values.n_positions) {
        clear_row(high, low, 4 * n);
        continue;
      }
      convert(values, 2 * (pair * padded_ + begin), n / 16, high, low, [&](std::size_t i) -> PairScales {
        const float* of_pair = scratch_.scales + (begin + i / 2) / kKvScaleBlock * kKvBlock + 2 * pair;
        return {simd::splat(of_pair[0]), simd::splat(of_pair[1])};
      });
      if (2 * pair + 1 < values.n_positions) continue;
      for (std::size_t d = 0; d < n; ++d) high[2 * d + 1] = 0;
      if constexpr (kPlanes == 2) {
        for (std::size_t d = 0; d < n; ++d) low[2 * d + 1] = 0;
      }
    }
  }

  static std::uint16_t* row_of(const std::uint16_t* plane, std::size_t row, std::size_t stride) {
    return const_cast<std::uint16_t*>(plane) + row * stride / sizeof *plane;
  }
  static void clear_row(std::uint16_t* high, [[maybe_unused]] std::uint16_t* low, std::size_t n_bytes) {
    __builtin_memset(high, 0, n_bytes);
    if constexpr (kPlanes == 2) __builtin_memset(low, 0, n_bytes);
  }

  /// Asks for what lies behind sixteen rows of 64 pairs that are read where they are.
  static void prefetch_behind(const TileOperand& rows) {
    constexpr std::size_t kDistance = 2048;
    for (std::size_t row = 0; row < 16; ++row) {
      const auto* at = reinterpret_cast<const std::uint8_t*>(row_of(rows.high, row, rows.stride)) + kDistance;
      for (std::size_t i = 0; i < kKvBlock * 4; i += 64) __builtin_prefetch(at + i);
    }
  }

  /// Takes the next panel and multiplies the one before, since what was just written for this one is not yet in the cache.
  /// Sums are stored as late: waiting for products that are under way would hold up the conversions behind them.
  template <bool kAdds>
  void push(const TilePanel& panel) {
    if (has_panel_) multiply_waiting<kAdds>();
    panel_ = panel;
    has_panel_ = true;
  }
  template <bool kAdds>
  void multiply_waiting() {
    if (open_.c != panel_.out.c) {
      if (open_.c != nullptr) open_.store();
      open_ = panel_.out;
      kAdds ? open_.load() : TileOutput::zero();
    }
    multiply_panel<kPlanes>(panel_);
  }
  template <bool kAdds>
  void finish() {
    if (has_panel_) multiply_waiting<kAdds>();
    has_panel_ = false;
    if (open_.c != nullptr) open_.store();
    open_.c = nullptr;
  }

  [[nodiscard]] bool has_few_queries() const { return task_.n_queries <= 16; }

  /// 32 floats to element `at` of an operand of our own; what they have become is left in x.
  static void put(simd::F32 (&x)[2], const TileOperand& to, std::size_t at) {
    if constexpr (kPlanes == 1) {
      simd::round_to_bf16(x, const_cast<std::uint16_t*>(to.high) + at);
    } else {
      simd::split_to_bf16(x, const_cast<std::uint16_t*>(to.high) + at, const_cast<std::uint16_t*>(to.low) + at);
    }
  }

  /// c[n_queries][16 * n_column_tiles] (+)= a · b, for more than one row tile.
  template <bool kAdds>
  void multiply(const TileOperand& a, const TileOperand& b, std::size_t n_chunks, std::size_t n_column_tiles, float* c,
                std::size_t c_stride) {
    const std::size_t n = task_.n_queries;
    for (std::size_t first = 0; first < n;) {
      const std::size_t rest = n - first;
      const TileOperand rows = a.from(first * a.stride);
      float* out = c + first * c_stride;
      if (rest > 16) {
        set_rows(16, rest < 32 ? rest - 16 : 16);
        std::size_t column = 0;
        for (; column + 2 <= n_column_tiles; column += 2) {
          multiply_two_row_tiles<2, kPlanes, kAdds>(rows, b.from(64 * column), n_chunks, out + 16 * column, c_stride);
        }
        if (column < n_column_tiles) {
          multiply_two_row_tiles<1, kPlanes, kAdds>(rows, b.from(64 * column), n_chunks, out + 16 * column, c_stride);
        }
        first += rest < 32 ? rest : 32;
      } else {
        set_rows(rest, rest);
        for (std::size_t column = 0; column < n_column_tiles; column += 4) {
          const std::size_t at_once = n_column_tiles - column < 4 ? n_column_tiles - column : 4;
          const TileOutput sums{out + 16 * column, c_stride * sizeof(float), at_once};
          kAdds ? sums.load() : TileOutput::zero();
          for (std::size_t chunk = 0; chunk < n_chunks; ++chunk) {
            multiply_panel<kPlanes>({rows.from(64 * chunk), b.from(16 * chunk * b.stride + 64 * column), sums});
          }
          sums.store();
        }
        first += rest;
      }
    }
  }

  void set_rows(std::size_t n_first, std::size_t n_second) {
    if (n_first == n_first_ && n_second == n_second_) return;
    shapes_.set(64, n_first, n_second);
    n_first_ = n_first;
    n_second_ = n_second;
  }

  const AttentionTask& task_;
  AttentionScratch scratch_;
  std::size_t key_dim_, padded_;
  std::size_t stride_;  ///< From the scores of a query to those of the next.
  std::size_t n_panels_ = 0;  ///< That went to the scratch.
  TilePanel panel_{};         ///< Waits, if there is one, until more is written.
  bool has_panel_ = false;
  TileOutput open_{};         ///< Whose sums are in the registers.
  TileOperand queries_{}, weights_{};
  std::size_t n_first_, n_second_ = n_first_;
  simd::TileShapes shapes_;
};

}  // namespace
}  // namespace woolly::kernels::WOOLLY_ISA
