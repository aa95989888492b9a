// Refusals: which HTTP status an error has, and how each dialect says it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "http/exchange.h"
#include "woolly/error.h"

namespace woolly::server {

/// The native routes say errors as OpenAI's do.
enum class Dialect : std::uint8_t { kOpenAi, kOllama, kAnthropic };

/// THE table. A request that cannot be served as it is written is 4xx, what is wrong here 5xx.
constexpr int http_status(ErrorCode code) noexcept {
  switch (code) {
    case ErrorCode::kInvalidArgument:
    case ErrorCode::kUnsupported:
    case ErrorCode::kLimitExceeded:
      return 400;
    case ErrorCode::kNotFound:
      return 404;
    case ErrorCode::kOverloaded:
      return 503;
    case ErrorCode::kInvalidFile:
    case ErrorCode::kIo:
    case ErrorCode::kInternal:
      return 500;
  }
  return 500;
}

/// Why a request is refused.
struct Refusal {
  int status;
  std::string message;
  bool is_unknown_model = false;
  /// Of a prompt over the context; else 0.
  std::size_t n_prompt = 0;
  std::size_t n_ctx = 0;
};

/// What the handlers do not find is a model.
Refusal refusal_of(const Error& error);

/// JSON. OpenAI: {"error":{message,type,param,code}}, of a prompt over the context with n_prompt_tokens and n_ctx.
/// Ollama: {"error":message}. Anthropic: {"type":"error","error":{type,message}}.
std::string error_body(Dialect dialect, const Refusal& refusal);

/// The answer; with 503 goes Retry-After.
http::Response error_response(Dialect dialect, const Refusal& refusal);

}  // namespace woolly::server
