#include "server/fields.h"

#include <gtest/gtest.h>

#include <array>
#include <string>
#include <string_view>
#include <vector>

namespace woolly::server {
namespace {

Json json(std::string_view text) { return Json::parse(text); }

std::string message(const Status& status) { return status ? "accepted" : Status(status).error().message; }

constexpr std::array kFields = {
    Field{"flag", FieldType::kBool},
    Field{"count", FieldType::kInteger, {1, 20}},
    Field{"factor", FieldType::kNumber, {0, 2, true}},
    Field{"any_number", FieldType::kNumber},
    Field{"text", FieldType::kString},
    Field{"list", FieldType::kArray},
    Field{"object", FieldType::kObject},
    not_supported("tools"),
    not_supported("choice", R"("none")"),
    not_supported("best_of", "1"),
    not_supported("format", R"({"type":"text"})"),
    Field{"model", FieldType::kString, kAnyNumber, true},
};

/// What check_fields says of one member.
std::string check(std::string_view member) {
  return message(check_fields(json("{\"model\":\"m\"," + std::string(member) + "}"), kFields));
}

TEST(CheckFields, AcceptsWhatTheTableAllows) {
  for (const char* member :
       {R"("flag":true)", R"("count":1)", R"("count":20)", R"("count":3.0)", R"("factor":2)", R"("factor":1e-9)",
        R"("any_number":-1e308)", R"("text":"")", R"("list":[1])", R"("object":{})", R"("unknown":{"x":[1e9]})",
        R"("flag":null,"count":null,"text":null,"tools":null)"}) {
    EXPECT_EQ(check(member), "accepted") << member;
  }
}

TEST(CheckFields, NamesFieldValueAndRange) {
  EXPECT_EQ(check(R"("count":0)"), "count: 0, allowed is a whole number, at least 1 and at most 20");
  EXPECT_EQ(check(R"("count":9223372036854775807)"),
            "count: 9223372036854775807, allowed is a whole number, at least 1 and at most 20");
  EXPECT_EQ(check(R"("count":-9223372036854775808)"),
            "count: -9223372036854775808, allowed is a whole number, at least 1 and at most 20");
  EXPECT_EQ(check(R"("count":1.5)"), "count: 1.5, allowed is a whole number, at least 1 and at most 20");
  EXPECT_EQ(check(R"("count":1e308)"), "count: 1e+308, allowed is a whole number, at least 1 and at most 20");
  EXPECT_EQ(check(R"("factor":0)"), "factor: 0, allowed is a number, above 0 and at most 2");
  EXPECT_EQ(check(R"("factor":1e308)"), "factor: 1e+308, allowed is a number, above 0 and at most 2");
}

TEST(CheckFields, NamesTypesButShowsNoText) {
  EXPECT_EQ(check(R"("count":"5")"), "count: a string, allowed is a whole number, at least 1 and at most 20");
  EXPECT_EQ(check(R"("flag":1)"), "flag: 1, allowed is true or false");
  EXPECT_EQ(check(R"("any_number":[])"), "any_number: an empty array, allowed is a number");
  EXPECT_EQ(check(R"("text":{})"), "text: an object, allowed is a string");
  EXPECT_EQ(check(R"("list":"secret")"), "list: a string, allowed is an array");
  EXPECT_EQ(check(R"("object":[1])"), "object: an array, allowed is an object");
}

TEST(CheckFields, NamesWhatIsMissing) {
  EXPECT_EQ(message(check_fields(json("{}"), kFields)), "model: missing, allowed is a string");
  EXPECT_EQ(message(check_fields(json(R"({"model":null})"), kFields, "options.")),
            "options.model: missing, allowed is a string");
}

TEST(CheckFields, RefusesWhatIsNotSupportedUnlessItAsksForNothing) {
  for (const char* member :
       {R"("tools":[])", R"("tools":{})", R"("tools":"")", R"("tools":false)", R"("choice":"none")", R"("best_of":1)",
        R"("best_of":1.0)", R"("format":{"type":"text"})"}) {
    EXPECT_EQ(check(member), "accepted") << member;
  }
  EXPECT_EQ(check(R"("tools":[{}])"), "tools: an array, which is not supported; allowed is to leave it out");
  EXPECT_EQ(check(R"("tools":true)"), "tools: true, which is not supported; allowed is to leave it out");
  EXPECT_EQ(check(R"("choice":"auto")"), R"(choice: a string, which is not supported; allowed is "none")");
  EXPECT_EQ(check(R"("best_of":0)"), "best_of: 0, which is not supported; allowed is 1");
  EXPECT_EQ(check(R"("format":{"type":"json_object"})"),
            R"(format: an object, which is not supported; allowed is {"type":"text"})");
}

class ReadSampling : public testing::TestWithParam<const sample::Filter*> {
 protected:
  static std::string read(const std::string& name, const std::string& value, SamplingOptions* options = nullptr) {
    SamplingOptions unused;
    return message(
        read_sampling(json("{\"" + name + "\":" + value + "}"), options != nullptr ? *options : unused, "o."));
  }
};

TEST_P(ReadSampling, HoldsEveryRowToItsRange) {
  const sample::Filter& filter = *GetParam();
  const std::string name(filter.name);
  for (const char* value : {"1e308", "-1e308", "1e39", "-1e39", "-2", "0", "1", "9223372036854775807"}) {
    SamplingOptions options;
    const double number = json(value).get<double>();
    const bool is_allowed =
        filter.range.contains(filter.is_integer() ? number : static_cast<double>(static_cast<float>(number)));
    const std::string said = read(name, value, &options);
    if (is_allowed) {
      EXPECT_EQ(said, "accepted") << name << ' ' << value;
      EXPECT_EQ(filter.get(options), number) << name;
    } else {
      EXPECT_TRUE(said.starts_with("o." + name + ": ")) << said;
      EXPECT_NE(said.find(filter.range.describe()), std::string::npos) << said;
    }
  }
  EXPECT_TRUE(read(name, "\"1\"").starts_with("o." + name + ": a string, allowed is "));
  EXPECT_TRUE(read(name, "true").starts_with("o." + name + ": true, allowed is "));
  EXPECT_EQ(read(name, "null"), "accepted");
}

std::vector<const sample::Filter*> filters() {
  std::vector<const sample::Filter*> rows;
  for (const sample::Filter& filter : sample::all_filters()) rows.push_back(&filter);
  return rows;
}
INSTANTIATE_TEST_SUITE_P(AllFilters, ReadSampling, testing::ValuesIn(filters()),
                         [](const auto& row) { return std::string(row.param->name); });

TEST(ReadSeed, TakesEveryInteger) {
  const auto seed = [](std::string_view text) {
    SamplingOptions options;
    EXPECT_EQ(message(read_sampling(json(text), options)), "accepted") << text;
    return options.seed;
  };
  EXPECT_EQ(seed(R"({"seed":0})"), 0U);
  EXPECT_EQ(seed(R"({"seed":18446744073709551615})"), 18446744073709551615U);
  EXPECT_EQ(seed(R"({"seed":-9223372036854775808})"), 9223372036854775808U);
  EXPECT_EQ(seed(R"({"seed":7.0})"), 7U);
  EXPECT_NE(seed("{}"), seed("{}"));
  EXPECT_NE(seed(R"({"seed":-1})"), seed(R"({"seed":-1})"));
  SamplingOptions options;
  EXPECT_TRUE(message(read_sampling(json(R"({"seed":18446744073709551616})"), options)).starts_with("seed: 1.8446"));
}

TEST(ReadStops, TakesOneOrMany) {
  const auto stops = [](std::string_view text) -> std::vector<std::string> {
    const auto read = read_stops(json(text), "stop");
    return read ? read.value() : std::vector<std::string>{"error", read.error().message};
  };
  using Strings = std::vector<std::string>;
  EXPECT_EQ(stops("{}"), Strings());
  EXPECT_EQ(stops(R"({"stop":null})"), Strings());
  EXPECT_EQ(stops(R"({"stop":""})"), Strings());
  EXPECT_EQ(stops(R"({"stop":"a"})"), Strings({"a"}));
  EXPECT_EQ(stops(R"({"stop":["a","b"]})"), Strings({"a", "b"}));
  const std::string allowed = ", allowed is a string, or an array of at most 64 that are not empty";
  EXPECT_EQ(stops(R"({"stop":1})")[1], "stop: 1" + allowed);
  EXPECT_EQ(stops(R"({"stop":["a",2]})")[1], "stop: an array with 2" + allowed);
  EXPECT_EQ(stops(R"({"stop":[""]})")[1], "stop: an array with an empty string" + allowed);
}

}  // namespace
}  // namespace woolly::server
