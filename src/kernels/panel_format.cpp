#include "kernels/panel_format.h"

#include <cstring>
#include <utility>

namespace woolly::kernels {
namespace {

using quant::DType;

/// The code of column j (0..31) of a row, from the planes of 32 columns.
template <DType kType>
unsigned code_of(const std::uint8_t* sub, std::size_t row, std::size_t j) {
  constexpr PanelFormat kFormat = panel_format(kType);
  constexpr CodeBits kLow = kFormat.low, kHigh = kFormat.high;
  const std::size_t v = 2 * (j / 4) + row / 16;
  const auto byte = [&](std::size_t line) { return unsigned{sub[64 * line + 4 * (row % 16) + j % 4]}; };
  if constexpr (kFormat.has_plane6()) {
    const std::size_t first = v / 4 * 3;
    if (v % 4 < 3) return byte(first + v % 4) & 63U;
    return byte(first) >> 6U << 4U | byte(first + 1) >> 6U << 2U | byte(first + 2) >> 6U;
  } else {
    unsigned code = byte(v * kLow.n_bits / 8) >> v * kLow.n_bits % 8 & kLow.mask();
    if constexpr (kHigh.n_bits > 0) {
      const std::size_t line = 2 * kLow.n_bits + v * kHigh.n_bits / 8;
      code |= (byte(line) >> v * kHigh.n_bits % 8 & kHigh.mask()) << kLow.n_bits;
    }
    return code;
  }
}

void put_bits(const CodeBits& bits, std::size_t column, unsigned value, std::uint8_t* block) {
  std::uint8_t& byte = block[bits.byte_of(column)];
  byte = static_cast<std::uint8_t>(byte | (value & bits.mask()) << bits.shift_of(column));
}

template <DType kType>
void unpack_blocks(const std::uint8_t* panel, std::size_t row, std::size_t n_blocks, std::uint8_t* out) {
  constexpr PanelFormat kFormat = panel_format(kType);
  for (std::size_t b = 0; b < n_blocks; ++b, panel += kFormat.packed_bytes(), out += kFormat.block_bytes) {
    std::memset(out, 0, kFormat.block_bytes);
    for (std::uint32_t w = 0; w < kFormat.n_words; ++w) {
      std::memcpy(out + kFormat.words_at + 2 * w, panel + 2 * (w * kPanelRows + row), 2);
    }
    const std::uint8_t* bytes = panel + std::size_t{64} * kFormat.n_words;
    for (std::uint32_t i = 0; i < kFormat.n_bytes; ++i) out[kFormat.bytes_at + i] = bytes[i * kPanelRows + row];
    const std::uint8_t* planes = panel + kFormat.header_bytes();
    for (std::size_t i = 0; i < kFormat.block_k; ++i) {
      const unsigned code = code_of<kType>(planes + i / 32 * kFormat.sub_bytes(), row, i % 32);
      put_bits(kFormat.low, i, code, out);
      if constexpr (kFormat.high.n_bits > 0) put_bits(kFormat.high, i, code >> kFormat.low.n_bits, out);
    }
  }
}

bool is_float(DType type) { return type == DType::kF32 || type == DType::kF16 || type == DType::kBF16; }

}  // namespace

std::size_t panel_bytes(DType type, std::size_t k) noexcept {
  const quant::DTypeInfo& info = quant::info(type);
  if (type == DType::kBF16) k += k % 2;
  const std::uint32_t block_bytes = info.flat.block_bytes != 0 ? info.flat.block_bytes : info.block_bytes;
  return k / info.block_k * block_bytes * kPanelRows;
}

void unpack_row(DType type, const std::uint8_t* panel, std::size_t row, std::size_t k, std::byte* out) noexcept {
  auto* to = reinterpret_cast<std::uint8_t*>(out);
  if (is_float(type)) {
    const std::size_t size = quant::info(type).block_bytes;
    const std::size_t in_line = type == DType::kBF16 ? 2 : 1;  // columns
    for (std::size_t j = 0; j < k; ++j) {
      const std::size_t at = (j / in_line * kPanelRows + row) * in_line + j % in_line;
      std::memcpy(to + j * size, panel + at * size, size);
    }
    return;
  }
  const auto unpack = [&]<DType kType>() {
    if (kType == type) unpack_blocks<kType>(panel, row, k / panel_format(kType).block_k, to);
  };
  [&]<std::size_t... kRows>(std::index_sequence<kRows...>) {
    (unpack.template operator()<kPanelFormats[kRows].type>(), ...);
  }(std::make_index_sequence<std::size(kPanelFormats)>());
}

}  // namespace woolly::kernels
