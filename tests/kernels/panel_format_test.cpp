#include "kernels/panel_format.h"

#include <gtest/gtest.h>

#include "kernels/support.h"

namespace woolly::test {
namespace {

/// The code of column i of a file block, as ggml-quants.c has it, or of a flat block.
unsigned code_of(DType type, const std::uint8_t* block, std::size_t i) {
  const auto field = [&](std::size_t at, std::size_t bit, unsigned mask) { return unsigned{block[at]} >> bit & mask; };
  const auto nibble32 = [&](std::size_t at) { return field(at + i % 16, i / 16 * 4, 15); };
  const auto bit32 = [&](std::size_t at) { return field(at + i / 8, i % 8, 1) << 4; };
  const auto nibble64 = [&](std::size_t at) { return field(at + i / 64 * 32 + i % 32, i / 32 % 2 * 4, 15); };
  const auto pair128 = [&](std::size_t at) { return field(at + i / 128 * 32 + i % 32, i / 32 % 4 * 2, 3); };
  const auto bit256 = [&](std::size_t at) { return field(at + i % 32, i / 32, 1); };
  switch (type) {
    case DType::kQ4_0:
    case DType::kIQ4_NL: return nibble32(2);
    case DType::kQ4_1: return nibble32(4);
    case DType::kMXFP4: return nibble32(1);
    case DType::kQ5_0: return nibble32(6) | bit32(2);
    case DType::kQ5_1: return nibble32(8) | bit32(4);
    case DType::kQ8_0: return block[2 + i];
    case DType::kQ2_K: return pair128(16);
    case DType::kQ3_K: return pair128(32) | bit256(0) << 2;
    case DType::kQ4_K: return nibble64(16);
    case DType::kQ5_K: return nibble64(48) | bit256(16) << 4;
    case DType::kQ6_K: return field(i / 128 * 64 + i % 64, i / 64 % 2 * 4, 15) | pair128(128) << 4;
    case DType::kIQ4_XS: return field(8 + i / 32 * 16 + i % 16, i / 16 % 2 * 4, 15);
    case DType::kTQ1_0:
    case DType::kTQ2_0: return pair128(0);
    case DType::kIQ1_S: return pair128(6);
    case DType::kIQ2_XXS: return pair128(6) | bit256(70) << 2;
    case DType::kIQ1_M:
    case DType::kIQ2_XS:
    case DType::kIQ2_S: return pair128(10) | bit256(74) << 2;
    case DType::kIQ3_XXS:
    case DType::kIQ3_S: return field(6 + i / 32 * 16 + i % 16, i / 16 % 2 * 4, 15);
    case DType::kF32:
    case DType::kF16:
    case DType::kBF16: break;
  }
  ADD_FAILURE() << "no codes of type " << static_cast<int>(type);
  return 0;
}

/// The bits of the planes of a type, low bits of the codes first; 6 for the 6-bit plane.
std::vector<std::size_t> planes_of(DType type) {
  switch (type) {
    case DType::kQ8_0: return {8};
    case DType::kQ6_K: return {6};
    case DType::kQ5_0:
    case DType::kQ5_1:
    case DType::kQ5_K: return {4, 1};
    case DType::kIQ1_M:
    case DType::kIQ2_XXS:
    case DType::kIQ2_XS:
    case DType::kIQ2_S:
    case DType::kQ3_K: return {2, 1};
    case DType::kIQ1_S:
    case DType::kTQ1_0:
    case DType::kTQ2_0:
    case DType::kQ2_K: return {2};
    default: return {4};
  }
}

/// The code of a row and a column (0..31) to its planes, as the head of panel_format.h says.
void put_code(DType type, std::size_t row, std::size_t column, unsigned code, std::uint8_t* planes) {
  const std::size_t half = row / 16, group = column / 4, byte = 4 * (row % 16) + column % 4;
  const auto put = [&](std::size_t line, std::size_t bit, unsigned bits) {
    std::uint8_t& to = planes[64 * line + byte];
    to = static_cast<std::uint8_t>(to | bits << bit);
  };
  for (const std::size_t n_bits : planes_of(type)) {
    const unsigned bits = code & ((1U << n_bits) - 1);
    switch (n_bits) {
      case 8: put(2 * group + half, 0, bits); break;
      case 4: put(group, 4 * half, bits); break;
      case 2: put(group / 2, group % 2 * 4 + 2 * half, bits); break;
      case 1: put(group / 4, group % 4 * 2 + half, bits); break;
      default:
        if (group % 2 == 0 || half == 0) {
          put(group / 2 * 3 + group % 2 * 2 + half, 0, bits);
        } else {
          for (std::size_t i = 0; i < 3; ++i) put(group / 2 * 3 + i, 6, bits >> (4 - 2 * i) & 3);
        }
    }
    code >>= n_bits;
    planes += 128 * n_bits;
  }
}

/// Blocks as panels have them: flat where the type is run so.
std::vector<std::uint8_t> blocks_of(const quant::DTypeInfo& info, const std::uint8_t* blocks, std::size_t n_blocks) {
  if (info.flat.block_bytes == 0) return {blocks, blocks + n_blocks * info.block_bytes};
  std::vector<std::uint8_t> flat(n_blocks * info.flat.block_bytes);
  for (std::size_t b = 0; b < n_blocks; ++b) {
    info.flat.flatten(blocks + b * info.block_bytes, flat.data() + b * info.flat.block_bytes);
  }
  return flat;
}

std::vector<std::uint8_t> expected_panel(const quant::DTypeInfo& info, const std::uint8_t* file_rows, std::size_t n_rows,
                                         std::size_t k) {
  std::vector<std::uint8_t> panel(kernels::panel_bytes(info.type, k));
  const std::size_t n_blocks = k / info.block_k;
  const std::size_t size = info.flat.block_bytes != 0 ? info.flat.block_bytes : info.block_bytes;
  const std::vector<std::uint8_t> all = blocks_of(info, file_rows, n_rows * n_blocks);
  const std::uint8_t* rows = all.data();
  for (std::size_t row = 0; row < n_rows; ++row) {
    for (std::size_t b = 0; b < n_blocks; ++b) {
      const std::uint8_t* block = rows + (row * n_blocks + b) * size;
      std::uint8_t* to = panel.data() + b * kPanelRows * size;
      if (info.type == DType::kBF16) {
        std::memcpy(panel.data() + 128 * (b / 2) + 4 * row + 2 * (b % 2), block, size);
        continue;
      }
      if (info.block_k == 1) {
        std::memcpy(to + row * size, block, size);
        continue;
      }
      const kernels::PanelFormat& format = kernels::panel_format(info.type);
      for (std::size_t i = 0; i < format.n_words; ++i) std::memcpy(to + 64 * i + 2 * row, block + format.words_at + 2 * i, 2);
      to += 64 * format.n_words;
      for (std::size_t i = 0; i < format.n_bytes; ++i) to[kPanelRows * i + row] = block[format.bytes_at + i];
      to += kPanelRows * format.n_bytes;
      for (std::size_t i = 0; i < info.block_k; ++i) {
        put_code(info.type, row, i % 32, code_of(info.type, block, i), to + i / 32 * format.sub_bytes());
      }
    }
  }
  return panel;
}

/// Whole vectors of columns, parts of one, and less than one.
std::vector<std::size_t> lengths_of(const quant::DTypeInfo& info) {
  if (info.block_k == 1) return {1, 2, 3, 4, 7, 8, 9, 31, 100};
  return {info.block_k, 3 * info.block_k};
}

class Panel : public testing::TestWithParam<quant::DTypeInfo> {};

/// Rows at an odd address that end where their memory does, so that a sanitizer sees a read beyond them.
TEST_P(Panel, IsPackedAsTheFormatSaysOnAllTables) {
  std::mt19937 random(1);
  for (const std::size_t k : lengths_of(GetParam())) {
    const std::size_t row_bytes = k / GetParam().block_k * GetParam().block_bytes;
    for (std::size_t n_rows = 1; n_rows <= kPanelRows; ++n_rows) {
      std::vector<std::uint8_t> rows(1 + n_rows * row_bytes);
      for (std::uint8_t& byte : rows) byte = static_cast<std::uint8_t>(random());
      const auto expected = expected_panel(GetParam(), rows.data() + 1, n_rows, k);
      for (const kernels::KernelTable* table : kernels::available_tables()) {
        std::vector<std::uint8_t> panel(expected.size(), 0xA5);
        table->matmul(GetParam().type)->pack(rows.data() + 1, row_bytes, n_rows, k, panel.data());
        ASSERT_EQ(panel, expected) << table->name << ", k " << k << ", " << n_rows << " rows";
      }
    }
  }
}

TEST_P(Panel, UnpackedRowsAreTheirBlocks) {
  std::mt19937 random(2);
  for (const std::size_t k : lengths_of(GetParam())) {
    const auto rows = random_rows(GetParam().type, kPanelRows, k, random);
    const auto panel = pack(GetParam().type, rows, kPanelRows, k);
    const auto expected = blocks_of(GetParam(), reinterpret_cast<const std::uint8_t*>(rows.data()),
                                    rows.size() / GetParam().block_bytes);
    std::vector<std::byte> row(expected.size() / kPanelRows);
    for (std::size_t r = 0; r < kPanelRows; ++r) {
      kernels::unpack_row(GetParam().type, panel.data(), r, k, row.data());
      ASSERT_EQ(std::memcmp(row.data(), expected.data() + r * row.size(), row.size()), 0) << "k " << k << ", row " << r;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Kernels, Panel, testing::ValuesIn(quant::all_dtypes().begin(), quant::all_dtypes().end()),
                         [](const auto& tested) { return std::string(tested.param.name); });

}  // namespace
}  // namespace woolly::test
