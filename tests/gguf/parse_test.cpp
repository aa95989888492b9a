// The preamble and the metadata of hostile files; tensors_test.cpp has the tensors.
#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gguf/gguf.h"
#include "support/gguf_builder.h"

namespace woolly::gguf {
namespace {

using test::ByteWriter;
using test::GgufBuilder;
using test::parse_bytes;

/// Parses `bytes`, which must fail with `code` and a message of one line that contains `part`.
void expect_error(std::vector<std::byte> bytes, std::string_view part, ErrorCode code = ErrorCode::kInvalidFile) {
  const auto file = parse_bytes(std::move(bytes));
  ASSERT_FALSE(file) << "expected: " << part;
  EXPECT_EQ(file.error().code, code) << file.error().message;
  EXPECT_NE(file.error().message.find(part), std::string::npos) << file.error().message << "\nexpected: " << part;
  EXPECT_EQ(file.error().message.find("test.gguf: "), 0u) << file.error().message;
  EXPECT_EQ(file.error().message.find('\n'), std::string::npos);
}

GgufBuilder small_file() {
  GgufBuilder builder;
  builder.add_string("general.architecture", "llama").add_strings("tokens", {"<s>", "wool"}).add_u32("n", 3);
  builder.add_tensor("a", {4, 2}, std::vector<float>(8, 1.0f)).add_tensor("b", {3}, std::vector<float>(3, 2.0f));
  return builder;
}

TEST(Parse, Parse_ReadsVersions2And3) {
  for (const std::uint32_t version : {2u, 3u}) {
    const auto file = parse_bytes(small_file().build(version));
    ASSERT_TRUE(file) << file.error().message;
    EXPECT_EQ(file->version(), version);
    EXPECT_EQ(file->metadata.entries().size(), 3u);
    EXPECT_EQ(*file->metadata.get_string("general.architecture"), "llama");
    EXPECT_EQ(file->tensors().size(), 2u);
  }
}

TEST(Parse, Parse_KeepsTheHeaderAlive) {
  Result<File> parsed = parse_bytes(small_file().build());
  ASSERT_TRUE(parsed);
  const File file = std::move(parsed).value();
  EXPECT_EQ((*file.metadata.strings("tokens"))[1], "wool");
  EXPECT_EQ(file.tensors()[1].name, "b");
}

TEST(Parse, Parse_TakesAFileWithoutTensors) {
  const auto file = parse_bytes(GgufBuilder().add_u32("n", 3).build());
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_TRUE(file->tensors().empty());
  EXPECT_EQ(file->tensor_bytes(), 0u);
  EXPECT_TRUE(parse_bytes(GgufBuilder().build()));
}

TEST(Parse, Parse_RejectsOtherMagic) {
  expect_error({}, "version: the file ends at 0");
  auto bytes = small_file().build();
  bytes[0] = std::byte{'g'};
  expect_error(bytes, "begins with 'gGUF', a GGUF file begins with 'GGUF'");
  bytes[1] = std::byte{'\n'};
  expect_error(bytes, "begins with 'g\\x0aUF'");
}

TEST(Parse, Parse_RejectsOtherVersionsAndByteOrders) {
  for (const std::uint32_t version : {0u, 1u, 4u, 0xFFFFFFFFu}) {
    expect_error(small_file().build(version), "GGUF version " + std::to_string(version) + ", expected 2 or 3",
                 ErrorCode::kUnsupported);
  }
  expect_error(small_file().build(0x03000000u), "big-endian", ErrorCode::kUnsupported);
}

TEST(Parse, Parse_RejectsCountsThatTheFileCannotHold) {
  for (const std::uint64_t count : {std::uint64_t{1000}, std::uint64_t{1} << 40, std::uint64_t{1} << 61,
                                    std::uint64_t{1} << 63, ~std::uint64_t{0}}) {
    expect_error(small_file().claim_counts(2, count).build(), "metadata: " + std::to_string(count) + " of at least");
    expect_error(small_file().claim_counts(count, 3).build(), "tensors: " + std::to_string(count) + " of at least");
  }
}

TEST(Parse, Parse_RejectsASmallFileThatAsksForGigabytes) {
  for (const std::uint64_t length : {std::uint64_t{1} << 32, ~std::uint64_t{0}, ~std::uint64_t{0} - 20}) {
    const ByteWriter text = ByteWriter().number(length);
    expect_error(GgufBuilder().add_value("k", ValueType::kString, text.bytes()).build(), "k: ");
    for (const ValueType type : {ValueType::kU8, ValueType::kU32, ValueType::kF64, ValueType::kString}) {
      const ByteWriter array = GgufBuilder::array_head(type, length);
      expect_error(GgufBuilder().add_value("k", ValueType::kArray, array.bytes()).build(), "k: ");
    }
  }
  // 2^61 elements of 8 bytes are 2^64 bytes, which wraps to none.
  const ByteWriter array = GgufBuilder::array_head(ValueType::kU64, std::uint64_t{1} << 61);
  expect_error(GgufBuilder().add_value("k", ValueType::kArray, array.bytes()).build(), "k: 2305843009213693952 of");
}

TEST(Parse, Parse_RejectsNestedArrays) {
  const ByteWriter array = GgufBuilder::array_head(ValueType::kArray, 1)
                               .raw(GgufBuilder::array_head(ValueType::kU8, 1).number<std::uint8_t>(1).bytes());
  expect_error(GgufBuilder().add_value("k", ValueType::kArray, array.bytes()).build(), "k: an array of arrays",
               ErrorCode::kUnsupported);
}

TEST(Parse, Parse_RejectsUnknownValueTypes) {
  const std::vector<std::byte> zeros(16);
  expect_error(GgufBuilder().add_value("k", static_cast<ValueType>(13), zeros).build(), "k: value type 13, expected 0");
  expect_error(GgufBuilder().add_value("k", static_cast<ValueType>(0xFFFFFFFF), zeros).build(),
               "value type 4294967295");
  const ByteWriter array = GgufBuilder::array_head(static_cast<ValueType>(99), 0);
  expect_error(GgufBuilder().add_value("k", ValueType::kArray, array.bytes()).build(), "k: array of type 99");
}

TEST(Parse, Parse_RejectsBoolsThatAreNeitherTrueNorFalse) {
  expect_error(GgufBuilder().add_value("k", ValueType::kBool, ByteWriter().number<std::uint8_t>(2).bytes()).build(),
               "k: a bool of value 2, expected 0 or 1");
  const ByteWriter array = GgufBuilder::array_head(ValueType::kBool, 2).number(true).number<std::uint8_t>(255);
  expect_error(GgufBuilder().add_value("k", ValueType::kArray, array.bytes()).build(), "a bool of value 255");
}

TEST(Parse, Parse_RejectsDuplicateKeys) {
  expect_error(GgufBuilder().add_u32("k", 1).add_u32("other", 1).add_u32("k", 1).build(),
               "metadata key k appears twice");
}

TEST(Parse, Parse_RejectsOverlongKeys) {
  EXPECT_TRUE(parse_bytes(GgufBuilder().add_u32(std::string(65535, 'k'), 1).build()));
  expect_error(GgufBuilder().add_u32(std::string(65536, 'k'), 1).build(),
               "metadata key 0: 65536 bytes long, expected at most 65535");
}

TEST(Parse, Parse_KeepsMessagesOnOneLine) {
  const std::string key = "evil\n\x1b[2J";
  expect_error(GgufBuilder().add_u32(key, 1).add_u32(key, 1).build(), "evil\\x0a\\x1b[2J appears twice");
}

TEST(Parse, Parse_RejectsAlignmentsThatAreNoPowerOfTwoOrTooLarge) {
  for (const std::uint32_t alignment : {0u, 3u, 48u, 1u << 21, 0x80000000u, 0xFFFFFFFFu}) {
    expect_error(GgufBuilder().add_u32("general.alignment", alignment).build(),
                 "general.alignment: " + std::to_string(alignment) + ", expected a power of two from 1 to 1048576");
  }
  expect_error(GgufBuilder().add_string("general.alignment", "32").build(),
               "general.alignment: a value of type string");
  expect_error(GgufBuilder().add_i32("general.alignment", -32).build(), "general.alignment: -32");
}

TEST(Parse, Parse_AsksForMoreWhereOnlyTheHeaderEnds) {
  const auto bytes = small_file().build();
  const auto whole = parse_bytes(bytes);
  ASSERT_TRUE(whole);
  const std::size_t data_begin = whole->tensors()[0].offset;
  std::size_t n_asked = 0;
  for (std::size_t n = 0; n <= bytes.size(); ++n) {
    bool needs_more = false;
    const auto header =
        std::make_shared<const std::vector<std::byte>>(bytes.begin(), bytes.begin() + static_cast<int>(n));
    const auto file = parse(header, bytes.size(), "test.gguf", &needs_more);
    EXPECT_EQ(file.has_value(), !needs_more) << n;
    if (needs_more) ++n_asked;
    if (n >= data_begin) {
      EXPECT_TRUE(file) << n;
    }
  }
  EXPECT_GT(n_asked, data_begin - 32);
}

TEST(Parse, Parse_NeverAsksForMoreThanTheFileHas) {
  const auto bytes = small_file().build();
  for (std::size_t n = 0; n < bytes.size(); ++n) {
    bool needs_more = true;
    const auto header =
        std::make_shared<const std::vector<std::byte>>(bytes.begin(), bytes.begin() + static_cast<int>(n));
    EXPECT_FALSE(parse(header, n, "test.gguf", &needs_more)) << n;
    EXPECT_FALSE(needs_more) << n;
  }
  // A length beyond the end of the file is an error at once, whatever part of it is here.
  const ByteWriter text = ByteWriter().number(std::uint64_t{1} << 40);
  const auto hostile = GgufBuilder().add_value("k", ValueType::kString, text.bytes()).build();
  bool needs_more = true;
  EXPECT_FALSE(parse(std::make_shared<const std::vector<std::byte>>(hostile), 1 << 20, "test.gguf", &needs_more));
  EXPECT_FALSE(needs_more);
}

TEST(Parse, Parse_TakesNoMoreOfTheHeaderThanTheFileIsLong) {
  const auto bytes = small_file().build();
  EXPECT_FALSE(parse(std::make_shared<const std::vector<std::byte>>(bytes), 40, "test.gguf"));
}

TEST(Parse, Parse_SurvivesEveryChangeOfOneByte) {
  const auto bytes = small_file().build();
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    for (const int value : {0, 1, 2, 0x20, 0x7F, 0x80, 0xFF}) {
      auto changed = bytes;
      changed[at] = static_cast<std::byte>(value);
      const auto file = parse_bytes(std::move(changed));
      EXPECT_TRUE(file || !file.error().message.empty());
    }
  }
}

}  // namespace
}  // namespace woolly::gguf
