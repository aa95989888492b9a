// Files that a command writes.
#pragma once

#include <cstddef>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <span>
#include <string_view>

#include "woolly/error.h"

namespace woolly::cli {

/// A file that appears under its name only when it is complete: written beside it, then renamed. What is no regular
/// file (a pipe, a device) is written directly. Errors are kIo and name the path.
class OutputFile {
 public:
  static Result<OutputFile> create(const std::filesystem::path& path);
  /// Whether `create` would succeed, for a file that is written only after long work; leaves nothing behind. What is no
  /// regular file is not opened for that: it is told by `create`.
  static Status probe(const std::filesystem::path& path);

  OutputFile(OutputFile&& other) noexcept = default;
  ~OutputFile();

  /// A failure is told by `finish`.
  void write(std::span<const std::byte> bytes) noexcept;
  void write(std::string_view text) noexcept { write(std::as_bytes(std::span(text))); }

  /// Of the writes so far.
  [[nodiscard]] Status status() const;

  Status finish();

 private:
  struct Close {
    void operator()(std::FILE* file) const noexcept { std::fclose(file); }
  };

  OutputFile() = default;

  std::filesystem::path path_;
  std::filesystem::path temporary_;  // empty: written directly
  std::unique_ptr<std::FILE, Close> file_;
  int error_ = 0;  // of the first write that failed
};

}  // namespace woolly::cli
