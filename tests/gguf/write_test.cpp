#include "gguf/write.h"

#include <gtest/gtest.h>

#include "support/gguf_builder.h"

namespace woolly::test {
namespace {

/// A file with a value of every kind, parsed, laid out again and parsed again.
TEST(Write, WhatIsLaidOutIsReadBack) {
  GgufBuilder builder;
  builder.add_string("general.architecture", "llama").add_bool("a.bool", true).add_f32("a.f32", 1.5F);
  builder.add_scalar("a.i8", std::int8_t{-3}).add_u64("a.u64", 1ULL << 40).add_strings("a.texts", {"x", "", "längere"});
  builder.add_i32s("a.i32s", {1, -2, 3}).add_f32s("a.f32s", {});
  const auto header = std::make_shared<const std::vector<std::byte>>(builder.build());
  const auto file = gguf::parse(header, header->size(), "first");
  ASSERT_TRUE(file) << file.error().message;

  for (const std::uint32_t alignment : {32U, 256U}) {
    gguf::Metadata metadata;
    for (const auto& entry : file->metadata.entries()) metadata.add(entry.key, entry.value);
    if (alignment != 32) {
      metadata.add("general.alignment",
                   {gguf::ValueType::kU32, gguf::ValueType::kU32, 1, std::as_bytes(std::span(&alignment, 1)), {}});
    }
    const gguf::TensorView tensors[] = {
        {.name = "a", .type = quant::DType::kQ4_0, .n_dims = 2, .shape = {32, 3, 1, 1}, .file = 0, .offset = 0, .size = 0},
        {.name = "b", .type = quant::DType::kF32, .n_dims = 1, .shape = {5, 1, 1, 1}, .file = 0, .offset = 0, .size = 0},
        {.name = "c", .type = quant::DType::kF16, .n_dims = 3, .shape = {2, 3, 4, 1}, .file = 0, .offset = 0, .size = 0},
    };
    const gguf::Layout layout = gguf::lay_out(metadata, tensors);
    EXPECT_EQ(layout.header.size() % alignment, 0U);
    auto bytes = std::make_shared<std::vector<std::byte>>(layout.header);
    bytes->resize(layout.file_size);
    const auto again = gguf::parse(bytes, bytes->size(), "second");
    ASSERT_TRUE(again) << again.error().message;
    ASSERT_EQ(again->metadata.entries().size(), metadata.entries().size());
    for (std::size_t i = 0; i < metadata.entries().size(); ++i) {
      const auto& expected = metadata.entries()[i];
      const auto& found = again->metadata.entries()[i];
      EXPECT_EQ(found.key, expected.key);
      EXPECT_EQ(found.value.type, expected.value.type);
      EXPECT_EQ(found.value.element_type, expected.value.element_type);
      EXPECT_EQ(found.value.count, expected.value.count);
      EXPECT_TRUE(std::ranges::equal(found.value.bytes, expected.value.bytes)) << expected.key;
      EXPECT_TRUE(std::ranges::equal(found.value.strings, expected.value.strings)) << expected.key;
    }
    ASSERT_EQ(again->tensors().size(), 3U);
    for (std::size_t i = 0; i < 3; ++i) {
      EXPECT_EQ(again->tensors()[i].name, tensors[i].name);
      EXPECT_EQ(again->tensors()[i].type, tensors[i].type);
      EXPECT_EQ(again->tensors()[i].n_dims, tensors[i].n_dims);
      EXPECT_EQ(again->tensors()[i].shape, tensors[i].shape);
      EXPECT_EQ(again->tensors()[i].offset, layout.offsets[i]);
      EXPECT_EQ(layout.offsets[i] % alignment, 0U);
    }
  }
}

}  // namespace
}  // namespace woolly::test
