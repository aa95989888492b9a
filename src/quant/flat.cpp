#include "quant/flat.h"

#include <array>
#include <cstring>

#include "quant/blocks.h"
#include "quant/codebooks.h"

namespace woolly::quant {
namespace {

template <typename Block>
Block load(const std::uint8_t* block) noexcept {
  Block loaded;
  std::memcpy(&loaded, block, sizeof loaded);
  return loaded;
}

template <typename Flat>
void store(const Flat& flat, std::uint8_t* to) noexcept {
  std::memcpy(to, &flat, sizeof flat);
}

/// The bits of a byte, a byte for each.
constexpr std::array<std::uint64_t, 256> kSpread = [] {
  std::array<std::uint64_t, 256> spread{};
  for (std::size_t byte = 0; byte < 256; ++byte) {
    for (std::size_t i = 0; i < 8; ++i) spread[byte] |= std::uint64_t{byte >> i & 1U} << (8 * i);
  }
  return spread;
}();

// Codes of eight weights at a time, a byte for each, gathered to words of the planes. An eight is numbered 0..31.

struct Plane2 {
  std::uint64_t words[8] = {};
  void put(std::size_t eight, std::uint64_t codes) noexcept {
    words[eight / 16 * 4 + eight % 4] |= codes << (2 * (eight / 4 % 4));
  }
};

struct Plane1 {
  std::uint64_t words[4] = {};
  void put(std::size_t eight, std::uint64_t codes) noexcept { words[eight % 4] |= codes << (eight / 4); }
};

struct Plane4 {
  std::uint64_t words[16] = {};
  void put(std::size_t eight, std::uint64_t codes) noexcept {
    words[eight / 4 * 2 + eight % 2] |= codes << (4 * (eight / 2 % 2));
  }
};

template <typename Plane, std::size_t kBytes>
void store_plane(const Plane& plane, std::uint8_t (&to)[kBytes]) noexcept {
  static_assert(sizeof plane.words == kBytes);
  std::memcpy(to, plane.words, kBytes);
}

/// The planes of Flat3.
struct Planes3 {
  Plane2 low;
  Plane1 high;
  void put(std::size_t eight, std::uint64_t codes, unsigned high_bits) noexcept {
    low.put(eight, codes);
    high.put(eight, kSpread[high_bits]);
  }
  template <typename Flat>
  void store_to(Flat& flat) const noexcept {
    store_plane(low, flat.low);
    store_plane(high, flat.high);
  }
};

/// A scale of four bits as nibble `i`.
void put_nibble(std::uint8_t* scales, std::size_t i, unsigned scale) noexcept {
  scales[i / 2] = static_cast<std::uint8_t>(scales[i / 2] | (scale & 0xF) << (4 * (i % 2)));
}

std::uint32_t word_at(const std::uint8_t* bytes) noexcept {
  std::uint32_t word;
  std::memcpy(&word, bytes, 4);
  return word;
}

/// Of the 32 bits that end 32 weights of IQ2_XXS and IQ3_XXS: the signs of eight, l = 0..3.
unsigned signs_of(std::uint32_t tail, std::size_t l) noexcept { return even_signs(tail >> (7 * l) & 127); }

}  // namespace

void flatten_tq1_0(const std::uint8_t* block, std::uint8_t* flat) noexcept {
  const auto from = load<BlockTQ1_0>(block);
  BlockTQ2_0 to{};
  to.d = from.d;
  std::size_t column = 0;
  const auto digits = [&](const std::uint8_t* bytes, std::size_t n_bytes, std::size_t n_digits) {
    unsigned power = 1;
    for (std::size_t n = 0; n < n_digits; ++n, power *= 3) {
      for (std::size_t m = 0; m < n_bytes; ++m, ++column) {
        const unsigned q = (bytes[m] * power & 255) * 3 >> 8;
        std::uint8_t& byte = to.qs[column / 128 * 32 + column % 32];
        byte = static_cast<std::uint8_t>(byte | q << (2 * (column / 32 % 4)));
      }
    }
  };
  digits(from.qs, 32, 5);
  digits(from.qs + 32, 16, 5);
  digits(from.qh, 4, 4);
  store(to, flat);
}

void flatten_iq1_s(const std::uint8_t* block, std::uint8_t* flat) noexcept {
  const auto from = load<BlockIQ1_S>(block);
  FlatIQ1_S to{.d = from.d, .scales = {}, .qs = {}};
  Plane2 plane;
  for (std::size_t i = 0; i < 32; ++i) {
    const unsigned index = unsigned{from.qs[i]} | (unsigned{from.qh[i / 4]} >> (3 * (i % 4)) & 7U) << 8;
    plane.put(i, kIQ1Codebook[index]);
  }
  for (std::size_t b = 0; b < 8; ++b) put_nibble(to.scales, b, from.qh[b] >> 12U);
  store_plane(plane, to.qs);
  store(to, flat);
}

void flatten_iq1_m(const std::uint8_t* block, std::uint8_t* flat) noexcept {
  const auto from = load<BlockIQ1_M>(block);
  Flat3<8> to{};
  Planes3 planes;
  for (std::size_t i = 0; i < 32; ++i) {
    const unsigned nibble = unsigned{from.qh[i / 2]} >> (4 * (i % 2));
    planes.put(i, kIQ1Codebook[unsigned{from.qs[i]} | (nibble & 7U) << 8], (nibble & 8) != 0 ? 0xFF : 0);
  }
  for (std::size_t i = 0; i < 16; ++i) put_nibble(to.scales, i, from.scales[i / 4] >> (3 * (i % 4)) & 7U);
  unsigned d = 0;
  for (std::size_t i = 0; i < 4; ++i) d |= unsigned{from.scales[i]} >> 12U << (4 * i);
  to.d = static_cast<std::uint16_t>(d);
  planes.store_to(to);
  store(to, flat);
}

void flatten_iq2_xxs(const std::uint8_t* block, std::uint8_t* flat) noexcept {
  const auto from = load<BlockIQ2_XXS>(block);
  Flat3<4> to{.d = from.d, .scales = {}, .low = {}, .high = {}};
  Planes3 planes;
  for (std::size_t b = 0; b < 8; ++b) {
    const std::uint32_t tail = word_at(from.qs + 8 * b + 4);
    for (std::size_t l = 0; l < 4; ++l) planes.put(4 * b + l, kIQ2XxsCodebook[from.qs[8 * b + l]], signs_of(tail, l));
    put_nibble(to.scales, b, tail >> 28);
  }
  planes.store_to(to);
  store(to, flat);
}

void flatten_iq2_xs(const std::uint8_t* block, std::uint8_t* flat) noexcept {
  const auto from = load<BlockIQ2_XS>(block);
  Flat3<8> to{.d = from.d, .scales = {}, .low = {}, .high = {}};
  Planes3 planes;
  for (std::size_t i = 0; i < 32; ++i) {
    planes.put(i, kIQ2XsCodebook[from.qs[i] & 511U], even_signs(from.qs[i] >> 9U));
  }
  std::memcpy(to.scales, from.scales, 8);
  planes.store_to(to);
  store(to, flat);
}

void flatten_iq2_s(const std::uint8_t* block, std::uint8_t* flat) noexcept {
  const auto from = load<BlockIQ2_S>(block);
  Flat3<8> to{.d = from.d, .scales = {}, .low = {}, .high = {}};
  Planes3 planes;
  for (std::size_t i = 0; i < 32; ++i) {
    const unsigned index = unsigned{from.qs[i]} | (unsigned{from.qh[i / 4]} >> (2 * (i % 4)) & 3U) << 8;
    planes.put(i, kIQ2SCodebook[index], from.signs[i]);
  }
  std::memcpy(to.scales, from.scales, 8);
  planes.store_to(to);
  store(to, flat);
}

void flatten_iq3_xxs(const std::uint8_t* block, std::uint8_t* flat) noexcept {
  const auto from = load<BlockIQ3_XXS>(block);
  Flat4 to{.d = from.d, .scales = {}, .qs = {}};
  Plane4 plane;
  for (std::size_t b = 0; b < 8; ++b) {
    const std::uint32_t tail = word_at(from.tails + 4 * b);
    for (std::size_t l = 0; l < 4; ++l) {
      const std::uint8_t* indices = from.qs + 8 * b + 2 * l;
      const std::uint64_t codes = kIQ3XxsCodebook[indices[0]] | std::uint64_t{kIQ3XxsCodebook[indices[1]]} << 32;
      plane.put(4 * b + l, codes | kSpread[signs_of(tail, l)] << 3);
    }
    put_nibble(to.scales, b, tail >> 28);
  }
  store_plane(plane, to.qs);
  store(to, flat);
}

void flatten_iq3_s(const std::uint8_t* block, std::uint8_t* flat) noexcept {
  const auto from = load<BlockIQ3_S>(block);
  Flat4 to{.d = from.d, .scales = {}, .qs = {}};
  Plane4 plane;
  for (std::size_t i = 0; i < 32; ++i) {
    const unsigned tops = unsigned{from.qh[i / 4]} >> (2 * (i % 4));
    const unsigned first = unsigned{from.qs[2 * i]} | (tops & 1U) << 8, second = unsigned{from.qs[2 * i + 1]} | (tops & 2U) << 7;
    const std::uint64_t codes = kIQ3SCodebook[first] | std::uint64_t{kIQ3SCodebook[second]} << 32;
    plane.put(i, codes | kSpread[from.signs[i]] << 3);
  }
  std::memcpy(to.scales, from.scales, 4);
  store_plane(plane, to.qs);
  store(to, flat);
}

}  // namespace woolly::quant
