// THE table of weight types as the matrix kernels see them: how the planes of a packed block (panel_format.h) become
// codes, and how its header becomes scales and mins. Adding a type is a specialization here and a row in
// panel_format.h.
#pragma once

#include "kernels/matmul_kernel.h"
#include "kernels/panel_format.h"
#include "quant/blocks.h"
#include "simd/vec.h"

namespace woolly::kernels::WOOLLY_ISA {
namespace simd = woolly::simd::WOOLLY_ISA;
namespace {

using quant::DType;

/// Asks for the lines that lie simd::kPrefetchBytes behind bytes [from, to) of a panel, which are read now.
[[gnu::always_inline]] inline void prefetch_behind(const std::uint8_t* panel, std::size_t from, std::size_t to) {
  if constexpr (simd::kPrefetchBytes > 0) {
    WOOLLY_UNROLL
    for (std::size_t at = (from + 63) / 64 * 64; at < to; at += 64) __builtin_prefetch(panel + at + simd::kPrefetchBytes);
  }
}

/// The same behind the codes of groups [g, g + n) of 32 columns, whose planes are at `sub`.
template <DType kType>
[[gnu::always_inline]] inline void prefetch_behind_codes(const std::uint8_t* sub, std::size_t g, std::size_t n) {
  constexpr std::size_t kGroupBytes = panel_format(kType).sub_bytes() / 8;
  prefetch_behind(sub, g * kGroupBytes, (g + n) * kGroupBytes);
}

// Codes of group g (0..7) of 32 columns for both row halves, from the planes at `sub`.

inline void codes4(const std::uint8_t* plane, std::size_t g, simd::Bytes (&codes)[2]) {
  const simd::Bytes line = simd::load_bytes(plane + 64 * g);
  const simd::Bytes mask = simd::splat_bytes(0x0F);
  codes[0] = simd::bit_and(line, mask);
  codes[1] = simd::bit_and(simd::shift_right<4>(line), mask);
}

inline void codes2(const std::uint8_t* plane, std::size_t g, simd::Bytes (&codes)[2]) {
  const simd::Bytes line = simd::load_bytes(plane + 64 * (g / 2));
  const simd::Bytes mask = simd::splat_bytes(0x03);
  if (g % 2 == 0) {
    codes[0] = simd::bit_and(line, mask);
    codes[1] = simd::bit_and(simd::shift_right<2>(line), mask);
  } else {
    codes[0] = simd::bit_and(simd::shift_right<4>(line), mask);
    codes[1] = simd::bit_and(simd::shift_right<6>(line), mask);
  }
}

/// The single bits of a group, moved to bit kTo of each byte.
template <int kTo>
inline void bits1(const std::uint8_t* plane, std::size_t g, simd::Bytes (&bits)[2]) {
  const simd::Bytes line = simd::load_bytes(plane + 64 * (g / 4));
  const simd::Bytes mask = simd::splat_bytes(std::uint8_t{1U << kTo});
  const auto move = [&]<int kFrom>() {
    if constexpr (kFrom < kTo) {
      return simd::bit_and(simd::shift_left<kTo - kFrom>(line), mask);
    } else if constexpr (kFrom > kTo) {
      return simd::bit_and(simd::shift_right<kFrom - kTo>(line), mask);
    } else {
      return simd::bit_and(line, mask);
    }
  };
  switch (g % 4) {
    case 0: bits[0] = move.template operator()<0>(), bits[1] = move.template operator()<1>(); break;
    case 1: bits[0] = move.template operator()<2>(), bits[1] = move.template operator()<3>(); break;
    case 2: bits[0] = move.template operator()<4>(), bits[1] = move.template operator()<5>(); break;
    default: bits[0] = move.template operator()<6>(), bits[1] = move.template operator()<7>(); break;
  }
}

/// Codes of groups g and g + 1 from the 6-bit plane: three lines that hold one output line each and, in their top two
/// bits, a third of the fourth.
inline void codes6(const std::uint8_t* plane, std::size_t g, simd::Bytes (&codes)[4]) {
  const std::uint8_t* lines = plane + 96 * g;  // 192 for two groups
  const simd::Bytes a = simd::load_bytes(lines), b = simd::load_bytes(lines + 64), c = simd::load_bytes(lines + 128);
  const simd::Bytes mask = simd::splat_bytes(0x3F), top = simd::splat_bytes(0xC0);
  codes[0] = simd::bit_and(a, mask);
  codes[1] = simd::bit_and(b, mask);
  codes[2] = simd::bit_and(c, mask);
  const simd::Bytes low = simd::select_bits(top, b, simd::shift_right<2>(c));
  codes[3] = simd::bit_and(simd::shift_right<2>(simd::select_bits(top, a, simd::shift_right<2>(low))), mask);
}

inline void combine(simd::Bytes (&codes)[2], const simd::Bytes (&high)[2]) {
  codes[0] = simd::bit_or(codes[0], high[0]);
  codes[1] = simd::bit_or(codes[1], high[1]);
}

// Fields of a block's header for row half h.

inline simd::F32 half_word(const std::uint8_t* block, std::size_t word, std::size_t h) {
  return simd::load_f16(reinterpret_cast<const std::uint16_t*>(block) + kPanelRows * word + 16 * h);
}

template <DType kType>
inline const std::uint8_t* header_bytes(const std::uint8_t* block, std::size_t byte, std::size_t h) {
  return block + 64 * std::size_t{panel_format(kType).n_words} + kPanelRows * byte + 16 * h;
}

/// What the types have in common: their format of activations and the parts that most lack.
template <ActFormat kFormat>
struct Common {
  static constexpr ActFormat kAct = kFormat;
  static constexpr bool kSigned = false;     ///< Codes are signed weights; else unsigned, less kOffset.
  static constexpr int kOffset = 0;
  static constexpr bool kHasMin = false;
  static constexpr std::size_t kSubBlock = 32;  ///< Columns of an integer scale; blocks of 256 only.
  static constexpr std::size_t kGroupsAtOnce = 1;  ///< Groups that `codes` unpacks, both halves of each in turn.
  static constexpr const std::int8_t* kTable = nullptr;  ///< What codes index, if they are not numbers themselves.
};

template <DType kType>
struct Unpack;

// ---- Blocks of 32 ----

template <>
struct Unpack<DType::kQ4_0> : Common<ActFormat::kA32> {
  static constexpr int kOffset = 8;
  static void codes(const std::uint8_t* sub, std::size_t g, simd::Bytes (&out)[2]) { codes4(sub, g, out); }
  static simd::F32 scale(const std::uint8_t* block, std::size_t h) { return half_word(block, 0, h); }
};

template <>
struct Unpack<DType::kQ4_1> : Common<ActFormat::kA32> {
  static constexpr bool kHasMin = true;
  static void codes(const std::uint8_t* sub, std::size_t g, simd::Bytes (&out)[2]) { codes4(sub, g, out); }
  static simd::F32 scale(const std::uint8_t* block, std::size_t h) { return half_word(block, 0, h); }
  static simd::F32 min(const std::uint8_t* block, std::size_t h) { return half_word(block, 1, h); }
};

/// Codes of five bits: the 4-bit plane and, behind it, the 1-bit plane.
inline void codes5(const std::uint8_t* sub, std::size_t g, simd::Bytes (&out)[2]) {
  simd::Bytes high[2];
  codes4(sub, g, out);
  bits1<4>(sub + 512, g, high);
  combine(out, high);
}

template <>
struct Unpack<DType::kQ5_0> : Common<ActFormat::kA32> {
  static constexpr int kOffset = 16;
  static void codes(const std::uint8_t* sub, std::size_t g, simd::Bytes (&out)[2]) { codes5(sub, g, out); }
  static simd::F32 scale(const std::uint8_t* block, std::size_t h) { return half_word(block, 0, h); }
};

template <>
struct Unpack<DType::kQ5_1> : Common<ActFormat::kA32> {
  static constexpr bool kHasMin = true;
  static void codes(const std::uint8_t* sub, std::size_t g, simd::Bytes (&out)[2]) { codes5(sub, g, out); }
  static simd::F32 scale(const std::uint8_t* block, std::size_t h) { return half_word(block, 0, h); }
  static simd::F32 min(const std::uint8_t* block, std::size_t h) { return half_word(block, 1, h); }
};

template <>
struct Unpack<DType::kQ8_0> : Common<ActFormat::kA32> {
  static constexpr bool kSigned = true;
  static void codes(const std::uint8_t* sub, std::size_t g, simd::Bytes (&out)[2]) {
    out[0] = simd::load_bytes(sub + 128 * g);
    out[1] = simd::load_bytes(sub + 128 * g + 64);
  }
  static simd::F32 scale(const std::uint8_t* block, std::size_t h) { return half_word(block, 0, h); }
};

/// Nibbles that index a table of sixteen signed values.
inline void codes_by_table(const std::int8_t* table, const std::uint8_t* sub, std::size_t g, simd::Bytes (&out)[2]) {
  codes4(sub, g, out);
  out[0] = simd::lookup16(table, out[0]);
  out[1] = simd::lookup16(table, out[1]);
}

template <>
struct Unpack<DType::kIQ4_NL> : Common<ActFormat::kA32> {
  static constexpr bool kSigned = true;
  static constexpr const std::int8_t* kTable = quant::kIQ4NlValues;
  static void codes(const std::uint8_t* sub, std::size_t g, simd::Bytes (&out)[2]) {
    codes_by_table(kTable, sub, g, out);
  }
  static simd::F32 scale(const std::uint8_t* block, std::size_t h) { return half_word(block, 0, h); }
};

template <>
struct Unpack<DType::kMXFP4> : Common<ActFormat::kA32> {
  static constexpr bool kSigned = true;
  static constexpr const std::int8_t* kTable = quant::kE2M1Doubled;
  static void codes(const std::uint8_t* sub, std::size_t g, simd::Bytes (&out)[2]) {
    codes_by_table(kTable, sub, g, out);
  }
  /// quant::e8m0_half in lanes: 2^(e - 128) as the product of two normal powers of two, exact where it is subnormal.
  static simd::F32 scale(const std::uint8_t* block, std::size_t h) {
    const simd::I32 e = simd::load_u8(header_bytes<DType::kMXFP4>(block, 0, h));
    const simd::I32 first = simd::shift_right<1>(e);
    const simd::I32 second = simd::sub(e, first);
    const auto power = [](simd::I32 exponent) {  // 2^(exponent - 64)
      return simd::as_f32(simd::shift_left<23>(simd::add(exponent, simd::splat_i32(63))));
    };
    return simd::mul(power(first), power(second));
  }
};

// ---- Blocks of 256 ----

template <>
struct Unpack<DType::kQ2_K> : Common<ActFormat::kA256> {
  static constexpr bool kHasMin = true;
  static constexpr std::size_t kSubBlock = 16;
  static void codes(const std::uint8_t* sub, std::size_t g, simd::Bytes (&out)[2]) { codes2(sub, g, out); }
  static simd::F32 scale(const std::uint8_t* block, std::size_t h) { return half_word(block, 0, h); }
  static simd::F32 min(const std::uint8_t* block, std::size_t h) { return half_word(block, 1, h); }
  static simd::I32 sub_scale(const std::uint8_t* block, std::size_t s, std::size_t h) {
    return simd::bit_and(simd::load_u8(header_bytes<DType::kQ2_K>(block, s, h)), simd::splat_i32(0x0F));
  }
  static simd::I32 sub_min(const std::uint8_t* block, std::size_t s, std::size_t h) {
    return simd::shift_right<4>(simd::load_u8(header_bytes<DType::kQ2_K>(block, s, h)));
  }
};

/// Codes of three bits: the 2-bit plane and, behind it, the 1-bit plane.
inline void codes3(const std::uint8_t* sub, std::size_t g, simd::Bytes (&out)[2]) {
  simd::Bytes high[2];
  codes2(sub, g, out);
  bits1<2>(sub + 256, g, high);
  combine(out, high);
}

template <>
struct Unpack<DType::kQ3_K> : Common<ActFormat::kA256> {
  static constexpr int kOffset = 4;
  static constexpr std::size_t kSubBlock = 16;
  static void codes(const std::uint8_t* sub, std::size_t g, simd::Bytes (&out)[2]) { codes3(sub, g, out); }
  static simd::F32 scale(const std::uint8_t* block, std::size_t h) { return half_word(block, 0, h); }
  /// quant::q3k_scale in lanes.
  static simd::I32 sub_scale(const std::uint8_t* block, std::size_t s, std::size_t h) {
    const simd::I32 nibbles = simd::load_u8(header_bytes<DType::kQ3_K>(block, s % 8, h));
    const simd::I32 low = simd::bit_and(s < 8 ? nibbles : simd::shift_right<4>(nibbles), simd::splat_i32(0x0F));
    const simd::I32 tops = simd::load_u8(header_bytes<DType::kQ3_K>(block, 8 + s % 4, h));
    simd::I32 top = tops;
    if (s / 4 == 1) top = simd::shift_right<2>(tops);
    if (s / 4 == 2) top = simd::shift_right<4>(tops);
    if (s / 4 == 3) top = simd::shift_right<6>(tops);
    top = simd::shift_left<4>(simd::bit_and(top, simd::splat_i32(3)));
    return simd::sub(simd::bit_or(low, top), simd::splat_i32(32));
  }
};

/// quant::q45k_scale_min in lanes.
template <DType kType>
struct SixBitScales : Common<ActFormat::kA256> {
  static constexpr bool kHasMin = true;
  static simd::F32 scale(const std::uint8_t* block, std::size_t h) { return half_word(block, 0, h); }
  static simd::F32 min(const std::uint8_t* block, std::size_t h) { return half_word(block, 1, h); }
  static simd::I32 byte(const std::uint8_t* block, std::size_t i, std::size_t h) {
    return simd::load_u8(header_bytes<kType>(block, i, h));
  }
  static simd::I32 tops(const std::uint8_t* block, std::size_t i, std::size_t h) {
    return simd::shift_left<4>(simd::shift_right<6>(byte(block, i, h)));
  }
  static simd::I32 sub_scale(const std::uint8_t* block, std::size_t s, std::size_t h) {
    if (s < 4) return simd::bit_and(byte(block, s, h), simd::splat_i32(63));
    return simd::bit_or(simd::bit_and(byte(block, s + 4, h), simd::splat_i32(0x0F)), tops(block, s - 4, h));
  }
  static simd::I32 sub_min(const std::uint8_t* block, std::size_t s, std::size_t h) {
    if (s < 4) return simd::bit_and(byte(block, s + 4, h), simd::splat_i32(63));
    return simd::bit_or(simd::shift_right<4>(byte(block, s + 4, h)), tops(block, s, h));
  }
};

template <>
struct Unpack<DType::kQ4_K> : SixBitScales<DType::kQ4_K> {
  static void codes(const std::uint8_t* sub, std::size_t g, simd::Bytes (&out)[2]) { codes4(sub, g, out); }
};

template <>
struct Unpack<DType::kQ5_K> : SixBitScales<DType::kQ5_K> {
  static void codes(const std::uint8_t* sub, std::size_t g, simd::Bytes (&out)[2]) { codes5(sub, g, out); }
};

template <>
struct Unpack<DType::kQ6_K> : Common<ActFormat::kA256> {
  static constexpr int kOffset = 32;
  static constexpr std::size_t kSubBlock = 16;
  static constexpr std::size_t kGroupsAtOnce = 2;
  static void codes(const std::uint8_t* sub, std::size_t g, simd::Bytes (&out)[4]) { codes6(sub, g, out); }
  static simd::F32 scale(const std::uint8_t* block, std::size_t h) { return half_word(block, 0, h); }
  static simd::I32 sub_scale(const std::uint8_t* block, std::size_t s, std::size_t h) {
    return simd::load_s8(reinterpret_cast<const std::int8_t*>(header_bytes<DType::kQ6_K>(block, s, h)));
  }
};

template <>
struct Unpack<DType::kIQ4_XS> : Common<ActFormat::kA256> {
  static constexpr bool kSigned = true;
  static constexpr const std::int8_t* kTable = quant::kIQ4NlValues;
  static void codes(const std::uint8_t* sub, std::size_t g, simd::Bytes (&out)[2]) {
    codes_by_table(kTable, sub, g, out);
  }
  static simd::F32 scale(const std::uint8_t* block, std::size_t h) { return half_word(block, 0, h); }
  /// quant::iq4xs_scale in lanes: nibble s of the bytes, bits 2s and 2s + 1 of the second word, less 32.
  static simd::I32 sub_scale(const std::uint8_t* block, std::size_t s, std::size_t h) {
    const simd::I32 nibbles = simd::load_u8(header_bytes<DType::kIQ4_XS>(block, s / 2, h));
    const simd::I32 low = simd::bit_and(s % 2 == 0 ? nibbles : simd::shift_right<4>(nibbles), simd::splat_i32(0x0F));
    const simd::I32 word = simd::load_u16(reinterpret_cast<const std::uint16_t*>(block) + kPanelRows + 16 * h);
    const simd::I32 top = simd::bit_and(simd::shift_right_by(word, static_cast<int>(2 * s)), simd::splat_i32(3));
    return simd::sub(simd::bit_or(low, simd::shift_left<4>(top)), simd::splat_i32(32));
  }
};

/// Nibble `s` of the bytes of a header.
template <DType kType>
inline simd::I32 nibble(const std::uint8_t* block, std::size_t s, std::size_t h) {
  const simd::I32 both = simd::load_u8(header_bytes<kType>(block, s / 2, h));
  return s % 2 == 0 ? simd::bit_and(both, simd::splat_i32(0x0F)) : simd::shift_right<4>(both);
}

inline simd::I32 odd_scale(simd::I32 bits) { return simd::bit_or(simd::add(bits, bits), simd::splat_i32(1)); }

/// The parts of flat blocks (quant/blocks.h) of which nibble s of the bytes is the scale of kOfScale weights.
template <DType kType, std::size_t kOfScale, const quant::FlatValues& kValues>
struct Flat : Common<ActFormat::kA256> {
  static constexpr bool kSigned = true;
  static constexpr std::size_t kSubBlock = kOfScale;
  static constexpr const std::int8_t* kTable = kValues.values;
  static void codes(const std::uint8_t* sub, std::size_t g, simd::Bytes (&out)[2]) {
    if constexpr (panel_format(kType).low.n_bits == 4) {
      codes4(sub, g, out);
    } else {
      codes3(sub, g, out);
    }
    out[0] = simd::lookup16(kTable, out[0]);
    out[1] = simd::lookup16(kTable, out[1]);
  }
  static simd::F32 scale(const std::uint8_t* block, std::size_t h) {
    return simd::mul(half_word(block, 0, h), simd::splat(kValues.factor));
  }
  static simd::I32 sub_scale(const std::uint8_t* block, std::size_t s, std::size_t h) {
    return odd_scale(nibble<kType>(block, s, h));
  }
};

template <>
struct Unpack<DType::kIQ1_M> : Flat<DType::kIQ1_M, 16, quant::kIQ1Values> {};
template <>
struct Unpack<DType::kIQ2_XXS> : Flat<DType::kIQ2_XXS, 32, quant::kIQ2Values> {};
template <>
struct Unpack<DType::kIQ2_XS> : Flat<DType::kIQ2_XS, 16, quant::kIQ2Values> {};
template <>
struct Unpack<DType::kIQ2_S> : Flat<DType::kIQ2_S, 16, quant::kIQ2Values> {};
template <>
struct Unpack<DType::kIQ3_XXS> : Flat<DType::kIQ3_XXS, 32, quant::kIQ3XxsValues> {};
template <>
struct Unpack<DType::kIQ3_S> : Flat<DType::kIQ3_S, 32, quant::kIQ3SValues> {};

/// With the shift as a min: d / 8 * (2 scale + 1) * (8 code - (8 - shift)), shift 1 or -1.
template <>
struct Unpack<DType::kIQ1_S> : Common<ActFormat::kA256> {
  static constexpr bool kHasMin = true;
  static void codes(const std::uint8_t* sub, std::size_t g, simd::Bytes (&out)[2]) { codes2(sub, g, out); }
  static simd::F32 scale(const std::uint8_t* block, std::size_t h) {
    return simd::mul(half_word(block, 0, h), simd::splat(0.125F));
  }
  static simd::F32 min(const std::uint8_t* block, std::size_t h) { return scale(block, h); }
  static simd::I32 sub_scale(const std::uint8_t* block, std::size_t s, std::size_t h) {
    const simd::I32 bits = simd::bit_and(nibble<DType::kIQ1_S>(block, s, h), simd::splat_i32(7));
    return simd::shift_left<3>(odd_scale(bits));
  }
  static simd::I32 sub_min(const std::uint8_t* block, std::size_t s, std::size_t h) {
    const simd::I32 bits = nibble<DType::kIQ1_S>(block, s, h);
    const simd::I32 scale = odd_scale(simd::bit_and(bits, simd::splat_i32(7)));
    const simd::I32 shift = simd::shift_left<1>(simd::shift_right<3>(bits));
    return simd::mul(scale, simd::add(shift, simd::splat_i32(7)));
  }
};

template <DType kType>
struct Ternary : Common<ActFormat::kA256> {
  static constexpr int kOffset = 1;
  static void codes(const std::uint8_t* sub, std::size_t g, simd::Bytes (&out)[2]) { codes2(sub, g, out); }
  static simd::F32 scale(const std::uint8_t* block, std::size_t h) { return half_word(block, 0, h); }
  static simd::I32 sub_scale(const std::uint8_t*, std::size_t, std::size_t) { return simd::splat_i32(1); }
};
template <>
struct Unpack<DType::kTQ1_0> : Ternary<DType::kTQ1_0> {};
template <>
struct Unpack<DType::kTQ2_0> : Ternary<DType::kTQ2_0> {};

// ---- Floats: column j of a line (of kLineColumns columns of sixteen rows) as float32 ----

template <DType kType>
constexpr bool kIsFloat = kType == DType::kF32 || kType == DType::kF16 || kType == DType::kBF16;

template <>
struct Unpack<DType::kF32> : Common<ActFormat::kF32> {
  static constexpr std::size_t kLineColumns = 1, kLineBytes = 64;
  static simd::F32 weights(const std::uint8_t* line, std::size_t) {
    return simd::load(reinterpret_cast<const float*>(line));
  }
};

template <>
struct Unpack<DType::kF16> : Common<ActFormat::kF32> {
  static constexpr std::size_t kLineColumns = 1, kLineBytes = 32;
  static simd::F32 weights(const std::uint8_t* line, std::size_t) {
    return simd::load_f16(reinterpret_cast<const std::uint16_t*>(line));
  }
};

template <>
struct Unpack<DType::kBF16> : Common<WOOLLY_HAS_BF16 ? ActFormat::kBF16 : ActFormat::kF32> {
  static constexpr std::size_t kLineColumns = 2, kLineBytes = 64;
  static simd::F32 weights(const std::uint8_t* line, std::size_t j) {
    const simd::I32 pairs = simd::as_i32(simd::load_bytes(line));
    return simd::as_f32(j == 0 ? simd::shift_left<16>(pairs) : simd::bit_and(pairs, simd::splat_i32(-0x10000)));
  }
};

}  // namespace
}  // namespace woolly::kernels::WOOLLY_ISA
