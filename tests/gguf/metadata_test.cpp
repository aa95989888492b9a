#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "gguf/gguf.h"
#include "support/gguf_builder.h"

namespace woolly::gguf {
namespace {

using test::GgufBuilder;

/// The file with a value of every kind. Its Metadata views into it.
File every_type() {
  GgufBuilder builder;
  builder.add_scalar<std::uint8_t>("u8", 255).add_scalar<std::int8_t>("i8", -128);
  builder.add_scalar<std::uint16_t>("u16", 65535).add_scalar<std::int16_t>("i16", -32768);
  builder.add_u32("u32", 4294967295u).add_i32("i32", -2147483647);
  builder.add_u64("u64", ~std::uint64_t{0}).add_scalar<std::int64_t>("i64", std::numeric_limits<std::int64_t>::min());
  builder.add_f32("f32", 1.5f).add_scalar<double>("f64", 0.25).add_bool("true", true).add_bool("false", false);
  builder.add_scalar<double>("f64.huge", 1e300).add_scalar<double>("f64.inf", HUGE_VAL);
  builder.add_string("string", "wool").add_string("string.empty", "");
  builder.add_strings("strings", {"a", "", "ccc"}).add_strings("strings.empty", {});
  builder.add_f32s("f32s", {1, -2}).add_array<double>("f64s", {0.5, 0.25}).add_array<double>("f64s.huge", {0, -1e300});
  builder.add_i32s("i32s", {-1, 2}).add_array<std::uint8_t>("u8s", {0, 200}).add_array<std::uint64_t>("u64s", {1});
  builder.add_array<std::uint64_t>("u64s.huge", {1, ~std::uint64_t{0}}).add_i32s("i32s.empty", {});
  auto bools = GgufBuilder::array_head(ValueType::kBool, 2).number(true).number(false);
  builder.add_value("bools", ValueType::kArray, bools.bytes());
  auto file = test::parse_bytes(builder.build());
  EXPECT_TRUE(file) << file.error().message;
  return std::move(file).value();
}

template <typename T>
std::string message_of(const Result<T>& result) {
  EXPECT_FALSE(result);
  if (result) return {};
  EXPECT_EQ(result.error().code, ErrorCode::kInvalidFile);
  return result.error().message;
}

TEST(Metadata, GetUint_TakesEveryWidthAndSign) {
  const File file = every_type();
  const Metadata& m = file.metadata;
  EXPECT_EQ(*m.get_uint("u8"), 255u);
  EXPECT_EQ(*m.get_uint("u16"), 65535u);
  EXPECT_EQ(*m.get_uint("u32"), 4294967295u);
  EXPECT_EQ(*m.get_uint("u64"), ~std::uint64_t{0});
  EXPECT_EQ(message_of(m.get_uint("i32")), "i32: -2147483647, expected an unsigned integer");
}

TEST(Metadata, FindInt_TakesEveryWidthAndSignThatFits) {
  const File file = every_type();
  const Metadata& m = file.metadata;
  EXPECT_EQ(**m.find_int("i8"), -128);
  EXPECT_EQ(**m.find_int("i16"), -32768);
  EXPECT_EQ(**m.find_int("i32"), -2147483647);
  EXPECT_EQ(**m.find_int("i64"), std::numeric_limits<std::int64_t>::min());
  EXPECT_EQ(**m.find_int("u32"), 4294967295);
  EXPECT_EQ(message_of(m.find_int("u64")), "u64: 18446744073709551615, expected an integer of 64 bits");
}

TEST(Metadata, GetFloat_TakesF32AndF64InItsRange) {
  const File file = every_type();
  const Metadata& m = file.metadata;
  EXPECT_EQ(*m.get_float("f32"), 1.5f);
  EXPECT_EQ(*m.get_float("f64"), 0.25f);
  EXPECT_EQ(*m.get_float("f64.inf"), HUGE_VALF);
  EXPECT_EQ(message_of(m.get_float("f64.huge")), "f64.huge: 1e+300, expected a number of type f32");
  EXPECT_EQ(message_of(m.get_float("u32")), "u32: a value of type u32, expected a number of type f32");
}

TEST(Metadata, Get_BoolsAndStrings) {
  const File file = every_type();
  const Metadata& m = file.metadata;
  EXPECT_TRUE(*m.get_bool("true"));
  EXPECT_FALSE(*m.get_bool("false"));
  EXPECT_EQ(*m.get_string("string"), "wool");
  EXPECT_EQ(*m.get_string("string.empty"), "");
  EXPECT_EQ(message_of(m.get_bool("u8")), "u8: a value of type u8, expected a bool");
  EXPECT_EQ(message_of(m.get_string("true")), "true: a value of type bool, expected a string");
}

TEST(Metadata, Get_NamesAMissingKey) {
  const Metadata m;
  EXPECT_EQ(message_of(m.get_uint("llama.block_count")), "llama.block_count: missing, expected an unsigned integer");
  EXPECT_EQ(message_of(m.get_float("x")), "x: missing, expected a number of type f32");
  EXPECT_EQ(message_of(m.get_bool("x")), "x: missing, expected a bool");
  EXPECT_EQ(message_of(m.get_string("x")), "x: missing, expected a string");
}

TEST(Metadata, Find_GivesNothingForAMissingKey) {
  const Metadata m;
  EXPECT_FALSE(m.has("x"));
  EXPECT_EQ(m.find("x"), nullptr);
  EXPECT_EQ(*m.find_uint("x"), std::nullopt);
  EXPECT_EQ(*m.find_int("x"), std::nullopt);
  EXPECT_EQ(*m.find_float("x"), std::nullopt);
  EXPECT_EQ(*m.find_bool("x"), std::nullopt);
  EXPECT_EQ(*m.find_string("x"), std::nullopt);
  EXPECT_TRUE(m.strings("x")->empty());
  EXPECT_TRUE(m.floats("x")->empty());
  EXPECT_TRUE(m.ints("x")->empty());
}

TEST(Metadata, Arrays_ComeInTheirOrder) {
  const File file = every_type();
  const Metadata& m = file.metadata;
  const auto strings = m.strings("strings");
  ASSERT_TRUE(strings);
  EXPECT_EQ(std::vector(strings->begin(), strings->end()), (std::vector<std::string_view>{"a", "", "ccc"}));
  EXPECT_TRUE(m.strings("strings.empty")->empty());
  EXPECT_EQ(*m.floats("f32s"), (std::vector<float>{1, -2}));
  EXPECT_EQ(*m.floats("f64s"), (std::vector<float>{0.5f, 0.25f}));
  EXPECT_EQ(*m.ints("i32s"), (std::vector<std::int64_t>{-1, 2}));
  EXPECT_EQ(*m.ints("u8s"), (std::vector<std::int64_t>{0, 200}));
  EXPECT_EQ(*m.ints("u64s"), (std::vector<std::int64_t>{1}));
  EXPECT_EQ(*m.ints("bools"), (std::vector<std::int64_t>{1, 0}));
  EXPECT_TRUE(m.ints("i32s.empty")->empty());
}

TEST(Metadata, Arrays_RefuseElementsOfAnotherTypeOrRange) {
  const File file = every_type();
  const Metadata& m = file.metadata;
  EXPECT_EQ(message_of(m.floats("u8s")), "u8s: an array of 2 u8, expected an array of f32");
  EXPECT_EQ(message_of(m.floats("strings")), "strings: an array of 3 string, expected an array of f32");
  EXPECT_EQ(message_of(m.floats("f32")), "f32: a value of type f32, expected an array of f32");
  EXPECT_EQ(message_of(m.floats("f64s.huge")), "f64s.huge: -1e+300 at index 1, expected a number of type f32");
  EXPECT_EQ(message_of(m.ints("f32s")), "f32s: an array of 2 f32, expected an array of integers");
  EXPECT_EQ(message_of(m.ints("strings")), "strings: an array of 3 string, expected an array of integers");
  EXPECT_EQ(message_of(m.ints("i32")), "i32: a value of type i32, expected an array of integers");
  EXPECT_EQ(message_of(m.ints("u64s.huge")),
            "u64s.huge: 18446744073709551615 at index 1, expected an integer of 64 bits");
  EXPECT_EQ(message_of(m.strings("u8s")), "u8s: an array of 2 u8, expected an array of strings");
  EXPECT_EQ(message_of(m.strings("string")), "string: a value of type string, expected an array of strings");
}

TEST(Metadata, Scalars_RefuseArraysOfTheirType) {
  const File file = every_type();
  const Metadata& m = file.metadata;
  EXPECT_EQ(message_of(m.get_uint("u8s")), "u8s: an array of 2 u8, expected an unsigned integer");
  EXPECT_EQ(message_of(m.find_int("i32s.empty")), "i32s.empty: an array of 0 i32, expected an integer of 64 bits");
  EXPECT_EQ(message_of(m.get_float("f32s")), "f32s: an array of 2 f32, expected a number of type f32");
  EXPECT_EQ(message_of(m.get_bool("bools")), "bools: an array of 2 bool, expected a bool");
  EXPECT_EQ(message_of(m.get_string("strings")), "strings: an array of 3 string, expected a string");
}

TEST(Metadata, Messages_StayOnOneLineWhateverTheKey) {
  const Metadata m;
  EXPECT_EQ(message_of(m.get_bool("a\nb\x1b[31m")), "a\\x0ab\\x1b[31m: missing, expected a bool");
  EXPECT_LT(message_of(m.get_bool(std::string(5000, 'k'))).size(), 200u);
}

TEST(Metadata, Entries_AreInTheOrderOfTheFile) {
  const auto file = test::parse_bytes(GgufBuilder().add_u32("z", 1).add_u32("a", 2).add_u32("m", 3).build());
  ASSERT_TRUE(file);
  std::string order;
  for (const Metadata::Entry& entry : file->metadata.entries()) order += entry.key;
  EXPECT_EQ(order, "zam");
}

}  // namespace
}  // namespace woolly::gguf
