#include <gtest/gtest.h>

#include <vector>

#include "kernels/dispatch.h"

namespace woolly::test {
namespace {

using kernels::KernelTable;

/// One line that differs changes what comes back, wherever it lies and however many streams read.
TEST(Roof, EveryLineIsRead) {
  constexpr std::size_t kBytes = 4096;
  for (const KernelTable* table : kernels::available_tables()) {
    for (const std::size_t n_streams : {1U, 2U, 4U}) {
      std::vector<std::byte> data(kBytes);
      ASSERT_EQ(table->read_stream(data.data(), kBytes, n_streams), 0u) << table->name;
      for (std::size_t line = 0; line < kBytes / 64; ++line) {
        data[line * 64 + line % 64] = std::byte{1};
        EXPECT_EQ(table->read_stream(data.data(), kBytes, n_streams), 1u) << table->name << ", line " << line;
        data[line * 64 + line % 64] = std::byte{0};
      }
    }
  }
}

TEST(Roof, OperationsGrowWithTheTurns) {
  for (const KernelTable* table : kernels::available_tables()) {
    for (const auto loop : {table->integer_loop, table->float_loop, table->bf16_loop}) {
      if (loop == nullptr) continue;
      const std::uint64_t one = loop(1);
      EXPECT_GT(one, 0u) << table->name;
      EXPECT_EQ(one % 32, 0u) << table->name;
      EXPECT_EQ(loop(1000), 1000 * one) << table->name;
    }
  }
}

}  // namespace
}  // namespace woolly::test
