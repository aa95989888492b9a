// Bytes of blocks for the tests of the codecs, and the comparison with a formula that is written per weight from the
// specification, in double and over raw byte offsets, apart from the structs and loops of src/quant.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <random>
#include <vector>

#include "quant/dtype.h"

namespace woolly::test {

/// One block, indexed as numbers.
class BlockBytes {
 public:
  explicit BlockBytes(std::size_t n_bytes, int fill = 0) : bytes_(n_bytes, static_cast<std::byte>(fill)) {}

  void set(std::size_t at, int value) { bytes_[at] = static_cast<std::byte>(value); }
  /// Two bytes, little-endian: a half or a 16-bit number.
  void set16(std::size_t at, int value) {
    set(at, value & 255);
    set(at + 1, value >> 8);
  }
  [[nodiscard]] int at(int index) const { return std::to_integer<int>(bytes_[static_cast<std::size_t>(index)]); }
  [[nodiscard]] int at16(int index) const { return at(index) | at(index + 1) << 8; }
  [[nodiscard]] int nibble(int index, bool high) const { return high ? at(index) / 16 : at(index) % 16; }
  [[nodiscard]] bool bit(int index, int n) const { return (at(index) >> n) % 2 == 1; }
  /// The binary16 at `index` by its definition.
  [[nodiscard]] double half(int index) const {
    const int bits = at16(index);
    const int exponent = bits / 1024 % 32;
    const double fraction = bits % 1024;
    const double magnitude = exponent == 31  ? fraction != 0 ? std::nan("") : HUGE_VAL
                             : exponent == 0 ? std::ldexp(fraction, -24)
                                             : std::ldexp(1024 + fraction, exponent - 25);
    return bits >= 0x8000 ? -magnitude : magnitude;
  }

  [[nodiscard]] const std::vector<std::byte>& bytes() const { return bytes_; }

 private:
  friend BlockBytes random_block(std::size_t n_bytes, std::mt19937& random);
  std::vector<std::byte> bytes_;
};

inline BlockBytes random_block(std::size_t n_bytes, std::mt19937& random) {
  BlockBytes block(n_bytes);
  for (std::byte& b : block.bytes_) b = static_cast<std::byte>(random() & 255);
  return block;
}

inline std::vector<float> decode(quant::DType type, const BlockBytes& block) {
  const quant::DTypeInfo& info = quant::info(type);
  EXPECT_EQ(block.bytes().size(), info.block_bytes);
  std::vector<float> out(info.block_k, -12345.0f);
  info.decode(block.bytes().data(), 1, out.data());
  return out;
}

/// The weight `i` of a block by the specification.
using Formula = std::function<double(const BlockBytes&, int i)>;

/// Holds the codec against `formula` on `block`. They agree exactly: a double holds all products and the sum, and the
/// codec rounds once.
inline void expect_formula(quant::DType type, const BlockBytes& block, const Formula& formula) {
  const std::vector<float> decoded = decode(type, block);
  for (std::size_t i = 0; i < decoded.size(); ++i) {
    const float expected = static_cast<float>(formula(block, static_cast<int>(i)));
    if (std::isnan(expected)) {
      ASSERT_TRUE(std::isnan(decoded[i])) << quant::info(type).name << " weight " << i;
    } else {
      ASSERT_EQ(decoded[i], expected) << quant::info(type).name << " weight " << i;
    }
  }
}

/// The same on blocks of all-zero bits, all-one bits, single ones and random ones.
inline void expect_formula_on_many_blocks(quant::DType type, const Formula& formula) {
  const std::size_t n_bytes = quant::info(type).block_bytes;
  expect_formula(type, BlockBytes(n_bytes, 0x00), formula);
  expect_formula(type, BlockBytes(n_bytes, 0xFF), formula);
  std::mt19937 random(1234);
  for (int i = 0; i < 2000; ++i) expect_formula(type, random_block(n_bytes, random), formula);
}

}  // namespace woolly::test
