// The texts of HTTP that need no parser of messages: request targets and dates.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace woolly::http {

struct Target {
  std::string path;   ///< Percent-decoded.
  std::string query;  ///< Raw, without '?'.
};

/// Reads a request target in origin form ("/a%20b?c=d") or "*". Nothing for all else, for a '%' without two hexadecimal
/// digits and for a NUL.
std::optional<Target> parse_target(std::string_view text);

/// "host", "host:port", "[::1]:port" without the port and the brackets, in lower case; nothing where it is neither.
std::optional<std::string> host_without_port(std::string_view text);

}  // namespace woolly::http
