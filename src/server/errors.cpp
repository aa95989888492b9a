#include "server/errors.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "server/json.h"

namespace woolly::server {
namespace {

/// Long enough for a place to come free, as a rule; short enough that a client does not give up.
constexpr const char* kRetryAfterSeconds = "2";

/// THE table of statuses and the types that errors have in OpenAI's and Anthropic's interface.
struct ErrorType {
  int status;
  std::string_view openai;
  std::string_view anthropic;
};
constexpr std::array kTypes = {
    ErrorType{401, "authentication_error", "authentication_error"},
    ErrorType{403, "permission_error", "permission_error"},
    ErrorType{404, "not_found_error", "not_found_error"},
    ErrorType{413, "invalid_request_error", "request_too_large"},
    ErrorType{503, "server_error", "overloaded_error"},
};
constexpr ErrorType kOther4xx{400, "invalid_request_error", "invalid_request_error"};
constexpr ErrorType kOther5xx{500, "server_error", "api_error"};

const ErrorType& type_of(int status) {
  const auto row = std::ranges::find(kTypes, status, &ErrorType::status);
  if (row != kTypes.end()) return *row;
  return status < 500 ? kOther4xx : kOther5xx;
}

Json openai_json(const Refusal& refusal) {
  Json error{
      {"message", refusal.message}, {"type", type_of(refusal.status).openai}, {"param", nullptr}, {"code", nullptr}};
  if (refusal.is_unknown_model) error["code"] = "model_not_found";
  if (refusal.n_ctx > 0) {
    error["type"] = "exceed_context_size_error";
    error["code"] = "context_length_exceeded";
    error["n_prompt_tokens"] = refusal.n_prompt;
    error["n_ctx"] = refusal.n_ctx;
  }
  return Json::object({{"error", std::move(error)}});
}

Json anthropic_json(const Refusal& refusal) {
  Json error{{"type", type_of(refusal.status).anthropic}, {"message", refusal.message}};
  if (refusal.n_ctx > 0) {  // clients know it by these words
    error["message"] = fmt::format("prompt is too long: {} tokens > {} maximum", refusal.n_prompt, refusal.n_ctx);
  }
  return {{"type", "error"}, {"error", std::move(error)}};
}

}  // namespace

Refusal refusal_of(const Error& error) {
  return {http_status(error.code), error.message, error.code == ErrorCode::kNotFound};
}

std::string error_body(Dialect dialect, const Refusal& refusal) {
  switch (dialect) {
    case Dialect::kOpenAi:
      return dump(openai_json(refusal));
    case Dialect::kOllama:
      return dump(Json::object({{"error", refusal.message}}));
    case Dialect::kAnthropic:
      return dump(anthropic_json(refusal));
  }
  return {};
}

http::Response error_response(Dialect dialect, const Refusal& refusal) {
  http::Response response;
  response.status = refusal.status;
  response.body = error_body(dialect, refusal);
  if (response.status == 503) response.headers.emplace_back("retry-after", kRetryAfterSeconds);
  return response;
}

}  // namespace woolly::server
