#include "os/tensor_source.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <optional>
#include <string_view>
#include <system_error>
#include <utility>

#include "base/assert.h"
#include "os/lost_pages.h"

namespace woolly::os {

namespace {

// Linux transfers at most 0x7ffff000 bytes by one call; a round number below it.
constexpr std::size_t kMaxReadBytes = std::size_t{1} << 30;

Error failed(const std::filesystem::path& path, std::string_view what, int error_number) {
  const ErrorCode code = error_number == ENOENT || error_number == ENOTDIR ? ErrorCode::kNotFound : ErrorCode::kIo;
  return {code, fmt::format("{}: {}: {}", path.string(), what, std::generic_category().message(error_number))};
}

/// What stands at a path where a regular file should.
std::string_view kind_of(mode_t mode) noexcept {
  if (S_ISDIR(mode)) return "a directory";
  if (S_ISFIFO(mode)) return "a pipe";
  if (S_ISSOCK(mode)) return "a socket";
  return "a device";
}

/// A name of the form `<stem>-00002-of-00005.gguf`.
struct SplitName {
  std::string stem;
  int number;  ///< From 1.
  int count;
};

std::optional<int> parse_digits(std::string_view text) noexcept {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool is_number = error == std::errc{} && end == text.data() + text.size() && text[0] != '-';
  return is_number ? std::optional(value) : std::nullopt;
}

std::optional<SplitName> parse_split_name(const std::string& name) {
  constexpr std::string_view kForm = "-00000-of-00000.gguf";
  if (name.size() < kForm.size()) return std::nullopt;
  const std::string_view tail = std::string_view(name).substr(name.size() - kForm.size());
  if (tail[0] != '-' || tail.substr(6, 4) != "-of-" || tail.substr(15) != ".gguf") return std::nullopt;
  const std::optional<int> number = parse_digits(tail.substr(1, 5));
  const std::optional<int> count = parse_digits(tail.substr(10, 5));
  if (!number || !count) return std::nullopt;
  return SplitName{name.substr(0, name.size() - kForm.size()), *number, *count};
}

}  // namespace

/// One open file, with its mapping where there is one.
struct TensorSource::Part {
  Part() = default;
  Part(Part&& other) noexcept { swap(other); }
  Part& operator=(Part&& other) noexcept {
    swap(other);
    return *this;
  }
  ~Part() {
    lost.reset();
    if (map != nullptr) ::munmap(map, size);
    if (fd >= 0) ::close(fd);
  }

  static Result<Part> open(const std::filesystem::path& path, Access access);

  std::filesystem::path path;
  int fd = -1;
  std::size_t size = 0;
  void* map = nullptr;
  std::unique_ptr<LostPages> lost;  ///< Of `map`.

