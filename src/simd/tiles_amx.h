// AMX: products of byte matrices in tile registers, with exact int32 sums, and of bfloat16 with float32 sums. Beside
// vec_avx512.h, whose types it uses.
//
// A tile product adds to sums [16 columns of activations][16 rows of weights] over up to 64 bytes of k. Activations are
// read as they lie, a row of the tile for each column; weights as the lines of a panel: sixteen rows by four bytes of k.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "simd/vec.h"

namespace woolly::simd::WOOLLY_ISA {
namespace {

/// Columns of activations, and rows of weights, of a tile product.
constexpr std::size_t kTileColumns = 16;
constexpr std::size_t kTileLanes = 16;

/// The shapes of the tile registers while it lives: 0 to 3 hold sums, 4 and 5 activations, 6 and 7 weights. The state is
/// the thread's own.
class TileShapes {
 public:
  /// For products over `k_bytes` (4 to 64, a multiple of 4) of k, with `n_first` columns of activations in 4 (whose sums
  /// are 0 and 1) and `n_second` in 5 (2 and 3): 1 to 16.
  explicit TileShapes(std::size_t k_bytes, std::size_t n_first = kTileColumns, std::size_t n_second = kTileColumns) {
    set(k_bytes, n_first, n_second);
  }
  TileShapes(const TileShapes&) = delete;
  TileShapes& operator=(const TileShapes&) = delete;
  ~TileShapes() { _tile_release(); }

