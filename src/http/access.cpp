#include "http/access.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <fstream>
#include <utility>

#include "http/message.h"

namespace woolly::http {
namespace {

bool is_ipv4(std::string_view host) {
  std::size_t n_dots = 0;
  for (const char c : host) {
    if (c == '.') {
      ++n_dots;
    } else if (c < '0' || c > '9') {
      return false;
    }
  }
  return n_dots == 3;
}

bool is_address(std::string_view host) { return is_ipv4(host) || host.find(':') != std::string_view::npos; }

bool is_loopback_name(std::string_view host) {
  return host == "localhost" || host == "::1" || (is_ipv4(host) && host.starts_with("127."));
}

bool contains(const std::vector<std::string>& values, std::string_view value) {
  return std::ranges::find(values, value) != values.end();
}

/// As a header's value carries it.
bool is_visible(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) { return c > ' ' && c < 0x7F; });
}

/// What `text` says takes no part in how long this takes, but its length.
bool is_equal(std::string_view text, std::string_view key) {
  std::size_t difference = text.size() ^ key.size();
  for (std::size_t i = 0; i < text.size(); ++i) {
    difference |= static_cast<std::size_t>(text[i] ^ key[i % key.size()]);
    asm volatile("" : "+r"(difference));  // or the compiler could stop at the first difference
  }
  return difference == 0;
}

std::string_view presented_key(const Request& request) {
  constexpr std::string_view kScheme = "bearer ";
  const std::string_view authorization = request.header("authorization");
  if (authorization.size() > kScheme.size() &&
      std::ranges::equal(authorization.substr(0, kScheme.size()), kScheme,
                         [](char a, char b) { return std::tolower(static_cast<unsigned char>(a)) == b; })) {
    const std::string_view key = authorization.substr(kScheme.size());
    return key.substr(std::min(key.find_first_not_of(' '), key.size()));
  }
  return request.header("x-api-key");
}

}  // namespace

Result<Access> Access::create(AccessOptions options) {
  for (std::string& host : options.hosts) {
    if (host == "*") continue;
    const bool is_bare_ipv6 = std::ranges::count(host, ':') > 1 && !host.starts_with('[');
    std::optional<std::string> name = host_without_port(is_bare_ipv6 ? "[" + host + "]" : host);
    if (!name) return Error{ErrorCode::kInvalidArgument, fmt::format("\"{}\" is not the name of a host", host)};
    host = std::move(*name);
  }
  for (std::string& origin : options.origins) {
    while (origin.ends_with('/')) origin.pop_back();
    if (origin != "*" && (!is_visible(origin) || origin.find("://") == std::string::npos)) {
      return Error{ErrorCode::kInvalidArgument,
                   fmt::format("\"{}\" is not an origin, such as https://chat.example", origin)};
    }
  }
  for (const std::string& key : options.keys) {
    if (!is_visible(key)) {
      return Error{ErrorCode::kInvalidArgument, "an API key is empty, or has spaces or bytes that are not ASCII"};
    }
  }
  std::ranges::transform(options.bound_host, options.bound_host.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return Access(std::move(options));
}

bool Access::allows_host(std::string_view host) const {
  if (contains(options_.hosts, "*")) return true;
  const std::optional<std::string> name = host_without_port(host);
  if (!name) return false;
  if (is_loopback_name(*name) || contains(options_.hosts, *name)) return true;
  const std::string_view bound = options_.bound_host;
  if (bound == "0.0.0.0" || bound == "::" || bound == "[::]") return is_address(*name);
  return *name == bound || "[" + *name + "]" == bound;
}

bool Access::allows_origin(std::string_view origin) const {
  if (contains(options_.origins, "*") || contains(options_.origins, origin)) return true;
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (!origin.starts_with(scheme)) continue;
    const std::optional<std::string> name = host_without_port(origin.substr(scheme.size()));
    return name && is_loopback_name(*name);
  }
  return false;
}

std::optional<std::string> Access::key_of(const Request& request) const {
  if (options_.keys.empty()) return "";
  const std::string_view presented = presented_key(request);
  std::optional<std::string> name;
  for (std::size_t i = 0; i < options_.keys.size(); ++i) {
    if (is_equal(presented, options_.keys[i]) && !name) name = fmt::format("key-{}", i + 1);
  }
  return name;
}

Result<std::vector<std::string>> read_keys(const std::string& file) {
  std::ifstream stream(file);
  if (!stream) return Error{ErrorCode::kNotFound, fmt::format("{}: cannot be opened", file)};
  std::vector<std::string> keys;
  for (std::string line; std::getline(stream, line);) {
    while (!line.empty() && std::isspace(static_cast<unsigned char>(line.back())) != 0) line.pop_back();
    if (!line.empty() && line.front() != '#') keys.push_back(line);
  }
  if (stream.bad()) return Error{ErrorCode::kIo, fmt::format("{}: cannot be read", file)};
  return keys;
}

}  // namespace woolly::http