 private:
  void swap(Part& other) noexcept {
    path.swap(other.path);
    std::swap(fd, other.fd);
    std::swap(size, other.size);
    std::swap(map, other.map);
    lost.swap(other.lost);
  }
};

Result<TensorSource::Part> TensorSource::Part::open(const std::filesystem::path& path, Access access) {
  Part part;
  part.path = path;
  // O_NONBLOCK: opening a pipe must not wait for its writer; it changes nothing for regular files.
  part.fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  if (part.fd < 0) return failed(path, "cannot be opened", errno);
  struct stat status = {};
  if (::fstat(part.fd, &status) != 0) return failed(path, "cannot be examined", errno);
  if (!S_ISREG(status.st_mode)) {
    return Error{ErrorCode::kInvalidArgument,
                 fmt::format("{}: {}, expected a regular file", path.string(), kind_of(status.st_mode))};
  }
  part.size = static_cast<std::size_t>(status.st_size);
  if (access == Access::kMap && part.size > 0) {
    void* map = ::mmap(nullptr, part.size, PROT_READ, MAP_SHARED, part.fd, 0);
    if (map == MAP_FAILED) return failed(path, "cannot be mapped", errno);
    part.map = map;
    part.lost = std::make_unique<LostPages>(map, part.size);
    if (!part.lost->is_watching()) {
      return Error{ErrorCode::kLimitExceeded, fmt::format("{}: cannot be mapped, as {} files are, which is the most",
                                                          path.string(), LostPages::kMax)};
    }
    // Where the file system can, the file is then read and mapped in huge pages: in fewer and larger reads, and with few
    // page walks later. It is advice; nothing is lost where it is not taken.
    ::madvise(map, part.size, MADV_HUGEPAGE);
  }
  return part;
}

TensorSource::TensorSource() = default;
TensorSource::TensorSource(TensorSource&&) noexcept = default;
TensorSource& TensorSource::operator=(TensorSource&&) noexcept = default;
TensorSource::~TensorSource() = default;

Result<TensorSource> TensorSource::open(const std::filesystem::path& path, Access access) {
  TensorSource source;
  const std::optional<SplitName> split = parse_split_name(path.filename().string());
  if (!split) {
    WOOLLY_TRY(Part part, Part::open(path, access));
    source.parts_.push_back(std::move(part));
    return source;
  }
  if (split->number < 1 || split->number > split->count) {
    return Error{ErrorCode::kInvalidArgument, fmt::format("{}: part {} of {}, expected a part from 1 to {}",
                                                          path.string(), split->number, split->count, split->count)};
  }
  for (int i = 1; i <= split->count; ++i) {
    const std::string name = fmt::format("{}-{:05}-of-{:05}.gguf", split->stem, i, split->count);
    WOOLLY_TRY(Part part, Part::open(path.parent_path() / name, access));
    source.parts_.push_back(std::move(part));
  }
  return source;
}

std::size_t TensorSource::n_files() const noexcept { return parts_.size(); }

const std::filesystem::path& TensorSource::path(std::size_t file) const noexcept {
  WOOLLY_ASSERT(file < parts_.size());
  return parts_[file].path;
}

std::uint64_t TensorSource::size(std::size_t file) const noexcept {
  WOOLLY_ASSERT(file < parts_.size());
  return parts_[file].size;
}

Status TensorSource::read(std::size_t file, std::uint64_t offset, std::span<std::byte> out) const {
  WOOLLY_ASSERT(file < parts_.size());
  const Part& part = parts_[file];
  if (offset > part.size || out.size() > part.size - offset) {
    return Error{ErrorCode::kInvalidArgument, fmt::format("{}: {} bytes at {} asked for, the file ends at {}",
                                                          part.path.string(), out.size(), offset, part.size)};
  }
  while (!out.empty()) {
    const std::size_t n_wanted = std::min(out.size(), kMaxReadBytes);
    const ssize_t n_read = ::pread(part.fd, out.data(), n_wanted, static_cast<off_t>(offset));
    if (n_read < 0 && errno == EINTR) continue;
    if (n_read < 0) return failed(part.path, fmt::format("cannot be read at {}", offset), errno);
    if (n_read == 0) {
      return Error{ErrorCode::kIo, fmt::format("{}: ends at {}, it had {} bytes when it was opened", part.path.string(),
                                               offset, part.size)};
    }
    out = out.subspan(static_cast<std::size_t>(n_read));
    offset += static_cast<std::uint64_t>(n_read);
  }
  return {};
}

std::span<const std::byte> TensorSource::mapped(std::size_t file) const noexcept {
  WOOLLY_ASSERT(file < parts_.size());
  const Part& part = parts_[file];
  if (part.map == nullptr) return {};
  return {static_cast<const std::byte*>(part.map), part.size};
}

Status TensorSource::check_mapped() const {
  for (const Part& part : parts_) {
    if (part.lost == nullptr || !part.lost->any()) continue;
    return Error{ErrorCode::kIo, fmt::format("{}: cannot be read any more; it had {} bytes when it was mapped",
                                             part.path.string(), part.size)};
  }
  return {};
}

}  // namespace woolly::os
