#include "server/routes.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "server/server_test.h"

namespace woolly::server {
namespace {

/// The path of a row as a client writes it.
std::string example_of(const Route& route) {
  std::string path(route.path.substr(0, route.path.find('{')));
  return path.size() == route.path.size() ? path : path + "stories260K";
}

class Routes : public test::ServerTest {
 protected:
  struct Asked {
    http::Request request;
    std::optional<http::Response> refusal;
    [[nodiscard]] int status() const { return refusal ? refusal->status : 0; }
    [[nodiscard]] std::string header(std::string_view name) const {
      if (!refusal) return "";
      const auto at = std::ranges::find(refusal->headers, name, [](const auto& header) { return header.first; });
      return at == refusal->headers.end() ? "" : at->second;
    }
  };

  void SetUp() override {
    ServerTest::SetUp();
    if (IsSkipped()) return;
    access_ = std::move(http::Access::create({.bound_host = "127.0.0.1", .keys = {"right"}})).value();
    service_ = make_service(services(), *access_, log_);
  }

  Asked ask(std::string method, std::string path, http::Headers headers = {}) {
    Asked asked;
    asked.request.method = std::move(method);
    asked.request.path = std::move(path);
    asked.request.headers = std::move(headers);
    const auto has_host = [](const auto& header) { return header.first == "host"; };
    if (std::ranges::none_of(asked.request.headers, has_host)) asked.request.headers.emplace_back("host", "localhost:1");
    asked.refusal = service_.admit(asked.request);
    return asked;
  }

  http::Service service_;

 private:
  Log log_{LogForm::kJson, stderr};
  std::optional<http::Access> access_;
};

TEST_F(Routes, EachIsReachedByItsMethodAndPath) {
  for (const Route& route : all_routes()) {
    const Asked asked = ask(std::string(route.method), example_of(route), {{"authorization", "Bearer right"}});
    EXPECT_FALSE(asked.refusal) << route.path << " " << asked.status();
    EXPECT_EQ(asked.request.route, route.path);
    EXPECT_EQ(asked.request.key, "key-1");
    if (route.method == "GET") {
      EXPECT_FALSE(ask("HEAD", example_of(route), {{"x-api-key", "right"}}).refusal) << route.path;
    }
  }
}

TEST_F(Routes, EachIsRefusedToForeignHostsAndPages) {
  for (const Route& route : all_routes()) {
    const std::string method(route.method);
    EXPECT_EQ(ask(method, example_of(route), {{"host", "evil.example"}, {"x-api-key", "right"}}).status(), 403)
        << route.path;
    EXPECT_EQ(ask(method, example_of(route), {{"host", ""}, {"x-api-key", "right"}}).status(), 403) << route.path;
    EXPECT_EQ(ask(method, example_of(route), {{"origin", "https://evil.example"}, {"x-api-key", "right"}}).status(), 403)
        << route.path;
  }
}

TEST_F(Routes, EachNeedsAKeyWhereItSaysSo) {
  for (const Route& route : all_routes()) {
    for (const http::Headers& headers : {http::Headers{}, http::Headers{{"x-api-key", "wrong"}}}) {
      const Asked asked = ask(std::string(route.method), example_of(route), headers);
      EXPECT_EQ(asked.status(), route.needs_key ? 401 : 0) << route.path;
      EXPECT_EQ(asked.header("www-authenticate"), route.needs_key ? "Bearer" : "") << route.path;
    }
  }
}

TEST_F(Routes, EachRefusesOtherMethods) {
  for (const Route& route : all_routes()) {
    for (const char* method : {"PUT", "DELETE", "PATCH", "OPTIONS", "post", "", "BREW"}) {
      const Asked asked = ask(method, example_of(route), {{"x-api-key", "right"}});
      EXPECT_EQ(asked.status(), 405) << method << " " << route.path;
      EXPECT_NE(asked.header("allow").find(route.method), std::string::npos) << route.path;
    }
  }
}

TEST_F(Routes, ErrorsHaveTheFormOfTheirInterface) {
  for (const char* path : {"/v1/none", "/v1/models/", "/v1/chat/completions/", "//health", "/none", ""}) {
    const Asked asked = ask("GET", path);
    EXPECT_EQ(asked.status(), 404) << path;
    EXPECT_TRUE(Json::parse(asked.refusal->body)["error"]["message"].is_string()) << asked.refusal->body;
  }
  const Asked ollama = ask("POST", "/api/none");
  EXPECT_EQ(ollama.status(), 404);
  EXPECT_TRUE(Json::parse(ollama.refusal->body)["error"].is_string()) << ollama.refusal->body;
  const Asked anthropic = ask("POST", "/v1/messages");
  EXPECT_EQ(anthropic.status(), 401);
  EXPECT_EQ(Json::parse(anthropic.refusal->body)["type"], "error") << anthropic.refusal->body;
}

TEST_F(Routes, PagesOfThisMachineMayAskFromABrowser) {
  const Asked preflight = ask("OPTIONS", "/v1/chat/completions",
                              {{"origin", "http://localhost:3000"}, {"access-control-request-headers", "authorization"}});
  EXPECT_EQ(preflight.status(), 204);
  EXPECT_EQ(preflight.header("access-control-allow-headers"), "authorization");
  EXPECT_NE(preflight.header("access-control-allow-methods").find("POST"), std::string::npos);
  const Asked asked =
      ask("POST", "/v1/chat/completions", {{"origin", "http://localhost:3000"}, {"authorization", "Bearer right"}});
  EXPECT_FALSE(asked.refusal);
  const http::Headers expected = {{"access-control-allow-origin", "http://localhost:3000"}, {"vary", "Origin"}};
  EXPECT_EQ(asked.request.with_answer, expected);
}

TEST_F(Routes, HandleRunsTheHandlerOfTheRow) {
  Asked asked = ask("GET", "/v1/models/stories260K", {{"x-api-key", "right"}});
  ASSERT_FALSE(asked.refusal);
  const auto exchange = std::make_shared<test::FakeExchange>(std::move(asked.request));
  service_.handle(exchange);
  const test::Reply reply = exchange->wait();
  EXPECT_EQ(reply.status, 200) << reply.body;
  EXPECT_EQ(reply.json()["id"], "stories260K");
}

}  // namespace
}  // namespace woolly::server
