#include "server/errors.h"

#include <gtest/gtest.h>

#include "server/json.h"

namespace woolly::server {
namespace {

TEST(HttpStatus, IsTheCallersFaultOrOurs) {
  EXPECT_EQ(http_status(ErrorCode::kInvalidArgument), 400);
  EXPECT_EQ(http_status(ErrorCode::kUnsupported), 400);
  EXPECT_EQ(http_status(ErrorCode::kLimitExceeded), 400);
  EXPECT_EQ(http_status(ErrorCode::kNotFound), 404);
  EXPECT_EQ(http_status(ErrorCode::kOverloaded), 503);
  EXPECT_EQ(http_status(ErrorCode::kInvalidFile), 500);
  EXPECT_EQ(http_status(ErrorCode::kIo), 500);
  EXPECT_EQ(http_status(ErrorCode::kInternal), 500);
}

TEST(ErrorBody, HasTheFormOfTheDialect) {
  const Refusal refusal{400, "top_k: -1"};
  EXPECT_EQ(error_body(Dialect::kOpenAi, refusal),
            R"({"error":{"message":"top_k: -1","type":"invalid_request_error","param":null,"code":null}})");
  EXPECT_EQ(error_body(Dialect::kOllama, refusal), R"({"error":"top_k: -1"})");
  EXPECT_EQ(error_body(Dialect::kAnthropic, refusal),
            R"({"type":"error","error":{"type":"invalid_request_error","message":"top_k: -1"}})");
}

TEST(ErrorBody, SaysBothNumbersOfAPromptOverTheContext) {
  const Refusal refusal{400, "the prompt has 300 tokens, the context holds 256", false, 300, 256};
  EXPECT_EQ(error_body(Dialect::kOpenAi, refusal),
            R"({"error":{"message":"the prompt has 300 tokens, the context holds 256",)"
            R"("type":"exceed_context_size_error","param":null,"code":"context_length_exceeded",)"
            R"("n_prompt_tokens":300,"n_ctx":256}})");
  EXPECT_EQ(error_body(Dialect::kOllama, refusal), R"({"error":"the prompt has 300 tokens, the context holds 256"})");
  EXPECT_EQ(error_body(Dialect::kAnthropic, refusal), R"({"type":"error","error":{"type":"invalid_request_error",)"
                                                      R"("message":"prompt is too long: 300 tokens > 256 maximum"}})");
}

TEST(ErrorBody, NamesTheKindOfEveryStatus) {
  const auto types = [](int status) {
    const Refusal refusal{status, "x"};
    return Json::parse(error_body(Dialect::kOpenAi, refusal))["error"]["type"].get<std::string>() + ' ' +
           Json::parse(error_body(Dialect::kAnthropic, refusal))["error"]["type"].get<std::string>();
  };
  EXPECT_EQ(types(401), "authentication_error authentication_error");
  EXPECT_EQ(types(403), "permission_error permission_error");
  EXPECT_EQ(types(404), "not_found_error not_found_error");
  EXPECT_EQ(types(405), "invalid_request_error invalid_request_error");
  EXPECT_EQ(types(413), "invalid_request_error request_too_large");
  EXPECT_EQ(types(500), "server_error api_error");
  EXPECT_EQ(types(503), "server_error overloaded_error");
}

TEST(ErrorResponse, TellsWhenToComeBackOnlyWhereThatHelps) {
  const auto overloaded = error_response(Dialect::kOllama, refusal_of({ErrorCode::kOverloaded, "busy"}));
  EXPECT_EQ(overloaded.status, 503);
  ASSERT_EQ(overloaded.headers.size(), 1U);
  EXPECT_EQ(overloaded.headers[0].first, "retry-after");
  const auto unknown = error_response(Dialect::kOpenAi, refusal_of({ErrorCode::kNotFound, "no model"}));
  EXPECT_EQ(unknown.status, 404);
  EXPECT_TRUE(unknown.headers.empty());
  EXPECT_NE(unknown.body.find(R"("code":"model_not_found")"), std::string::npos) << unknown.body;
}

}  // namespace
}  // namespace woolly::server
