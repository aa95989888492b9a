// The tensor descriptions of parse.cpp.
#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

#include "gguf/gguf.h"
#include "support/gguf_builder.h"

namespace woolly::gguf {
namespace {

using quant::DType;
using test::GgufBuilder;
using test::parse_bytes;

/// Parses `bytes`, which must fail with `code` and a message that contains `part`.
void expect_error(std::vector<std::byte> bytes, std::string_view part, ErrorCode code = ErrorCode::kInvalidFile) {
  const auto file = parse_bytes(std::move(bytes));
  ASSERT_FALSE(file) << "expected: " << part;
  EXPECT_EQ(file.error().code, code) << file.error().message;
  EXPECT_NE(file.error().message.find(part), std::string::npos) << file.error().message << "\nexpected: " << part;
}

/// A tensor that claims more than the 64 bytes of data it has.
std::vector<std::byte> with_tensor(const std::vector<std::uint64_t>& shape, DType type = DType::kF32) {
  return GgufBuilder().add_tensor("t", shape, type, std::vector<std::byte>(64)).build();
}

TEST(Tensors, Parse_PlacesTensorsInTheFile) {
  GgufBuilder builder;
  builder.add_tensor("a", {4, 2}, std::vector<float>(8, 1.0f));
  builder.add_tensor("b", {256, 2, 3, 2}, DType::kQ4_K, std::vector<std::byte>(12 * 144));
  builder.add_tensor("c", {1}, {7.0f});
  const auto bytes = builder.build();
  const auto file = parse_bytes(bytes);
  ASSERT_TRUE(file) << file.error().message;
  ASSERT_EQ(file->tensors().size(), 3u);

  const TensorView& a = file->tensors()[0];
  EXPECT_EQ(a.name, "a");
  EXPECT_EQ(a.type, DType::kF32);
  EXPECT_EQ(a.n_dims, 2u);
  EXPECT_EQ(a.shape, (std::array<std::uint64_t, 4>{4, 2, 1, 1}));
  EXPECT_EQ(a.n_cols(), 4u);
  EXPECT_EQ(a.n_rows(), 2u);
  EXPECT_EQ(a.size, 32u);
  EXPECT_EQ(a.offset % 32, 0u);
  EXPECT_EQ(a.file, 0u);

  const TensorView& b = file->tensors()[1];
  EXPECT_EQ(b.type, DType::kQ4_K);
  EXPECT_EQ(b.n_rows(), 12u);
  EXPECT_EQ(b.size, 12u * 144);
  EXPECT_EQ(b.offset, a.offset + 32);

  const TensorView* c = file->find_tensor("c");
  ASSERT_EQ(c, &file->tensors()[2]);
  float value = 0;
  std::memcpy(&value, bytes.data() + c->offset, sizeof(value));
  EXPECT_EQ(value, 7.0f);
  EXPECT_EQ(c->offset + c->size, bytes.size()) << "the end of the file is inside";
  EXPECT_EQ(file->find_tensor("d"), nullptr);
  EXPECT_EQ(file->tensor_bytes(), 32u + 12 * 144 + 4);
}

TEST(Tensors, Parse_FollowsTheAlignmentOfTheFile) {
  for (const std::uint32_t alignment : {1u, 2u, 8u, 64u, 4096u, 1u << 20}) {
    GgufBuilder builder;
    builder.add_tensor("a", {1}, {1.0f}).add_tensor("b", {1}, {2.0f});
    const auto file = parse_bytes(builder.build(3, alignment));
    ASSERT_TRUE(file) << file.error().message;
    EXPECT_EQ(file->tensors()[0].offset % alignment, 0u);
    EXPECT_EQ(file->tensors()[1].offset - file->tensors()[0].offset, std::max(alignment, 4u));
  }
}

TEST(Tensors, Parse_TakesEveryTypeOfTheTable) {
  for (const quant::DTypeInfo& type : quant::all_dtypes()) {
    const std::vector<std::byte> data(3 * 2 * type.block_bytes);
    const auto file = parse_bytes(GgufBuilder().add_tensor("t", {type.block_k * 2, 3}, type.type, data).build());
    ASSERT_TRUE(file) << type.name << file.error().message;
    EXPECT_EQ(file->tensors()[0].size, data.size()) << type.name;
  }
}

TEST(Tensors, Parse_RejectsTensorPastEndOfFile) {
  auto bytes = with_tensor({16});
  EXPECT_TRUE(parse_bytes(bytes));
  bytes.pop_back();
  const std::string size = std::to_string(bytes.size());
  expect_error(bytes, "tensor t: ends at byte " + std::to_string(bytes.size() + 1) + ", the file ends at " + size);
  expect_error(with_tensor({17}), "tensor t: ends at byte");
  expect_error(GgufBuilder().add_tensor("t", {16}, std::vector<float>(16)).shift_last_offset(32).build(),
               "tensor t: ends at byte");
}

TEST(Tensors, Parse_RejectsOffsetsThatWrap) {
  for (const std::uint64_t offset : {std::uint64_t{1} << 63, ~std::uint64_t{31}, ~std::uint64_t{63}}) {
    expect_error(GgufBuilder().add_tensor("t", {16}, std::vector<float>(16)).shift_last_offset(offset).build(),
                 "tensor t: ends at byte");
  }
}

TEST(Tensors, Parse_RejectsOffsetsOffTheAlignment) {
  expect_error(GgufBuilder().add_tensor("t", {1}, std::vector<float>(16)).shift_last_offset(4).build(),
               "tensor t: offset 4, expected a multiple of 32 (general.alignment)");
}

TEST(Tensors, Parse_RejectsShapesWhoseProductOverflows) {
  const std::uint64_t huge = (std::uint64_t{1} << 42) + 1;
  expect_error(with_tensor({huge, huge}), "expected dimensions from 1 and a product below 2^63");
  expect_error(with_tensor({std::uint64_t{1} << 32, std::uint64_t{1} << 32}), "product below 2^63");
  expect_error(with_tensor({std::uint64_t{1} << 31, std::uint64_t{1} << 31, 2}), "product below 2^63");
  expect_error(with_tensor({std::uint64_t{1} << 63}), "product below 2^63");
  expect_error(with_tensor({~std::uint64_t{0}}), "product below 2^63");
  // 2^62 floats are 2^64 bytes, which wraps to none.
  expect_error(with_tensor({std::uint64_t{1} << 62}), "tensor t: 4611686018427387904 elements of F32 do not fit");
  expect_error(with_tensor({huge}), "do not fit the file");
}

TEST(Tensors, Parse_RejectsZeroDimensionsAndMoreThanFour) {
  expect_error(with_tensor({0}), "tensor t: shape 0x1x1x1, expected dimensions from 1");
  expect_error(with_tensor({4, 0, ~std::uint64_t{0}}), "expected dimensions from 1");
  expect_error(with_tensor({}), "tensor t: 0 dimensions, expected 1 to 4");
  expect_error(with_tensor({1, 1, 1, 1, 1}), "tensor t: 5 dimensions, expected 1 to 4");
  EXPECT_TRUE(parse_bytes(with_tensor({2, 2, 2, 2})));
}

TEST(Tensors, Parse_RejectsRowsThatAreNotWholeBlocks) {
  expect_error(with_tensor({33}, DType::kQ8_0), "tensor t: 33 columns, expected a multiple of 32 (Q8_0)");
  expect_error(with_tensor({128, 2}, DType::kQ4_K), "tensor t: 128 columns, expected a multiple of 256 (Q4_K)");
}

TEST(Tensors, Parse_NamesTypesThatAreNotRead) {
  const auto with_type = [](std::uint32_t id) {
    return GgufBuilder().add_tensor_of_id("blk.0.w", {256}, id, std::vector<std::byte>(64)).build();
  };
  expect_error(with_type(40), "tensor blk.0.w: tensor type NVFP4 (40) is not supported", ErrorCode::kUnsupported);
  expect_error(with_type(26), "tensor blk.0.w: tensor type I32 (26) is not supported", ErrorCode::kUnsupported);
  expect_error(with_type(4), "tensor type Q4_2 (4)", ErrorCode::kUnsupported);
  expect_error(with_type(137), "tensor blk.0.w: unknown tensor type 137 is not supported", ErrorCode::kUnsupported);
  expect_error(with_type(0xFFFFFFFFu), "unknown tensor type 4294967295", ErrorCode::kUnsupported);
}

TEST(Tensors, Parse_RejectsDuplicateNames) {
  GgufBuilder builder;
  builder.add_tensor("t", {1}, {1.0f}).add_tensor("u", {1}, {1.0f}).add_tensor("t", {1}, {1.0f});
  expect_error(builder.build(), "tensor t appears twice");
}

TEST(Tensors, Parse_RejectsOverlongNames) {
  EXPECT_TRUE(parse_bytes(GgufBuilder().add_tensor(std::string(255, 'n'), {1}, {1.0f}).build()));
  expect_error(GgufBuilder().add_tensor(std::string(256, 'n'), {1}, {1.0f}).build(),
               "name of tensor 0: 256 bytes long, expected at most 255");
}

TEST(Tensors, Parse_RejectsTensorsThatTogetherExceedTheFile) {
  GgufBuilder builder;
  builder.add_tensor("a", {1024}, std::vector<float>(1024));
  for (const char* name : {"b", "c", "d"}) {
    builder.add_tensor(name, {1024}, std::vector<float>()).shift_last_offset(~std::uint64_t{4095});  // back to 0
  }
  expect_error(builder.build(), "tensor b: with those before it larger than the file");
}

}  // namespace
}  // namespace woolly::gguf
