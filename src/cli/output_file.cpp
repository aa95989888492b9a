#include "cli/output_file.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <random>

namespace woolly::cli {
namespace {

namespace fs = std::filesystem;

Error failure(const fs::path& path, std::string_view why) {
  return {ErrorCode::kIo, fmt::format("{}: {}", path.string(), why)};
}

/// Neither a regular file nor the name of one that is not there yet.
bool is_special(const fs::path& path) {
  std::error_code error;
  return fs::exists(path, error) && !fs::is_regular_file(path, error);
}

}  // namespace

Result<OutputFile> OutputFile::create(const fs::path& path) {
  std::error_code error;
  if (fs::is_directory(path, error)) return failure(path, "a directory, expected the name of a file");
  OutputFile file;
  file.path_ = path;
  if (!is_special(path)) {
    file.temporary_ = path;
    file.temporary_ += fmt::format(".{:08x}.part", std::random_device{}());
  }
  const fs::path& opened = file.temporary_.empty() ? path : file.temporary_;
  file.file_.reset(std::fopen(opened.c_str(), file.temporary_.empty() ? "wb" : "wbx"));
  if (file.file_ == nullptr) return failure(path, std::strerror(errno));
  return file;
}

Status OutputFile::probe(const fs::path& path) {
  std::error_code error;
  if (is_special(path) && !fs::is_directory(path, error)) return {};
  WOOLLY_CHECK(create(path));
  return {};
}

OutputFile::~OutputFile() {
  std::error_code error;
  if (file_ != nullptr && !temporary_.empty()) fs::remove(temporary_, error);
}

void OutputFile::write(std::span<const std::byte> bytes) noexcept {
  if (error_ != 0 || std::fwrite(bytes.data(), 1, bytes.size(), file_.get()) == bytes.size()) return;
  error_ = errno;
}

Status OutputFile::status() const {
  if (error_ != 0) return failure(path_, std::strerror(error_));
  return {};
}

Status OutputFile::finish() {
  if (error_ == 0 && std::fflush(file_.get()) != 0) error_ = errno;
  WOOLLY_CHECK(status());
  std::error_code error;
  if (!temporary_.empty()) fs::rename(temporary_, path_, error);
  if (error) return failure(path_, error.message());
  file_.reset();
  return {};
}

}  // namespace woolly::cli
