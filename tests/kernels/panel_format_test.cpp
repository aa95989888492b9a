#include "kernels/panel_format.h"

#include <gtest/gtest.h>

#include "kernels/support.h"

namespace woolly::test {
namespace {

TEST(PanelFormat, UnpackGivesBackTheFilesBytesOfEveryType) {
  std::mt19937 random(1);
  for (const quant::DTypeInfo& info : quant::all_dtypes()) {
    for (const std::size_t n_rows : {std::size_t{1}, std::size_t{15}, std::size_t{31}, kPanelRows}) {
      const std::size_t k = 3 * 256;
      const auto rows = random_rows(info.type, n_rows, k, random);
      const auto panel = pack(info.type, rows, n_rows, k);
      const std::size_t row_bytes = k / info.block_k * info.block_bytes;
      EXPECT_EQ(panel.size(), row_bytes * kPanelRows) << info.name;
      std::vector<std::byte> row(row_bytes);
      for (std::size_t r = 0; r < n_rows; ++r) {
        kernels::unpack_row(info.type, panel.data(), r, k, row.data());
        ASSERT_EQ(std::memcmp(row.data(), rows.data() + r * row_bytes, row_bytes), 0) << info.name << " row " << r;
      }
    }
  }
}

TEST(PanelFormat, RowsBeyondTheMatrixAreZero) {
  std::mt19937 random(2);
  for (const quant::DTypeInfo& info : quant::all_dtypes()) {
    const auto rows = random_rows(info.type, 5, 256, random);
    const auto panel = pack(info.type, rows, 5, 256);
    std::vector<std::byte> row(256 / info.block_k * info.block_bytes, std::byte{1});
    kernels::unpack_row(info.type, panel.data(), 17, 256, row.data());
    for (const std::byte byte : row) ASSERT_EQ(byte, std::byte{0}) << info.name;
  }
}

}  // namespace
}  // namespace woolly::test
