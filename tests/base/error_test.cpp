#include "woolly/error.h"

#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <string>

#include "base/assert.h"

namespace woolly {
namespace {

Error odd(int value) {
  return {ErrorCode::kInvalidArgument, "value: " + std::to_string(value) + ", expected an even number"};
}

Result<int> half(int value) {
  if (value % 2 != 0) return odd(value);
  return value / 2;
}

Result<std::string> quarter_as_text(int value) {
  WOOLLY_TRY(const int halved, half(value));
  WOOLLY_TRY(const int quarter, half(halved));
  return std::to_string(quarter);
}

Status check_even(int value) {
  WOOLLY_CHECK(half(value));
  return {};
}

TEST(Result, Holds_AValueOrAnError) {
  const Result<int> good = half(6);
  ASSERT_TRUE(good);
  EXPECT_EQ(*good, 3);
  const Result<int> bad = half(7);
  ASSERT_FALSE(bad);
  EXPECT_EQ(bad.error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(bad.error().message, "value: 7, expected an even number");
}

TEST(Result, Try_DeclaresTheValueOrReturnsTheError) {
  EXPECT_EQ(*quarter_as_text(12), "3");
  EXPECT_EQ(quarter_as_text(5).error().message, "value: 5, expected an even number");
  EXPECT_EQ(quarter_as_text(6).error().message, "value: 3, expected an even number");
}

TEST(Result, Check_PassesSuccessAndReturnsTheError) {
  EXPECT_TRUE(check_even(4));
  ASSERT_FALSE(check_even(3));
  EXPECT_EQ(check_even(3).error().message, "value: 3, expected an even number");
}

TEST(Result, Carries_ValuesThatOnlyMove) {
  Result<std::unique_ptr<int>> result = std::make_unique<int>(5);
  ASSERT_TRUE(result);
  const std::unique_ptr<int> taken = std::move(result).value();
  EXPECT_EQ(*taken, 5);
}

TEST(Result, Carries_AnErrorAsItsValueTypeToo) {
  const Result<ErrorCode> result = ErrorCode::kIo;
  ASSERT_TRUE(result);
  EXPECT_EQ(*result, ErrorCode::kIo);
}

TEST(ErrorCode, Names_AreDistinct) {
  std::set<std::string_view> names;
  for (int code = 0; code <= static_cast<int>(ErrorCode::kInternal); ++code) {
    names.insert(to_string(static_cast<ErrorCode>(code)));
  }
  EXPECT_EQ(names.size(), static_cast<std::size_t>(ErrorCode::kInternal) + 1);
  EXPECT_FALSE(names.contains("unknown"));
}

TEST(AssertDeathTest, FailedAssertion_AbortsWithItsCondition) {
  EXPECT_DEATH(WOOLLY_ASSERT(1 + 1 == 3), "broken invariant: 1 \\+ 1 == 3");
}

}  // namespace
}  // namespace woolly
