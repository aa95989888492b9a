#include "http/message.h"

#include <gtest/gtest.h>

namespace woolly::http {
namespace {

TEST(TargetTest, Parse_DecodesThePathAndLeavesTheQuery) {
  const auto target = parse_target("/v1/models/a%3Ab%20c?x=%20&y");
  ASSERT_TRUE(target);
  EXPECT_EQ(target->path, "/v1/models/a:b c");
  EXPECT_EQ(target->query, "x=%20&y");
  EXPECT_EQ(parse_target("/")->path, "/");
  EXPECT_EQ(parse_target("/?")->query, "");
  EXPECT_EQ(parse_target("*")->path, "*");
}

TEST(TargetTest, Parse_RefusesWhatIsNoPath) {
  for (const char* text : {"", "v1", "http://localhost/", "localhost:80", "/%", "/%2", "/%2g", "/%00"}) {
    EXPECT_FALSE(parse_target(text)) << text;
  }
}

TEST(HostTest, WithoutPort_TakesNamesAndAddresses) {
  EXPECT_EQ(host_without_port("LocalHost:8080"), "localhost");
  EXPECT_EQ(host_without_port("127.0.0.1"), "127.0.0.1");
  EXPECT_EQ(host_without_port("[::1]:80"), "::1");
  EXPECT_EQ(host_without_port("[::1]"), "::1");
}

TEST(HostTest, WithoutPort_RefusesAllElse) {
  for (const char* text : {"", ":80", "a:", "a:b", "a:123456", "a/b", "a b", "a@b", "[::1", "[::1]x", "[]", "[a.b]x",
                           "::1", "a:80:80", "user:pass@localhost"}) {
    EXPECT_FALSE(host_without_port(text)) << text;
  }
}

}  // namespace
}  // namespace woolly::http
