#include "http/message.h"

#include <algorithm>
#include <cstddef>

namespace woolly::http {
namespace {

/// -1: not a hexadecimal digit.
int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::optional<std::string> percent_decoded(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    if (i + 2 >= text.size()) return std::nullopt;
    const int high = hex_value(text[i + 1]);
    const int low = hex_value(text[i + 2]);
    if (high < 0 || low < 0 || (high == 0 && low == 0)) return std::nullopt;
    out += static_cast<char>(high * 16 + low);
    i += 2;
  }
  return out;
}

bool is_port(std::string_view text) {
  return !text.empty() && text.size() <= 5 && std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
}

/// What names and addresses are made of.
bool is_host_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
}

}  // namespace

std::optional<Target> parse_target(std::string_view text) {
  if (text == "*") return Target{"*", ""};
  if (!text.starts_with('/')) return std::nullopt;
  const std::size_t question_mark = std::min(text.find('?'), text.size());
  std::optional<std::string> path = percent_decoded(text.substr(0, question_mark));
  if (!path) return std::nullopt;
  return Target{std::move(*path), std::string(text.substr(std::min(question_mark + 1, text.size())))};
}

std::optional<std::string> host_without_port(std::string_view text) {
  std::string host(text);
  std::ranges::transform(host, host.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  std::string_view rest = host;
  if (rest.starts_with('[')) {
    const std::size_t close = rest.find(']');
    if (close == std::string_view::npos) return std::nullopt;
    const std::string_view address = rest.substr(1, close - 1);
    rest.remove_prefix(close + 1);
    if (!rest.empty() && !(rest.front() == ':' && is_port(rest.substr(1)))) return std::nullopt;
    const bool is_address = !address.empty() && std::ranges::all_of(address, [](char c) {
      return hex_value(c) >= 0 || c == ':' || c == '.';
    });
    return is_address ? std::optional(std::string(address)) : std::nullopt;
  }
  const std::size_t colon = std::min(rest.find(':'), rest.size());
  if (colon < rest.size() && !is_port(rest.substr(colon + 1))) return std::nullopt;
  rest = rest.substr(0, colon);
  if (rest.empty() || !std::ranges::all_of(rest, is_host_character)) return std::nullopt;
  return std::string(rest);
}

}  // namespace woolly::http
