// The quantized blocks of GGUF, bit for bit, and the few steps of decoding that packers and kernels share.
//
// Source: the GGUF specification (ggml-org/ggml, docs/gguf.md) and the block formats of ggml. All numbers are
// little-endian; `f16` is IEEE binary16 kept as its bits. "Low nibble" is bits 0-3 of a byte. Where a layout speaks of
// weight `i`, weights are numbered from 0 in the order of the row. A file gives blocks no alignment: copy one out with
// `load_block` instead of casting a pointer.
//
// Plain structs and functions of internal linkage, without the standard library beyond fixed-width integers: kernels
// of every instruction set include this header.
#pragma once

#include <cstddef>
#include <cstdint>

namespace woolly::quant {

// ---- Blocks of 32 weights -------------------------------------------------------------------------------------------

/// w[i] = d * q[i], q signed.
struct BlockQ8_0 {
  static constexpr int kWeights = 32;
  std::uint16_t d;  // f16
  std::int8_t q[32];
};
static_assert(sizeof(BlockQ8_0) == 34);

/// w[i] = d * (q[i] - 8). Byte j of `qs` holds q[j] in its low nibble and q[j + 16] in its high nibble; so in all
/// 32-weight formats with `qs`.
struct BlockQ4_0 {
  static constexpr int kWeights = 32;
  std::uint16_t d;  // f16
  std::uint8_t qs[16];
};
static_assert(sizeof(BlockQ4_0) == 18);

/// w[i] = d * q[i] + m.
struct BlockQ4_1 {
  static constexpr int kWeights = 32;
  std::uint16_t d;  // f16
  std::uint16_t m;  // f16
  std::uint8_t qs[16];
};
static_assert(sizeof(BlockQ4_1) == 20);

/// w[i] = d * (q[i] - 16). Bit 4 of q[i] is bit i of the 32-bit number `qh`.
struct BlockQ5_0 {
  static constexpr int kWeights = 32;
  std::uint16_t d;  // f16
  std::uint8_t qh[4];
  std::uint8_t qs[16];
};
static_assert(sizeof(BlockQ5_0) == 22);

/// w[i] = d * q[i] + m, q as in Q5_0.
struct BlockQ5_1 {
  static constexpr int kWeights = 32;
  std::uint16_t d;  // f16
  std::uint16_t m;  // f16
  std::uint8_t qh[4];
  std::uint8_t qs[16];
};
static_assert(sizeof(BlockQ5_1) == 24);

/// w[i] = d * kIQ4NlValues[q[i]].
struct BlockIQ4_NL {
  static constexpr int kWeights = 32;
  std::uint16_t d;  // f16
  std::uint8_t qs[16];
};
static_assert(sizeof(BlockIQ4_NL) == 18);

/// w[i] = e8m0_half(e) * kE2M1Doubled[q[i]] (OCP Microscaling Formats 1.0: E2M1 elements, one E8M0 scale).
struct BlockMXFP4 {
  static constexpr int kWeights = 32;
  std::uint8_t e;
  std::uint8_t qs[16];
};
static_assert(sizeof(BlockMXFP4) == 17);

// ---- Super-blocks of 256 weights ------------------------------------------------------------------------------------
// Q2_K, Q3_K and Q6_K have 16 sub-blocks of 16 weights, the others 8 of 32: weight i lies in sub-block i / 16 or i
// / 32.

/// w[i] = d * scale * q[i] - dmin * min, with the scale in the low and the min in the high nibble of
/// scales[i / 16]. q[128 h + 32 s + l] is bits 2s and 2s + 1 of qs[32 h + l], for h < 2, s < 4, l < 32.
struct BlockQ2_K {
  static constexpr int kWeights = 256;
  std::uint8_t scales[16];
  std::uint8_t qs[64];
  std::uint16_t d;     // f16
  std::uint16_t dmin;  // f16
};
static_assert(sizeof(BlockQ2_K) == 84);

/// w[i] = d * scale * (q[i] - 4) with the signed scale q3k_scale(scales, i / 16). The low two bits of q lie in `qs` as
/// those of Q2_K; bit 2 of q[128 h + 32 s + l] is bit 4h + s of hmask[l].
struct BlockQ3_K {
  static constexpr int kWeights = 256;
  std::uint8_t hmask[32];
  std::uint8_t qs[64];
  std::uint8_t scales[12];
  std::uint16_t d;  // f16
};
static_assert(sizeof(BlockQ3_K) == 110);

/// w[i] = d * scale * q[i] - dmin * min, both of q45k_scale_min(scales, i / 32). Byte 32 c + l of `qs` holds
/// q[64 c + l] in its low and q[64 c + 32 + l] in its high nibble, for c < 4, l < 32.
struct BlockQ4_K {
  static constexpr int kWeights = 256;
  std::uint16_t d;     // f16
  std::uint16_t dmin;  // f16
  std::uint8_t scales[12];
  std::uint8_t qs[128];
};
static_assert(sizeof(BlockQ4_K) == 144);

/// As Q4_K, and bit 4 of q[32 b + l] is bit b of qh[l].
struct BlockQ5_K {
  static constexpr int kWeights = 256;
  std::uint16_t d;     // f16
  std::uint16_t dmin;  // f16
  std::uint8_t scales[12];
  std::uint8_t qh[32];
  std::uint8_t qs[128];
};
static_assert(sizeof(BlockQ5_K) == 176);

/// w[i] = d * scales[i / 16] * (q[i] - 32). The low four bits of q[128 h + 32 s + l] are the low (s < 2) or high nibble
/// of ql[64 h + 32 (s % 2) + l]; bits 4 and 5 are bits 2s and 2s + 1 of qh[32 h + l], for h < 2, s < 4, l < 32.
struct BlockQ6_K {
  static constexpr int kWeights = 256;
  std::uint8_t ql[128];
  std::uint8_t qh[64];
  std::int8_t scales[16];
  std::uint16_t d;  // f16
};
static_assert(sizeof(BlockQ6_K) == 210);

/// w[i] = d * scale * kIQ4NlValues[q[i]] with the signed scale iq4xs_scale(block, i / 32). Byte 16 b + l of `qs` holds
/// q[32 b + l] in its low and q[32 b + 16 + l] in its high nibble, for b < 8, l < 16.
struct BlockIQ4_XS {
  static constexpr int kWeights = 256;
  std::uint16_t d;  // f16
  std::uint16_t scales_h;
  std::uint8_t scales_l[4];
  std::uint8_t qs[128];
};
static_assert(sizeof(BlockIQ4_XS) == 136);

/// w[i] = d * (q[i] - 1), q two bits that lie as those of Q2_K; q = 3 is not written but means 2 d.
struct BlockTQ2_0 {
  static constexpr int kWeights = 256;
  std::uint8_t qs[64];
  std::uint16_t d;  // f16
};
static_assert(sizeof(BlockTQ2_0) == 66);

/// w[i] = d * (q[i] - 1), q in 0..2, five to a byte: the byte stands for the fraction byte / 256, whose ternary digits after
/// the point they are. Byte m of qs[0..31] has q[32 n + m], byte m of qs[32..47] has q[160 + 16 n + m], n < 5, and byte m
/// of `qh` has q[240 + 4 n + m], n < 4.
struct BlockTQ1_0 {
  static constexpr int kWeights = 256;
  std::uint8_t qs[48];
  std::uint8_t qh[4];
  std::uint16_t d;  // f16
};
static_assert(sizeof(BlockTQ1_0) == 54);

// The formats with codebooks (codebooks.h). An index names eight weights in IQ1 and IQ2, four in IQ3; indices are in the
// order of weights. In IQ2 and IQ3 it names magnitudes, and each weight has a sign. "32 b" is the first of 32 weights.

/// w[i] = d / 8 * (2 scale + 1) * ±kIQ2Values. Of 32 weights, eight bytes: four indices, then 32 bits: four times seven
/// signs, of which the eighth follows (even_signs), and a scale of four.
struct BlockIQ2_XXS {
  static constexpr int kWeights = 256;
  std::uint16_t d;  // f16
  std::uint8_t qs[64];
};
static_assert(sizeof(BlockIQ2_XXS) == 66);

/// As IQ2_XXS; a word of `qs` has nine bits of index, then seven signs. Nibble i of `scales` is the scale of 16 weights.
struct BlockIQ2_XS {
  static constexpr int kWeights = 256;
  std::uint16_t d;  // f16
  std::uint16_t qs[32];
  std::uint8_t scales[8];
};
static_assert(sizeof(BlockIQ2_XS) == 74);

/// As IQ2_XS; indices have ten bits, of which byte i of `qs` has the low eight and bits 2 (i % 4) and on of qh[i / 4] the
/// others. signs[i] has all eight signs.
struct BlockIQ2_S {
  static constexpr int kWeights = 256;
  std::uint16_t d;  // f16
  std::uint8_t qs[32];
  std::uint8_t signs[32];
  std::uint8_t qh[8];
  std::uint8_t scales[8];
};
static_assert(sizeof(BlockIQ2_S) == 82);

/// w[i] = d / 4 * (2 scale + 1) * ±kIQ3XxsValues. `tails` has the signs and scales of 32 weights as IQ2_XXS has them.
struct BlockIQ3_XXS {
  static constexpr int kWeights = 256;
  std::uint16_t d;  // f16
  std::uint8_t qs[64];
  std::uint8_t tails[32];
};
static_assert(sizeof(BlockIQ3_XXS) == 98);

/// w[i] = d * (2 scale + 1) * ±kIQ3SValues. Bit i % 8 of qh[i / 8] is bit 8 of index i; `signs` as in IQ2_S; nibble b of
/// `scales` is the scale of 32 weights.
struct BlockIQ3_S {
  static constexpr int kWeights = 256;
  std::uint16_t d;  // f16
  std::uint8_t qs[64];
  std::uint8_t qh[8];
  std::uint8_t signs[32];
  std::uint8_t scales[4];
};
static_assert(sizeof(BlockIQ3_S) == 110);

/// w[i] = d * (2 scale + 1) * (p + shift), p in -1..1 and shift 1/8 or -1/8. Of qh[b]: bits 3 l and on are the high three
/// bits of index 4 b + l, bits 12 to 14 the scale of 32 weights, bit 15 says that their shift is negative.
struct BlockIQ1_S {
  static constexpr int kWeights = 256;
  std::uint16_t d;  // f16
  std::uint8_t qs[32];
  std::uint16_t qh[8];
};
static_assert(sizeof(BlockIQ1_S) == 50);

/// As IQ1_S, but nibble i of `qh` has the high three bits of index i and the sign of the shift of its eight weights. Bits
/// 3 (i % 4) and on of scales[i / 4] are the scale of 16 weights; the high four bits of the words are, lowest first, d.
struct BlockIQ1_M {
  static constexpr int kWeights = 256;
  std::uint8_t qs[32];
  std::uint8_t qh[16];
  std::uint16_t scales[4];
};
static_assert(sizeof(BlockIQ1_M) == 56);

// ---- Flat blocks ----------------------------------------------------------------------------------------------------
// What the formats above become in memory, where an index is of no use to a vector: a code of few bits for each weight,
// whose value is in a table of sixteen. TQ1_0 becomes TQ2_0. Scales stay as they are. Nibble i of `scales` belongs to 16
// weights where there are eight bytes of them, else to 32.

/// Codes of three bits that lie as those of Q3_K: of IQ2 (four scales: IQ2_XXS) and of IQ1_M.
template <std::size_t kScaleBytes>
struct Flat3 {
  static constexpr int kWeights = 256;
  std::uint16_t d;  // f16
  std::uint8_t scales[kScaleBytes];
  std::uint8_t low[64], high[32];
};
static_assert(sizeof(Flat3<4>) == 102 && sizeof(Flat3<8>) == 106);

/// Codes of four bits that lie as those of IQ4_XS: of IQ3.
struct Flat4 {
  static constexpr int kWeights = 256;
  std::uint16_t d;  // f16
  std::uint8_t scales[4];
  std::uint8_t qs[128];
};
static_assert(sizeof(Flat4) == 134);

/// Codes of two bits that lie as those of Q2_K, 0..2 for -1..1: of IQ1_S. Bit 3 of a nibble says that the shift is negative.
struct FlatIQ1_S {
  static constexpr int kWeights = 256;
  std::uint16_t d;  // f16
  std::uint8_t scales[4];
  std::uint8_t qs[64];
};
static_assert(sizeof(FlatIQ1_S) == 70);

/// How the codes of a flat block become weights: w[i] = d * factor * (2 scale + 1) * values[code].
struct FlatValues {
  std::int8_t values[16];
  float factor;
};
/// Bit 2 of a code is the sign.
static constexpr FlatValues kIQ2Values = {{8, 25, 43, 0, -8, -25, -43, 0}, 1.0F / 8};
/// Bit 3 of a code is the sign.
static constexpr FlatValues kIQ3XxsValues = {
    {4, 12, 20, 28, 36, 44, 52, 62, -4, -12, -20, -28, -36, -44, -52, -62}, 1.0F / 4};
static constexpr FlatValues kIQ3SValues = {{1, 3, 5, 7, 9, 11, 13, 15, -1, -3, -5, -7, -9, -11, -13, -15}, 1.0F};
/// Eight times -1..1 and the shift, which is negative where bit 2 of a code is set.
static constexpr FlatValues kIQ1Values = {{-7, 1, 9, 0, -9, -1, 7, 0}, 1.0F / 8};

// ---- Steps of decoding ----------------------------------------------------------------------------------------------

/// Block `index` of consecutive ones at any address.
template <typename Block>
static inline Block load_block(const std::byte* blocks, std::size_t index) noexcept {
  Block block;
  __builtin_memcpy(&block, blocks + index * sizeof(Block), sizeof(Block));
  return block;
}

/// The values of the 4-bit codes of IQ4_NL and IQ4_XS.
static constexpr std::int8_t kIQ4NlValues[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                                 1,    13,   25,  38,  53,  69,  89,  113};

/// Twice the values of the 4-bit floats E2M1 (sign, two exponent bits, one mantissa bit), so that they are integers.
static constexpr std::int8_t kE2M1Doubled[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

/// Half of the E8M0 scale 2^(e - 127), to go with the doubled elements: 2^(e - 128), exact for every e; subnormal for
/// e < 2. The OCP text makes e = 255 a NaN; GGUF files decode it as the power of two that the rule gives, 2^127.
static inline float e8m0_half(std::uint8_t e) noexcept {
  const std::uint32_t bits = e < 2 ? 0x00200000u << e : static_cast<std::uint32_t>(e - 1) << 23;
  return __builtin_bit_cast(float, bits);
}

/// A 6-bit scale and a 6-bit min, each 0..63.
struct ScaleMin {
  std::uint8_t scale;
  std::uint8_t min;
};

/// Of sub-block `index` (0..7) of Q4_K and Q5_K. For index < 4 the scale is the low six bits of scales[index] and the
/// min those of scales[index + 4]. For the others the low four bits are the nibbles of scales[index + 4] (scale low,
/// min high), and the two high bits are bits 6 and 7 of scales[index - 4] and of scales[index].
static inline ScaleMin q45k_scale_min(const std::uint8_t (&scales)[12], int index) noexcept {
  if (index < 4) {
    return {static_cast<std::uint8_t>(scales[index] & 63), static_cast<std::uint8_t>(scales[index + 4] & 63)};
  }
  const int nibbles = scales[index + 4];
  return {static_cast<std::uint8_t>((nibbles & 0xF) | (scales[index - 4] >> 6) << 4),
          static_cast<std::uint8_t>((nibbles >> 4) | (scales[index] >> 6) << 4)};
}

/// The scale of sub-block `index` (0..15) of Q3_K, -32..31: 6 bits less 32. The low four bits are the low nibbles of
/// scales[0..7], then their high nibbles; the two high bits are bits 2 (index / 4) and up of scales[8 + index % 4].
static inline int q3k_scale(const std::uint8_t (&scales)[12], int index) noexcept {
  const int low = index < 8 ? scales[index] & 0xF : scales[index - 8] >> 4;
  const int high = (scales[8 + index % 4] >> (2 * (index / 4))) & 3;
  return (low | high << 4) - 32;
}

/// The scale of sub-block `index` (0..7) of IQ4_XS, -32..31: 6 bits less 32. The low four bits are nibble `index` of
/// `scales_l` (even indices low), the two high bits are bits 2 index and up of `scales_h`.
static inline int iq4xs_scale(const BlockIQ4_XS& block, int index) noexcept {
  const int low = (block.scales_l[index / 2] >> (4 * (index % 2))) & 0xF;
  const int high = (block.scales_h >> (2 * index)) & 3;
  return (low | high << 4) - 32;
}

/// Weight `i` (0..31) of the fifth bits of Q5_0 and Q5_1, as 0 or 16.
static inline int q5_high_bit(const std::uint8_t (&qh)[4], int i) noexcept { return ((qh[i / 8] >> (i % 8)) & 1) << 4; }

/// Eight signs from seven: of an even number of negative weights.
static inline unsigned even_signs(unsigned seven) noexcept {
  return seven | static_cast<unsigned>(__builtin_parity(seven)) << 7;
}

}  // namespace woolly::quant
