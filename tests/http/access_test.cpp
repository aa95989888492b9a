#include "http/access.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "support/temp_dir.h"

namespace woolly::http {
namespace {

Access access_of(AccessOptions options) {
  Result<Access> access = Access::create(std::move(options));
  EXPECT_TRUE(access) << access.error().message;
  return std::move(access).value();
}

Request request_with(const std::string& name, const std::string& value) {
  Request request;
  request.headers = {{name, value}};
  return request;
}

TEST(AccessTest, Host_IsLoopbackOrTheBoundHost) {
  const Access access = access_of({.bound_host = "192.168.0.7"});
  for (const char* host : {"localhost", "localhost:8080", "127.0.0.1:1", "127.1.2.3", "[::1]:8080", "192.168.0.7:8080",
                           "LOCALHOST"}) {
    EXPECT_TRUE(access.allows_host(host)) << host;
  }
  for (const char* host : {"", "evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "127.evil.a.b",
                           "192.168.0.8", "localhost@evil.example", "0.0.0.0", "[::2]"}) {
    EXPECT_FALSE(access.allows_host(host)) << host;
  }
}

TEST(AccessTest, Host_MayBeAnyAddressWhereAllAreListenedOn) {
  const Access access = access_of({.bound_host = "0.0.0.0"});
  EXPECT_TRUE(access.allows_host("10.1.2.3:8080"));
  EXPECT_TRUE(access.allows_host("[fe80::1]"));
  EXPECT_FALSE(access.allows_host("evil.example"));
}

TEST(AccessTest, Host_MayBeOneThatWasAllowed) {
  const Access access = access_of({.bound_host = "127.0.0.1", .hosts = {"Box.Local:8080", "fe80::1"}});
  EXPECT_TRUE(access.allows_host("box.local"));
  EXPECT_TRUE(access.allows_host("[fe80::1]:8080"));
  EXPECT_FALSE(access.allows_host("other.local"));
  EXPECT_TRUE(access_of({.hosts = {"*"}}).allows_host("any.thing"));
}

TEST(AccessTest, Origin_IsAPageOfThisMachineOrOneThatWasAllowed) {
  const Access access = access_of({.origins = {"https://chat.example/"}});
  for (const char* origin : {"http://localhost", "http://localhost:3000", "https://127.0.0.1:8443", "http://[::1]:80",
                             "https://chat.example"}) {
    EXPECT_TRUE(access.allows_origin(origin)) << origin;
  }
  for (const char* origin : {"", "null", "https://evil.example", "http://chat.example", "https://chat.example.evil",
                             "http://localhost.evil.example", "file://", "http://localhost@evil.example",
                             "ftp://localhost"}) {
    EXPECT_FALSE(access.allows_origin(origin)) << origin;
  }
  EXPECT_TRUE(access_of({.origins = {"*"}}).allows_origin("https://any.example"));
}

TEST(AccessTest, Key_IsNeededWhereThereAreSome) {
  EXPECT_EQ(access_of({}).key_of({}), "");
  const Access access = access_of({.keys = {"first-key", "second"}});
  EXPECT_EQ(access.key_of(request_with("authorization", "Bearer first-key")), "key-1");
  EXPECT_EQ(access.key_of(request_with("authorization", "bearer  second")), "key-2");
  EXPECT_EQ(access.key_of(request_with("x-api-key", "second")), "key-2");
  EXPECT_FALSE(access.key_of({}));
  for (const char* key : {"", "secon", "secondsecond", "seconD", "first-keysecond", "first-key\nsecond"}) {
    EXPECT_FALSE(access.key_of(request_with("x-api-key", key))) << key;
    EXPECT_FALSE(access.key_of(request_with("authorization", "Bearer " + std::string(key)))) << key;
  }
  EXPECT_FALSE(access.key_of(request_with("authorization", "Basic first-key")));
}

TEST(AccessTest, Create_RefusesWhatNoRequestCouldCarry) {
  EXPECT_FALSE(Access::create({.hosts = {"a/b"}}));
  EXPECT_FALSE(Access::create({.origins = {"chat.example"}}));
  const Result<Access> access = Access::create({.keys = {"a secret"}});
  ASSERT_FALSE(access);
  EXPECT_EQ(access.error().message.find("secret"), std::string::npos);
  EXPECT_FALSE(Access::create({.keys = {""}}));
}

TEST(KeysTest, Read_TakesOneALine) {
  const test::TempDir folder;
  const auto file = folder.write("keys", std::string_view("# ours\nfirst\r\n\n  \nsecond  \n"));
  const auto keys = read_keys(file.string());
  ASSERT_TRUE(keys);
  EXPECT_EQ(keys.value(), (std::vector<std::string>{"first", "second"}));
  EXPECT_FALSE(read_keys((folder.path() / "none").string()));
}

}  // namespace
}  // namespace woolly::http
