#include "os/memory.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

namespace woolly::os {
namespace {

constexpr std::uint64_t kMiB = std::uint64_t{1} << 20;

bool is_all(const std::byte* from, std::uint64_t n, int value) {
  return std::all_of(from, from + n, [&](std::byte b) { return b == static_cast<std::byte>(value); });
}

TEST(Memory, IsAlignedAndZero) {
  for (const std::uint64_t bytes :
       {std::uint64_t{1}, std::uint64_t{4096}, 2 * kMiB - 1, 2 * kMiB, 2 * kMiB + 1, 7 * kMiB}) {
    auto memory = Memory::reserve(bytes, "test");
    ASSERT_TRUE(memory) << memory.error().message;
    EXPECT_EQ(memory->size(), bytes);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(memory->data()) % (2 * kMiB), 0u);
    EXPECT_TRUE(is_all(memory->data(), bytes, 0));
    std::memset(memory->data(), 0x5A, bytes);
    EXPECT_TRUE(is_all(memory->data(), bytes, 0x5A));
  }
}

TEST(Memory, CostsNothingUntilTouched) {
  auto memory = Memory::reserve(std::uint64_t{1} << 40, "a cache");  // 1 TiB
  if (!memory) GTEST_SKIP() << "strict overcommit: " << memory.error().message;
  memory->data()[memory->size() - 1] = std::byte{1};
  EXPECT_EQ(memory->data()[memory->size() - 1], std::byte{1});
}

TEST(Memory, NamesThePurposeAndTheSizeThatAreRefused) {
  for (const std::uint64_t bytes : {std::uint64_t{1} << 62, ~std::uint64_t{0}}) {
    const auto memory = Memory::reserve(bytes, "keys and values");
    ASSERT_FALSE(memory);
    EXPECT_EQ(memory.error().code, ErrorCode::kLimitExceeded);
    EXPECT_NE(memory.error().message.find("keys and values"), std::string::npos) << memory.error().message;
    EXPECT_NE(memory.error().message.find(std::to_string(bytes)), std::string::npos) << memory.error().message;
  }
}

TEST(Memory, SomeOfTheMachinesIsAvailable) {
  EXPECT_GT(available_memory(), kMiB);
  EXPECT_LT(available_memory(), std::uint64_t{1} << 50);
}

TEST(Memory, ResidentIsWhatThisProcessHasTaken) {
  const std::uint64_t before = resident_memory();
  EXPECT_GT(before, 100U << 10U);
  auto memory = Memory::reserve(64 * kMiB, "test");
  ASSERT_TRUE(memory);
  EXPECT_LT(resident_memory(), before + 32 * kMiB);
  memory->populate();
  EXPECT_GE(resident_memory(), before + 60 * kMiB);
}

TEST(Memory, RejectsZeroBytes) {
  const auto memory = Memory::reserve(0, "weights");
  ASSERT_FALSE(memory);
  EXPECT_EQ(memory.error().code, ErrorCode::kInvalidArgument);
}

TEST(Memory, PopulatedMemoryIsThereAndZero) {
  auto memory = Memory::reserve(4 * kMiB + 123, "test");
  ASSERT_TRUE(memory);
  memory->populate();
  const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  std::vector<unsigned char> is_resident((memory->size() + page - 1) / page);
  ASSERT_EQ(::mincore(memory->data(), memory->size(), is_resident.data()), 0);
  EXPECT_EQ(std::ranges::count_if(is_resident, [](unsigned char flags) { return (flags & 1U) == 0; }), 0);
  EXPECT_TRUE(is_all(memory->data(), memory->size(), 0));
}

TEST(Memory, DiscardZeroesExactlyTheRange) {
  constexpr std::uint64_t kSize = 4 * kMiB + 123;
  auto memory = Memory::reserve(kSize, "test");
  ASSERT_TRUE(memory);
  const std::pair<std::uint64_t, std::uint64_t> ranges[] = {
      {0, 0}, {0, kSize}, {0, 4096}, {1, 4095}, {4095, 2}, {100, 50}, {5000, 3 * kMiB}, {kSize - 1, 1}, {kSize, 0}};
  for (const auto& [offset, bytes] : ranges) {
    std::memset(memory->data(), 0x5A, kSize);
    memory->discard(offset, bytes);
    EXPECT_TRUE(is_all(memory->data(), offset, 0x5A)) << offset << "+" << bytes;
    EXPECT_TRUE(is_all(memory->data() + offset, bytes, 0)) << offset << "+" << bytes;
    EXPECT_TRUE(is_all(memory->data() + offset + bytes, kSize - offset - bytes, 0x5A)) << offset << "+" << bytes;
  }
}

TEST(Memory, MovesItsOwnership) {
  Memory memory;
  EXPECT_EQ(memory.data(), nullptr);
  EXPECT_EQ(memory.size(), 0u);
  auto first = Memory::reserve(100, "test");
  ASSERT_TRUE(first);
  first->data()[99] = std::byte{7};
  memory = std::move(*first);
  EXPECT_EQ(memory.size(), 100u);
  EXPECT_EQ(memory.data()[99], std::byte{7});
  auto second = Memory::reserve(200, "test");
  ASSERT_TRUE(second);
  memory = std::move(*second);  // gives the first mapping back
  EXPECT_EQ(memory.size(), 200u);
  EXPECT_EQ(memory.data()[199], std::byte{0});
}

}  // namespace
}  // namespace woolly::os