  /// Other shapes. What the registers held is lost.
  void set(std::size_t k_bytes, std::size_t n_first, std::size_t n_second) {
    struct alignas(64) {
      std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
      std::uint16_t row_bytes[16] = {};
      std::uint8_t n_rows[16] = {};
    } shapes;
    for (std::size_t i = 0; i < 8; ++i) {
      const bool is_activations = i == 4 || i == 5, is_weights = i >= 6, is_first = i < 2 || i == 4;
      shapes.row_bytes[i] = static_cast<std::uint16_t>(is_activations ? k_bytes : 64);
      shapes.n_rows[i] = static_cast<std::uint8_t>(is_weights ? k_bytes / 4 : is_first ? n_first : n_second);
    }
    // g++ 12 takes the next line to read 8 of the 64 bytes, and leaves out what writes the others.
    asm volatile("" ::"m"(shapes));
    _tile_loadconfig(&shapes);
  }
};

/// The low and high bytes of the 16-bit products of a weight's code and its scale: product = 256 * high + low.
struct ByteSplit {
  Bytes low;   ///< Unsigned.
  Bytes high;  ///< Signed.
};

/// (codes - kOffset) * scale, lane by lane; the codes are signed bytes where kSigned, and products fit 16 bits.
template <bool kSigned, int kOffset>
inline ByteSplit scaled_codes(Bytes codes, I32 scale) {
  const __m512i scales = _mm512_or_si512(_mm512_and_si512(scale.v, _mm512_set1_epi32(0xFFFF)), _mm512_slli_epi32(scale.v, 16));
  __m512i even, odd;
  if constexpr (kSigned) {
    even = _mm512_srai_epi16(_mm512_slli_epi16(codes.v, 8), 8);
    odd = _mm512_srai_epi16(codes.v, 8);
  } else {
    even = _mm512_and_si512(codes.v, _mm512_set1_epi16(0xFF));
    odd = _mm512_srli_epi16(codes.v, 8);
  }
  if constexpr (kOffset != 0) {
    even = _mm512_sub_epi16(even, _mm512_set1_epi16(kOffset));
    odd = _mm512_sub_epi16(odd, _mm512_set1_epi16(kOffset));
  }
  even = _mm512_mullo_epi16(even, scales);
  odd = _mm512_mullo_epi16(odd, scales);
  const __m512i low_bytes = _mm512_set1_epi16(0xFF);
  // Where the mask is set the first, elsewhere the second.
  return {{_mm512_ternarylogic_epi64(low_bytes, even, _mm512_slli_epi16(odd, 8), 0xCA)},
          {_mm512_ternarylogic_epi64(low_bytes, _mm512_srli_epi16(even, 8), odd, 0xCA)}};
}

/// codes - kOffset as signed bytes.
template <int kOffset>
inline Bytes signed_codes(Bytes codes) {
  return {_mm512_sub_epi8(codes.v, _mm512_set1_epi8(kOffset))};
}

/// Products in tile registers only, four sums in turn; gives the number of operations, a product and its sum being two.
template <bool kOfBF16>
inline std::uint64_t multiply_tiles_of_zeros(std::uint64_t n_turns) {
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  _tile_zero(4);
  _tile_zero(6);
  for (std::uint64_t turn = 0; turn < n_turns; ++turn) {
    if constexpr (kOfBF16) {
      _tile_dpbf16ps(0, 4, 6);
      _tile_dpbf16ps(1, 4, 6);
      _tile_dpbf16ps(2, 4, 6);
      _tile_dpbf16ps(3, 4, 6);
    } else {
      _tile_dpbusd(0, 4, 6);
      _tile_dpbusd(1, 4, 6);
      _tile_dpbusd(2, 4, 6);
      _tile_dpbusd(3, 4, 6);
    }
  }
  return n_turns * 4 * kTileColumns * kTileLanes * (kOfBF16 ? 32 : 64) * 2;
}

/// 32 floats as sums of two of bfloat16, each cut off: high + low has the first 16 significant bits of x.
inline void split_to_bf16(F32 (&x)[2], std::uint16_t* high, std::uint16_t* low) {
  alignas(64) static constexpr std::uint16_t kUpperWords[32] = {1,  3,  5,  7,  9,  11, 13, 15, 17, 19, 21,
                                                                23, 25, 27, 29, 31, 33, 35, 37, 39, 41, 43,
                                                                45, 47, 49, 51, 53, 55, 57, 59, 61, 63};
  const __m512i upper_words = _mm512_load_si512(kUpperWords), mask = _mm512_set1_epi32(static_cast<int>(0xFFFF0000U));
  const auto pack = [&](__m512 a, __m512 b) {
    return _mm512_permutex2var_epi16(_mm512_castps_si512(a), upper_words, _mm512_castps_si512(b));
  };
  const auto rest = [&](__m512 a) { return _mm512_sub_ps(a, _mm512_castsi512_ps(_mm512_and_si512(_mm512_castps_si512(a), mask))); };
  _mm512_storeu_si512(high, pack(x[0].v, x[1].v));
  _mm512_storeu_si512(low, pack(rest(x[0].v), rest(x[1].v)));
}

/// 32 binary16 numbers as sums of two of bfloat16, exactly: the first seven bits behind the point, and the other three.
/// Returns a bit for each that is not normal (zero, infinity and NaN too), of which nonsense is stored.
inline std::uint32_t split_f16_to_bf16(const std::uint16_t* p, std::uint16_t* high, std::uint16_t* low) {
  const __m512i h = _mm512_loadu_si512(p);
  // Sign, exponent (of five bits) and mantissa where bfloat16 has them; the exponents' zero points are 15 and 127.
  const __m512i moved = _mm512_and_si512(_mm512_srai_epi16(h, 3), _mm512_set1_epi16(static_cast<short>(0x8FFF)));
  const __m512i of_high = _mm512_add_epi16(moved, _mm512_set1_epi16(112 << 7));
  _mm512_storeu_si512(high, of_high);
  // The last three bits are a number 0 to 7 times 2^(exponent - 25): what is to be taken from the high part's exponent, and
  // more than there is for 0.
  alignas(64) static constexpr std::uint16_t kThreeBits[8] = {0xFFFF,
                                                              0x3F80 + (10 << 7) - 0x3F80,
                                                              0x3F80 + (10 << 7) - 0x4000,
                                                              0x3F80 + (10 << 7) - 0x4040,
                                                              0x3F80 + (10 << 7) - 0x4080,
                                                              0x3F80 + (10 << 7) - 0x40A0,
                                                              0x3F80 + (10 << 7) - 0x40C0,
                                                              0x3F80 + (10 << 7) - 0x40E0};
  const __m512i table = _mm512_broadcast_i32x4(_mm_load_si128(reinterpret_cast<const __m128i*>(kThreeBits)));
  const __m512i exponent = _mm512_and_si512(of_high, _mm512_set1_epi16(static_cast<short>(0xFF80)));  // and sign
  const __m512i less = _mm512_permutexvar_epi16(h, table);  // of the index five bits count
  _mm512_storeu_si512(low, _mm512_subs_epu16(exponent, less));
  // The exponents 0 and 31: one more has no bit set but the lowest and the sixth.
  return _mm512_testn_epi16_mask(_mm512_add_epi16(moved, _mm512_set1_epi16(1 << 7)), _mm512_set1_epi16(0x1E << 7));
}

/// 32 int8 numbers times `even` and `odd` in turn, which hold 2^-24 of their scales, as sums of two of bfloat16 as above.
inline void split_s8_to_bf16(const std::int8_t* p, F32 even, F32 odd, std::uint16_t* high, std::uint16_t* low) {
  const __m512i pairs = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  const __m512i top = _mm512_set1_epi32(static_cast<int>(0xFF000000U)), mask = _mm512_set1_epi32(static_cast<int>(0xFFFF0000U));
  // Each in the top byte of a lane, which is 2^24 times it.
  const __m512 x0 = _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_slli_epi32(pairs, 24)), even.v);
  const __m512 x1 = _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_and_si512(_mm512_slli_epi32(pairs, 16), top)), odd.v);
  const auto cut = [&](__m512 x) { return _mm512_castsi512_ps(_mm512_and_si512(_mm512_castps_si512(x), mask)); };
  const auto store_pairs = [&](std::uint16_t* to, __m512 a, __m512 b) {  // bits of b where the mask is set, of a elsewhere
    const __m512i of_a = _mm512_srli_epi32(_mm512_castps_si512(a), 16);
    _mm512_storeu_si512(to, _mm512_ternarylogic_epi32(mask, _mm512_castps_si512(b), of_a, 0xCA));
  };
  store_pairs(high, x0, x1);
  store_pairs(low, _mm512_sub_ps(x0, cut(x0)), _mm512_sub_ps(x1, cut(x1)));
}

inline void store_bytes(std::uint8_t* p, Bytes a) { _mm512_store_si512(p, a.v); }
inline I32 load_i32(const std::int32_t* p) { return {_mm512_loadu_si512(p)}; }

}  // namespace
}  // namespace woolly::simd::WOOLLY_ISA
