#include "kernels/panel_format.h"

#include <cstring>

#include "quant/blocks.h"

namespace woolly::kernels {
namespace {

using quant::DType;

constexpr std::size_t kMaxBlockK = 256;

/// The bytes of the codes of a file block that are not words or bytes of the header, in a form that takes one loop for
/// reading and writing: `visit(column, byte offset in the block, bit in the byte, number of bits, bit in the code)`.
template <typename Visit>
void visit_code_bits(DType type, Visit visit) {
  const auto nibbles32 = [&](std::size_t at) {
    for (std::size_t j = 0; j < 32; ++j) visit(j, at + j % 16, j / 16 * 4, 4U, 0U);
  };
  const auto high32 = [&](std::size_t at) {
    for (std::size_t j = 0; j < 32; ++j) visit(j, at + j / 8, j % 8, 1U, 4U);
  };
  const auto nibbles256 = [&](std::size_t at) {  // Q4_K, Q5_K: 64 columns in 32 bytes
    for (std::size_t i = 0; i < 256; ++i) visit(i, at + i / 64 * 32 + i % 32, i / 32 % 2 * 4, 4U, 0U);
  };
  const auto pairs256 = [&](std::size_t at, unsigned to) {  // Q2_K, Q3_K, Q6_K: 128 columns in 32 bytes
    for (std::size_t i = 0; i < 256; ++i) visit(i, at + i / 128 * 32 + i % 32, i / 32 % 4 * 2, 2U, to);
  };
  const auto bits256 = [&](std::size_t at, unsigned to) {  // Q3_K, Q5_K: bit i / 32 of byte i % 32
    for (std::size_t i = 0; i < 256; ++i) visit(i, at + i % 32, i / 32, 1U, to);
  };
  switch (type) {
    case DType::kQ4_0:
    case DType::kIQ4_NL: nibbles32(2); break;
    case DType::kQ4_1: nibbles32(4); break;
    case DType::kMXFP4: nibbles32(1); break;
    case DType::kQ5_0: nibbles32(6), high32(2); break;
    case DType::kQ5_1: nibbles32(8), high32(4); break;
    case DType::kQ8_0:
      for (std::size_t j = 0; j < 32; ++j) visit(j, 2 + j, std::size_t{0}, 8U, 0U);
      break;
    case DType::kQ2_K: pairs256(16, 0); break;
    case DType::kQ3_K: pairs256(32, 0), bits256(0, 2); break;
    case DType::kQ4_K: nibbles256(16); break;
    case DType::kQ5_K: nibbles256(48), bits256(16, 4); break;
    case DType::kQ6_K:
      for (std::size_t i = 0; i < 256; ++i) visit(i, i / 128 * 64 + i % 64, i / 64 % 2 * 4, 4U, 0U);
      pairs256(128, 4);
      break;
    case DType::kIQ4_XS:
      for (std::size_t i = 0; i < 256; ++i) visit(i, 8 + i / 32 * 16 + i % 16, i / 16 % 2 * 4, 4U, 0U);
      break;
    case DType::kF32:
    case DType::kF16:
    case DType::kBF16: break;  // no codes
  }
}

void read_codes(DType type, const std::uint8_t* block, std::uint8_t* codes) {
  visit_code_bits(type, [&](std::size_t column, std::size_t at, std::size_t bit, unsigned n_bits, unsigned to) {
    const unsigned field = static_cast<unsigned>(block[at]) >> bit & ((1U << n_bits) - 1);
    codes[column] = static_cast<std::uint8_t>(to == 0 ? field : codes[column] | field << to);
  });
}

void write_codes(DType type, const std::uint8_t* codes, std::uint8_t* block) {
  visit_code_bits(type, [&](std::size_t column, std::size_t at, std::size_t bit, unsigned n_bits, unsigned to) {
    const unsigned field = static_cast<unsigned>(codes[column]) >> to & ((1U << n_bits) - 1);
    block[at] = static_cast<std::uint8_t>(block[at] | field << bit);
  });
}

/// Where some bits of a code lie: `n_bits` from `code_bit` on, at `bit` of the bytes of the line at `line`.
struct Field {
  std::size_t line;
  unsigned n_bits, code_bit, bit;
};

/// Calls `visit(field)` for the fields of group g (0..7) and row half h, in the planes of 32 columns.
template <typename Visit>
void visit_fields(const PanelFormat& format, std::size_t g, std::size_t h, Visit visit) {
  const auto bit = [](std::size_t value) { return static_cast<unsigned>(value); };
  std::size_t at = 0;
  unsigned code_bit = 0;
  if (format.plane8) visit(Field{64 * (2 * g + h), 8, 0, 0});
  if (format.plane6) {
    const std::size_t first = 192 * (g / 2), v = g % 2 * 2 + h;
    if (v < 3) {
      visit(Field{first + 64 * v, 6, 0, 0});
    } else {
      for (std::size_t i = 0; i < 3; ++i) visit(Field{first + 64 * i, 2, bit(4 - 2 * i), 6});
    }
  }
  if (format.plane4) {
    visit(Field{64 * g, 4, 0, bit(4 * h)});
    at = 512;
    code_bit = 4;
  }
  if (format.plane2) {
    visit(Field{at + 64 * (g / 2), 2, code_bit, bit(g % 2 * 4 + 2 * h)});
    at += 256;
    code_bit += 2;
  }
  if (format.plane1) visit(Field{at + 64 * (g / 4), 1, code_bit, bit(g % 4 * 2 + h)});
}

std::uint32_t load_quad(const std::uint8_t* p) {
  std::uint32_t quad;
  std::memcpy(&quad, p, 4);
  return quad;
}

/// The codes of 32 rows by 32 columns (rows kMaxBlockK apart) to their planes, four columns of a row at a time.
void pack_planes(const PanelFormat& format, const std::uint8_t* codes, std::uint8_t* sub) {
  for (std::size_t g = 0; g < 8; ++g) {
    for (std::size_t h = 0; h < 2; ++h) {
      visit_fields(format, g, h, [&](const Field& field) {
        const std::uint32_t mask = 0x01010101U * ((1U << field.n_bits) - 1);
        for (std::size_t row = 0; row < 16; ++row) {
          const std::uint32_t bits = load_quad(codes + (16 * h + row) * kMaxBlockK + 4 * g) >> field.code_bit & mask;
          std::uint8_t* to = sub + field.line + 4 * row;
          const std::uint32_t quad = load_quad(to) | bits << field.bit;
          std::memcpy(to, &quad, 4);
        }
      });
    }
  }
}

void unpack_planes(const PanelFormat& format, const std::uint8_t* sub, std::size_t row, std::uint8_t* codes) {
  for (std::size_t j = 0; j < 32; ++j) {
    visit_fields(format, j / 4, row / 16, [&](const Field& field) {
      const std::uint8_t byte = sub[field.line + 4 * (row % 16) + j % 4];
      const unsigned bits = static_cast<unsigned>(byte) >> field.bit & ((1U << field.n_bits) - 1);
      codes[j] = static_cast<std::uint8_t>(codes[j] | bits << field.code_bit);
    });
  }
}

/// Elements of float types: [k][32].
void pack_elements(std::size_t size, const std::uint8_t* rows, std::size_t row_stride, std::size_t n_rows,
                   std::size_t k, std::uint8_t* panel) {
  std::memset(panel, 0, k * kPanelRows * size);
  for (std::size_t row = 0; row < n_rows; ++row) {
    const std::uint8_t* from = rows + row * row_stride;
    for (std::size_t j = 0; j < k; ++j) std::memcpy(panel + (j * kPanelRows + row) * size, from + j * size, size);
  }
}

bool is_float(DType type) { return type == DType::kF32 || type == DType::kF16 || type == DType::kBF16; }

}  // namespace

std::size_t panel_bytes(DType type, std::size_t k) noexcept {
  const quant::DTypeInfo& info = quant::info(type);
  return k / info.block_k * info.block_bytes * kPanelRows;
}

void pack_panel(DType type, const std::byte* rows, std::size_t row_stride, std::size_t n_rows, std::size_t k,
                std::uint8_t* panel) noexcept {
  const auto* from = reinterpret_cast<const std::uint8_t*>(rows);
  if (is_float(type)) return pack_elements(quant::info(type).block_bytes, from, row_stride, n_rows, k, panel);
  const PanelFormat& format = panel_format(type);
  std::uint8_t codes[kPanelRows * kMaxBlockK] = {};
  for (std::size_t b = 0; b < k / format.block_k; ++b) {
    std::uint8_t* to = panel + b * format.packed_bytes();
    std::memset(to, 0, format.packed_bytes());
    for (std::size_t row = 0; row < n_rows; ++row) {
      const std::uint8_t* block = from + row * row_stride + b * format.block_bytes;
      for (std::uint32_t w = 0; w < format.n_words; ++w) {
        std::memcpy(to + 2 * (w * kPanelRows + row), block + format.words_at + 2 * w, 2);
      }
      std::uint8_t* bytes = to + std::size_t{64} * format.n_words;
      for (std::uint32_t i = 0; i < format.n_bytes; ++i) bytes[i * kPanelRows + row] = block[format.bytes_at + i];
      read_codes(type, block, codes + row * kMaxBlockK);
    }
    for (std::size_t s = 0; s < format.block_k / 32; ++s) {
      pack_planes(format, codes + 32 * s, to + format.header_bytes() + s * format.sub_bytes());
    }
  }
}

void unpack_row(DType type, const std::uint8_t* panel, std::size_t row, std::size_t k, std::byte* out) noexcept {
  auto* to = reinterpret_cast<std::uint8_t*>(out);
  if (is_float(type)) {
    const std::size_t size = quant::info(type).block_bytes;
    for (std::size_t j = 0; j < k; ++j) std::memcpy(to + j * size, panel + (j * kPanelRows + row) * size, size);
    return;
  }
  const PanelFormat& format = panel_format(type);
  for (std::size_t b = 0; b < k / format.block_k; ++b) {
    const std::uint8_t* from = panel + b * format.packed_bytes();
    std::uint8_t* block = to + b * format.block_bytes;
    std::memset(block, 0, format.block_bytes);
    for (std::uint32_t w = 0; w < format.n_words; ++w) {
      std::memcpy(block + format.words_at + 2 * w, from + 2 * (w * kPanelRows + row), 2);
    }
    const std::uint8_t* bytes = from + std::size_t{64} * format.n_words;
    for (std::uint32_t i = 0; i < format.n_bytes; ++i) block[format.bytes_at + i] = bytes[i * kPanelRows + row];
    std::uint8_t codes[kMaxBlockK] = {};
    for (std::size_t s = 0; s < format.block_k / 32; ++s) {
      unpack_planes(format, from + format.header_bytes() + s * format.sub_bytes(), row, codes + 32 * s);
    }
    write_codes(type, codes, block);
  }
}

}  // namespace woolly::kernels
