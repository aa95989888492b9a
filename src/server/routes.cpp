#include "server/routes.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <utility>

#include "server/anthropic.h"
#include "server/fields.h"
#include "server/native.h"
#include "server/ollama.h"
#include "server/openai.h"

namespace woolly::server {
namespace {

constexpr std::array kRoutes = {
    Route{"POST", "/v1/chat/completions", Dialect::kOpenAi, true, openai::chat_completions},
    Route{"POST", "/v1/completions", Dialect::kOpenAi, true, openai::completions},
    Route{"GET", "/v1/models", Dialect::kOpenAi, true, openai::list_models},
    Route{"GET", "/v1/models/{id}", Dialect::kOpenAi, true, openai::get_model},

    Route{"POST", "/api/generate", Dialect::kOllama, true, ollama::generate},
    Route{"POST", "/api/chat", Dialect::kOllama, true, ollama::chat},
    Route{"GET", "/api/tags", Dialect::kOllama, true, ollama::tags},
    Route{"POST", "/api/show", Dialect::kOllama, true, ollama::show},
    Route{"GET", "/api/ps", Dialect::kOllama, true, ollama::ps},
    Route{"GET", "/api/version", Dialect::kOllama, true, ollama::version},

    Route{"POST", "/v1/messages", Dialect::kAnthropic, true, anthropic::messages},
    Route{"POST", "/v1/messages/count_tokens", Dialect::kAnthropic, true, anthropic::count_tokens},

    Route{"GET", "/", Dialect::kOpenAi, false, native::root},
    Route{"GET", "/health", Dialect::kOpenAi, false, native::health},
    Route{"GET", "/ready", Dialect::kOpenAi, false, native::ready},
    Route{"GET", "/metrics", Dialect::kOpenAi, true, native::metrics},
    Route{"POST", "/tokenize", Dialect::kOpenAi, true, native::tokenize},
    Route{"POST", "/detokenize", Dialect::kOpenAi, true, native::detokenize},
    Route{"POST", "/apply-template", Dialect::kOpenAi, true, native::apply_template},
};

bool matches(const Route& route, std::string_view path) {
  const std::size_t brace = route.path.find('{');
  if (brace == std::string_view::npos) return route.path == path;
  return path.size() > brace && path.starts_with(route.path.substr(0, brace));
}

bool matches(const Route& route, std::string_view method, std::string_view path) {
  return matches(route, path) && (route.method == method || (route.method == "GET" && method == "HEAD"));
}

/// nullptr: none.
const Route* find_route(std::string_view method, std::string_view path) {
  const auto row = std::ranges::find_if(kRoutes, [&](const Route& route) { return matches(route, method, path); });
  return row == kRoutes.end() ? nullptr : &*row;
}

/// Of a path that may have no row.
Dialect dialect_of(std::string_view path) {
  if (path.starts_with("/api/")) return Dialect::kOllama;
  return path.starts_with("/v1/messages") ? Dialect::kAnthropic : Dialect::kOpenAi;
}

http::Response refuse(const http::Request& request, int status, std::string_view message) {
  return error_response(dialect_of(request.path), {status, std::string(message)});
}

/// The methods that a path has rows for: "GET, HEAD, POST". Empty: none.
std::string methods_of(std::string_view path) {
  std::string methods;
  for (const std::string_view method : {"GET", "HEAD", "POST"}) {
    if (find_route(method, path) != nullptr) methods += fmt::format("{}{}", methods.empty() ? "" : ", ", method);
  }
  return methods;
}

/// A page of an allowed origin asks what it may send.
http::Response preflight(const http::Request& request, std::string_view methods) {
  http::Response response{204, "", "", {{"access-control-allow-methods", std::string(methods)}}};
  if (const std::string_view asked = request.header("access-control-request-headers"); !asked.empty()) {
    response.headers.emplace_back("access-control-allow-headers", asked);
  }
  response.headers.emplace_back("access-control-max-age", "600");
  return response;
}

std::optional<http::Response> admit(const http::Access& access, http::Request& request) {
  if (const std::string_view host = request.header("host"); !access.allows_host(host)) {
    return refuse(request, 403,
                  fmt::format("Host: {}, allowed are localhost, the address that is listened on, and --allow-host",
                              quote(host)));
  }
  const std::string_view origin = request.header("origin");
  if (!origin.empty()) {
    if (!access.allows_origin(origin)) {
      return refuse(request, 403,
                    fmt::format("Origin: {}, allowed are pages of this machine, and --allow-origin", quote(origin)));
    }
    request.with_answer = {{"access-control-allow-origin", std::string(origin)}, {"vary", "Origin"}};
  }
  const std::string methods = methods_of(request.path);
  if (methods.empty()) return refuse(request, 404, fmt::format("there is no route {}", quote(request.path)));
  if (request.method == "OPTIONS" && !origin.empty()) return preflight(request, methods);
  const Route* route = find_route(request.method, request.path);
  if (route == nullptr) {
    http::Response response =
        refuse(request, 405, fmt::format("the method is {}, allowed is {}", quote(request.method), methods));
    response.headers.emplace_back("allow", methods);
    return response;
  }
  request.route = route->path;
  if (auto key = access.key_of(request)) {
    request.key = std::move(*key);
  } else if (route->needs_key) {
    http::Response response =
        refuse(request, 401, "no API key that is allowed here, as Authorization: Bearer or as x-api-key");
    response.headers.emplace_back("www-authenticate", "Bearer");
    return response;
  }
  return std::nullopt;
}

}  // namespace

std::span<const Route> all_routes() { return kRoutes; }

http::Service make_service(const Services& services, const http::Access& access, Log& log) {
  return {
      .admit = [&access](http::Request& request) { return admit(access, request); },
      .handle =
          [&services](std::shared_ptr<http::Exchange> exchange) {
            const http::Request& request = exchange->request();
            find_route(request.method, request.path)->handle(services, std::move(exchange));
          },
      .refuse = refuse,
      .log = [&log](const http::Completed& completed) { log.request(completed); },
  };
}

}  // namespace woolly::server
