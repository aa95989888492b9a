#include "base/byte_reader.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <string_view>
#include <vector>

namespace woolly::base {
namespace {

std::vector<std::byte> bytes_of(std::initializer_list<int> values) {
  std::vector<std::byte> bytes;
  for (const int value : values) bytes.push_back(static_cast<std::byte>(value));
  return bytes;
}

TEST(ByteReader, Read_TakesLittleEndianNumbersInOrder) {
  const auto bytes = bytes_of({0x01, 0x34, 0x12, 0xFE, 0xFF, 0xFF, 0xFF, 0x00, 0x00, 0x80, 0x3F});
  ByteReader reader(bytes);
  EXPECT_EQ(reader.read<std::uint8_t>(), 1);
  EXPECT_EQ(reader.read<std::uint16_t>(), 0x1234);
  EXPECT_EQ(reader.read<std::int32_t>(), -2);
  EXPECT_EQ(reader.read<float>(), 1.0f);
  EXPECT_EQ(reader.remaining(), 0u);
  EXPECT_FALSE(reader.failed());
}

TEST(ByteReader, Read_PastTheEndGivesZeroAndSticks) {
  const auto bytes = bytes_of({1, 2, 3});
  ByteReader reader(bytes);
  EXPECT_EQ(reader.read<std::uint32_t>(), 0u);
  EXPECT_TRUE(reader.failed());
  EXPECT_EQ(reader.position(), 0u);
  EXPECT_EQ(reader.read<std::uint8_t>(), 0) << "a read that would fit fails too once one has failed";
}

TEST(ByteReader, ReadText_ViewsTheBytes) {
  const auto bytes = bytes_of({'a', 'b', 'c'});
  ByteReader reader(bytes);
  EXPECT_EQ(reader.read_text(2), "ab");
  EXPECT_EQ(reader.position(), 2u);
  EXPECT_EQ(reader.read_text(2), "");
  EXPECT_TRUE(reader.failed());
}

TEST(ByteReader, ReadBytes_OfNoBytesSucceedsAtTheEnd) {
  ByteReader reader({});
  EXPECT_TRUE(reader.read_bytes(0).empty());
  EXPECT_FALSE(reader.failed());
}

TEST(ByteReader, ReadBytes_AndSkipRefuseLengthsThatWouldWrap) {
  const auto bytes = bytes_of({1, 2, 3, 4});
  for (const std::uint64_t length : {std::uint64_t{5}, std::numeric_limits<std::uint64_t>::max()}) {
    ByteReader reader(bytes);
    reader.skip(1);
    EXPECT_TRUE(reader.read_bytes(length).empty());
    EXPECT_TRUE(reader.failed());
    ByteReader skipper(bytes);
    skipper.skip(1);
    skipper.skip(length);
    EXPECT_TRUE(skipper.failed());
    EXPECT_EQ(skipper.position(), 1u);
  }
}

}  // namespace
}  // namespace woolly::base
