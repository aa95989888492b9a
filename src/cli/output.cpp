#include "cli/output.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "text/unicode.h"

namespace woolly::cli {
namespace {

/// A fact about the process, like standard output itself. Used from the main thread only.
bool reader_has_gone = false;

/// Controls in the sense of a terminal: C0, DEL, C1, and the marks that turn the direction of a line around.
bool moves_cursor(char32_t code) {
  return code < 0x20 || (code >= 0x7F && code <= 0x9F) || (code >= 0x2028 && code <= 0x202E) ||
         (code >= 0x2066 && code <= 0x2069);
}

void append_visible(std::string& out, std::string_view bytes) {
  for (const char byte : bytes) {
    switch (byte) {
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      default:
        out += fmt::format("\\x{:02X}", static_cast<unsigned char>(byte));
    }
  }
}

std::string made_visible(std::string_view text, bool escape_backslash) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const text::Decoded decoded = text::decode_utf8(text, at);
    const std::string_view bytes = text.substr(at, decoded.n_bytes);
    at += decoded.n_bytes;
    if (decoded.state != text::Utf8::kValid || moves_cursor(decoded.code)) {
      append_visible(out, bytes);
    } else if (escape_backslash && decoded.code == U'\\') {
      out += "\\\\";
    } else {
      out += bytes;
    }
  }
  return out;
}

void print_line(std::string_view kind, std::string_view message) {
  const std::string line = fmt::format("woolly: {}: {}\n", kind, one_line(message));
  std::fwrite(line.data(), 1, line.size(), stderr);
}

}  // namespace

Status write_output(std::string_view text) {
  if (reader_has_gone) return {};
  errno = 0;
  if (std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0) return {};
  if (errno == EPIPE) {
    reader_has_gone = true;
    return {};
  }
  return Error{ErrorCode::kIo, fmt::format("standard output: {}", std::strerror(errno))};
}

bool output_is_closed() noexcept { return reader_has_gone; }

void print_error(std::string_view message) { print_line("error", message); }

void print_warning(std::string_view message) { print_line("warning", message); }

std::string escaped(std::string_view text) { return made_visible(text, true); }

std::string one_line(std::string_view text) { return made_visible(text, false); }

}  // namespace woolly::cli
