#include "cli/input.h"

#include <fmt/format.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string_view>

#include "cli/flags.h"
#include "os/standard_streams.h"
#include "text/unicode.h"

namespace woolly::cli {
namespace {

namespace fs = std::filesystem;

/// Far more than any context holds; a device that never ends must not fill the memory.
constexpr std::size_t kMaxTextBytes = std::size_t{1} << 30;

Error too_long(std::string_view name, std::string_view n_bytes) {
  return {ErrorCode::kLimitExceeded,
          fmt::format("{}: {} bytes of text, allowed are at most {}", name, n_bytes, kMaxTextBytes)};
}

Result<std::string> read_all(std::FILE* file, std::string_view name) {
  std::string text;
  std::array<char, 1 << 16> buffer;
  while (const std::size_t n = std::fread(buffer.data(), 1, buffer.size(), file)) {
    if (n > kMaxTextBytes - text.size()) return too_long(name, fmt::format("more than {}", kMaxTextBytes));
    text.append(buffer.data(), n);
  }
  if (std::ferror(file) != 0) return Error{ErrorCode::kIo, fmt::format("{}: {}", name, std::strerror(errno))};
  return text;
}

Result<std::string> read_file(const std::string& path) {
  std::error_code error;
  if (fs::is_directory(path, error)) {
    return Error{ErrorCode::kInvalidArgument, fmt::format("{}: a directory, expected a file of text", path)};
  }
  if (const std::uintmax_t size = fs::file_size(path, error); !error && size > kMaxTextBytes) {
    return too_long(path, std::to_string(size));
  }
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"), std::fclose);
  if (file == nullptr) {
    const ErrorCode code = errno == ENOENT ? ErrorCode::kNotFound : ErrorCode::kIo;
    return Error{code, fmt::format("{}: {}", path, std::strerror(errno))};
  }
  return read_all(file.get(), path);
}

Result<std::string> read_standard_input() {
  if (os::standard_input_is_terminal()) std::fputs("woolly: reading the text from the terminal; end it with Ctrl-D\n", stderr);
  return read_all(stdin, "standard input");
}

Status check_utf8(std::string_view text, std::string_view name) {
  for (std::size_t at = 0; at < text.size();) {
    const text::Decoded decoded = text::decode_utf8(text, at);
    if (decoded.state != text::Utf8::kValid) {
      return Error{ErrorCode::kInvalidArgument, fmt::format("{}: byte 0x{:02X} at offset {} is not UTF-8 text", name,
                                                            static_cast<unsigned char>(text[at]), at)};
    }
    at += decoded.n_bytes;
  }
  return {};
}

}  // namespace

Result<std::string> read_text_file(const std::string& path) {
  WOOLLY_TRY(std::string text, read_file(path));
  WOOLLY_CHECK(check_utf8(text, path));
  return text;
}

Result<std::optional<std::string>> read_line() {
  std::string line;
  int byte = 0;
  while ((byte = std::getc(stdin)) != EOF && byte != '\n') {
    if (line.size() == kMaxTextBytes) return too_long("a line of standard input", fmt::format("more than {}", kMaxTextBytes));
    line += static_cast<char>(byte);
  }
  if (std::ferror(stdin) != 0) return Error{ErrorCode::kIo, fmt::format("standard input: {}", std::strerror(errno))};
  if (byte == EOF && line.empty()) return std::optional<std::string>();
  WOOLLY_CHECK(check_utf8(line, "a line of standard input"));
  return std::optional(std::move(line));
}

std::vector<CLI::Option*> TextInput::declare(CLI::App& app) {
  CLI::Option* text = add_text(app, "-p", "TEXT", "The text", text_);
  CLI::Option* file = add_text(app, "-f", "FILE", "A file with the text, taken byte for byte", file_);
  exclude_each_other({text, file});
  return {text, file};
}

Result<std::string> TextInput::read() const {
  if (file_) return read_text_file(*file_);
  WOOLLY_TRY(std::string text, text_ ? Result<std::string>(*text_) : read_standard_input());
  WOOLLY_CHECK(check_utf8(text, text_ ? "-p" : "standard input"));
  return text;
}

}  // namespace woolly::cli
