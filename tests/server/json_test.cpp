#include "server/json.h"

#include <gtest/gtest.h>

#include <string>

namespace woolly::server {
namespace {

std::string refused(std::string_view text) {
  const auto parsed = parse_object(text);
  return parsed ? "accepted: " + dump(parsed.value()) : parsed.error().message;
}

std::string nested(std::size_t depth) {
  std::string text = R"({"a":)";
  for (std::size_t i = 1; i < depth; ++i) text += '[';
  for (std::size_t i = 1; i < depth; ++i) text += ']';
  return text + '}';
}

TEST(ParseObject, KeepsValuesAndTheOrderOfKeys) {
  const std::string text =
      R"({"z":1,"a":[true,null,{"y":{},"b":[]}],"m":-2.5,"n":18446744073709551615,"o":-9223372036854775808,"p":"\u00e9\n"})";
  const auto parsed = parse_object(text);
  ASSERT_TRUE(parsed) << parsed.error().message;
  EXPECT_EQ(dump(parsed.value()), R"({"z":1,"a":[true,null,{"y":{},"b":[]}],"m":-2.5,"n":18446744073709551615,)"
                                  R"("o":-9223372036854775808,"p":"é\n"})");
}

TEST(ParseObject, RefusesWhatIsNoJson) {
  for (const char* text :
       {"", " ", "{", "{\"a\":1,}", "{\"a\":NaN}", "{\"a\":Infinity}", "{'a':1}", "{\"a\":1} x", "{\"a\":\"\xff\"}",
        "{\"a\":\"\xc0\xaf\"}", "{\"a\":\"\\ud800\"}", "{\"a\":01}", "\xEF\xBB\xBF"}) {
    EXPECT_TRUE(refused(text).starts_with("the body: no valid JSON at byte ")) << text << ": " << refused(text);
  }
}

TEST(ParseObject, RefusesNumbersThatNoDoubleHolds) {
  EXPECT_TRUE(refused(R"({"a":1e999})").starts_with("the body: a number out of range at byte "))
      << refused(R"({"a":1e999})");
  EXPECT_EQ(refused(R"({"a":1e308})"), R"(accepted: {"a":1e+308})");
}

TEST(ParseObject, RefusesWhatIsNoObject) {
  EXPECT_EQ(refused("[1]"), "the body: JSON of type array, allowed is an object");
  EXPECT_EQ(refused("null"), "the body: JSON of type null, allowed is an object");
}

TEST(ParseObject, RefusesNestingBeyondTheLimit) {
  EXPECT_TRUE(refused(nested(kMaxDepth)).starts_with("accepted")) << refused(nested(kMaxDepth));
  EXPECT_EQ(refused(nested(kMaxDepth + 1)), "the body: more than 64 levels of nesting, allowed is a JSON object");
  // Would end the program, were it read by recursion.
  EXPECT_EQ(refused(std::string(4000000, '[')), "the body: more than 64 levels of nesting, allowed is a JSON object");
}

TEST(ParseObject, RefusesAKeyTwiceInOneObject) {
  EXPECT_EQ(refused(R"({"b":1,"a":{"c":1,"d":2,"c":3}})"),
            R"(the body: the key "c" twice in one object, allowed is a JSON object)");
  EXPECT_TRUE(refused(R"({"a":{"c":1},"b":{"c":1}})").starts_with("accepted"));
}

TEST(ParseObject, TakesLinearTimeForManyKeys) {
  // With a look-up for each key this would be 10^11 comparisons.
  std::string text = "{";
  for (int i = 0; i < 300000; ++i) text += (i > 0 ? ",\"k" : "\"k") + std::to_string(i) + "\":0";
  const auto parsed = parse_object(text + '}');
  ASSERT_TRUE(parsed) << parsed.error().message;
  EXPECT_EQ(parsed.value().size(), 300000U);
}

TEST(Find, TakesNullForNothing) {
  const Json object{{"a", nullptr}, {"b", 0}};
  EXPECT_EQ(find(object, "a"), nullptr);
  EXPECT_EQ(find(object, "c"), nullptr);
  ASSERT_NE(find(object, "b"), nullptr);
  EXPECT_EQ(*find(object, "b"), 0);
}

TEST(Dump, ReplacesWhatIsNoUtf8) { EXPECT_EQ(dump(Json("a\xff")), "\"a\xEF\xBF\xBD\""); }

}  // namespace
}  // namespace woolly::server
