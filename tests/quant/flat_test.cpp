// Ternary types and those with codebooks, written per weight from the format, over raw byte offsets. What a codebook holds
// is a fact of the format that nothing else says: it is held against hashes of what ggml makes of the same bytes.
#include "quant/flat.h"

#include <gtest/gtest.h>

#include <bit>
#include <cstring>
#include <set>

#include "quant/block_formula.h"
#include "quant/blocks.h"
#include "quant/codebooks.h"

namespace woolly::test {
namespace {

using quant::DType;

int bits_at(const BlockBytes& b, int byte, int bit, int n) { return ((b.at(byte) | b.at(byte + 1) << 8) >> bit) % (1 << n); }

/// Weight j of a pattern.
template <typename Codebook>
int digit(const Codebook& codebook, int index, int j) {
  return static_cast<int>(codebook.at(static_cast<std::size_t>(index)) >> (8 * j) & 255U);
}

double iq2_magnitude(int digit) { return std::array{8.0, 25.0, 43.0}.at(static_cast<std::size_t>(digit)); }

/// The sign of weight j of eight of whose signs seven are written.
double even_sign(int seven, int j) {
  const int bit = j < 7 ? seven >> j & 1 : std::popcount(static_cast<unsigned>(seven)) & 1;
  return bit == 1 ? -1.0 : 1.0;
}

/// Of the four bytes at `at`, which end 32 weights: the sign of weight i of them, and their scale.
struct Tail {
  std::uint32_t bits;
  Tail(const BlockBytes& b, int at) : bits(static_cast<std::uint32_t>(b.at16(at)) | static_cast<std::uint32_t>(b.at16(at + 2)) << 16) {}
  [[nodiscard]] double sign(int i) const { return even_sign(static_cast<int>(bits >> (7 * (i / 8)) & 127U), i % 8); }
  [[nodiscard]] double scale() const { return bits >> 28; }
};

TEST(Flat, TQ2_0_IsThreeValues) {
  expect_formula_on_many_blocks(DType::kTQ2_0, [](const BlockBytes& b, int i) {
    return b.half(64) * (bits_at(b, i / 128 * 32 + i % 32, i % 128 / 32 * 2, 2) - 1);
  });
}

TEST(Flat, TQ1_0_IsTernaryDigits) {
  BlockBytes block(54);
  block.set16(52, 0x3800);
  block.set(0, 0xFF);  // 255 / 256 is 0.22222... to the base of three
  block.set(1, 86);    // 86 / 256 is 0.10000...
  const auto w = decode(DType::kTQ1_0, block);
  for (std::size_t n = 0; n < 5; ++n) {
    EXPECT_EQ(w[32 * n], 0.5F);
    EXPECT_EQ(w[32 * n + 1], n == 0 ? 0.0F : -0.5F);
  }
  expect_formula_on_many_blocks(DType::kTQ1_0, [](const BlockBytes& b, int i) {
    const int byte = i < 160 ? i % 32 : i < 240 ? 32 + (i - 160) % 16 : 48 + (i - 240) % 4;
    const int n = i < 160 ? i / 32 : i < 240 ? (i - 160) / 16 : (i - 240) / 4;
    double fraction = b.at(byte) / 256.0;
    for (int k = 0; k < n; ++k) fraction = fraction * 3 - std::floor(fraction * 3);
    return b.half(52) * (std::floor(fraction * 3) - 1);
  });
}

TEST(Flat, IQ2_XXS_HasSignsAndScaleBehindIndices) {
  expect_formula_on_many_blocks(DType::kIQ2_XXS, [](const BlockBytes& b, int i) {
    const int at = 2 + i / 32 * 8;
    const Tail tail(b, at + 4);
    return b.half(0) / 4 * (0.5 + tail.scale()) * tail.sign(i % 32) *
           iq2_magnitude(digit(quant::kIQ2XxsCodebook, b.at(at + i % 32 / 8), i % 8));
  });
}

TEST(Flat, IQ2_XS_HasSignsBesideIndices) {
  expect_formula_on_many_blocks(DType::kIQ2_XS, [](const BlockBytes& b, int i) {
    const int word = b.at16(2 + i / 8 * 2);
    return b.half(0) / 4 * (0.5 + b.nibble(66 + i / 32, i / 16 % 2 == 1)) * even_sign(word >> 9, i % 8) *
           iq2_magnitude(digit(quant::kIQ2XsCodebook, word % 512, i % 8));
  });
}

TEST(Flat, IQ2_S_HasAllSigns) {
  expect_formula_on_many_blocks(DType::kIQ2_S, [](const BlockBytes& b, int i) {
    const int index = b.at(2 + i / 8) + 256 * (b.at(66 + i / 32) >> (i / 8 % 4 * 2) & 3);
    return b.half(0) / 4 * (0.5 + b.nibble(74 + i / 32, i / 16 % 2 == 1)) * (b.bit(34 + i / 8, i % 8) ? -1 : 1) *
           iq2_magnitude(digit(quant::kIQ2SCodebook, index, i % 8));
  });
}

TEST(Flat, IQ3_XXS_NamesFourWeights) {
  expect_formula_on_many_blocks(DType::kIQ3_XXS, [](const BlockBytes& b, int i) {
    const Tail tail(b, 66 + i / 32 * 4);
    const int level = digit(quant::kIQ3XxsCodebook, b.at(2 + i / 4), i % 4);
    return b.half(0) / 2 * (0.5 + tail.scale()) * tail.sign(i % 32) * (level == 7 ? 62 : 8 * level + 4);
  });
}

TEST(Flat, IQ3_S_NamesFourWeights) {
  expect_formula_on_many_blocks(DType::kIQ3_S, [](const BlockBytes& b, int i) {
    const int index = b.at(2 + i / 4) + (b.bit(66 + i / 32, i / 4 % 8) ? 256 : 0);
    return b.half(0) * (1 + 2 * b.nibble(106 + i / 64, i / 32 % 2 == 1)) * (b.bit(74 + i / 8, i % 8) ? -1 : 1) *
           (2 * digit(quant::kIQ3SCodebook, index, i % 4) + 1);
  });
}

TEST(Flat, IQ1_S_ShiftsThirtyTwoWeights) {
  expect_formula_on_many_blocks(DType::kIQ1_S, [](const BlockBytes& b, int i) {
    const int qh = b.at16(34 + i / 32 * 2), index = b.at(2 + i / 8) + 256 * (qh >> (i / 8 % 4 * 3) & 7);
    const double shift = qh >= 0x8000 ? -0.125 : 0.125;
    return b.half(0) * (2 * (qh >> 12 & 7) + 1) * (digit(quant::kIQ1Codebook, index, i % 8) - 1 + shift);
  });
}

TEST(Flat, IQ1_M_ShiftsEightWeights) {
  expect_formula_on_many_blocks(DType::kIQ1_M, [](const BlockBytes& b, int i) {
    const int nibble = b.nibble(32 + i / 16, i / 8 % 2 == 1), index = b.at(i / 8) + 256 * (nibble & 7);
    BlockBytes d(2);
    d.set16(0, b.nibble(49, true) | b.nibble(51, true) << 4 | b.nibble(53, true) << 8 | b.nibble(55, true) << 12);
    const int scale = b.at16(48 + i / 64 * 2) >> (i / 16 % 4 * 3) & 7;
    return d.half(0) * (2 * scale + 1) * (digit(quant::kIQ1Codebook, index, i % 8) - 1 + (nibble >= 8 ? -0.125 : 0.125));
  });
}

/// FNV-1a over the words of what 512 blocks decode to, zeros without their signs.
std::uint64_t hash_of_decoded(const quant::DTypeInfo& info) {
  constexpr std::size_t kBlocks = 512;
  std::vector<std::byte> bytes(kBlocks * info.block_bytes);
  std::uint32_t random = 12345;
  for (std::byte& byte : bytes) {
    random = random * 1664525 + 1013904223;
    byte = static_cast<std::byte>(random >> 24);
  }
  const std::size_t half = info.type == DType::kTQ1_0 ? 52 : info.type == DType::kTQ2_0 ? 64 : 0;
  for (std::size_t b = 0; b < kBlocks; ++b) {
    std::byte* block = bytes.data() + b * info.block_bytes;
    if (info.type == DType::kIQ1_M) {  // the highest bits of its scale
      block[55] = (block[55] & std::byte{0x0F}) | std::byte{0x30};
    } else {
      block[half] = std::byte{0x00};
      block[half + 1] = std::byte{0x38};
    }
  }
  std::vector<float> weights(kBlocks * info.block_k);
  info.decode(bytes.data(), kBlocks, weights.data());
  std::uint64_t hash = 0xCBF29CE484222325;
  for (const float w : weights) hash = (hash ^ std::bit_cast<std::uint32_t>(w + 0.0F)) * 0x100000001B3;
  return hash;
}

TEST(Flat, DecodesAsGgmlDoes) {
  constexpr std::pair<DType, std::uint64_t> kHashes[] = {
    {DType::kIQ1_S, 0xfc713b3f261e2325},
    {DType::kIQ1_M, 0x3fea09ad288ef865},
    {DType::kIQ2_XXS, 0x706b041639846325},
    {DType::kIQ2_XS, 0xbbc14f4da8476325},
    {DType::kIQ2_S, 0xf84a2d2ecb2dc325},
    {DType::kIQ3_XXS, 0x39a910c51bafe325},
    {DType::kIQ3_S, 0xa5822b29a57fa325},
    {DType::kTQ1_0, 0x56fb33a83c4a2325},
    {DType::kTQ2_0, 0x375fdc44ce4a2325},
  };
  for (const auto& [type, hash] : kHashes) EXPECT_EQ(hash_of_decoded(quant::info(type)), hash) << quant::info(type).name;
}

/// Each pattern has its own place, and each digit one of the values that there are.
TEST(Flat, CodebooksAreAscending) {
  const auto check = [](const auto& codebook, int n_values) {
    for (std::size_t i = 0; i < codebook.size(); ++i) {
      if (i > 0) {
        EXPECT_LT(codebook[i - 1], codebook[i]);
      }
      for (std::size_t j = 0; j < sizeof codebook[i]; ++j) EXPECT_LT(codebook[i] >> (8 * j) & 255U, unsigned(n_values));
    }
  };
  check(quant::kIQ2XxsCodebook, 3);
  check(quant::kIQ2XsCodebook, 3);
  check(quant::kIQ2SCodebook, 3);
  check(quant::kIQ1Codebook, 3);
  check(quant::kIQ3XxsCodebook, 8);
  check(quant::kIQ3SCodebook, 8);
}

/// What the panels are made of decodes to the weights of the file.
TEST(Flat, FlatBlocksDecodeToTheSame) {
  std::mt19937 random(5);
  std::size_t n_types = 0;
  for (const quant::DTypeInfo& info : quant::all_dtypes()) {
    if (info.flat.block_bytes == 0) continue;
    ++n_types;
    const BlockBytes block = random_block(info.block_bytes, random);
    std::vector<std::uint8_t> flat(info.flat.block_bytes);
    info.flat.flatten(reinterpret_cast<const std::uint8_t*>(block.bytes().data()), flat.data());
    std::vector<float> weights(info.block_k);
    info.flat.decode(reinterpret_cast<const std::byte*>(flat.data()), 1, weights.data());
    EXPECT_EQ(std::memcmp(weights.data(), decode(info.type, block).data(), weights.size() * 4), 0) << info.name;
  }
  EXPECT_EQ(n_types, 8U);
}

}  // namespace
}  // namespace woolly::test
