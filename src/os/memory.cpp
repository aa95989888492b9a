#include "os/memory.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <limits>
#include <optional>
#include <string>
#include <utility>

#include "base/assert.h"
#include "base/checked.h"

namespace woolly::os {
namespace {

constexpr std::uint64_t kHugePage = std::uint64_t{2} << 20;  // x86-64 and aarch64 with 4 KiB pages

Error refused(std::uint64_t bytes, const char* purpose, const char* reason) {
  return {ErrorCode::kLimitExceeded, fmt::format("{}: cannot reserve {} bytes ({:.1f} GiB) of memory: {}", purpose,
                                                 bytes, static_cast<double>(bytes) / (1 << 30), reason)};
}

std::uint64_t page_size() {
  static const auto size = static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
  return size;
}

}  // namespace

Result<Memory> Memory::reserve(std::uint64_t bytes, const char* purpose) {
  if (bytes == 0) return Error{ErrorCode::kInvalidArgument, fmt::format("{}: 0 bytes of memory asked for", purpose)};
  // mmap aligns to 4 KiB pages only: one huge page more leaves room to begin at a multiple of 2 MiB.
  if (bytes > std::numeric_limits<std::size_t>::max() / 2)
    return refused(bytes, purpose, "more than an address can name");
  const std::uint64_t mapping_size = base::round_up(bytes, kHugePage) + kHugePage;
  void* mapping = mmap(nullptr, static_cast<std::size_t>(mapping_size), PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapping == MAP_FAILED) return refused(bytes, purpose, std::strerror(errno));

  const std::uint64_t lead = (kHugePage - reinterpret_cast<std::uintptr_t>(mapping) % kHugePage) % kHugePage;
  Memory memory;
  memory.mapping_ = mapping;
  memory.mapping_size_ = mapping_size;
  memory.data_ = static_cast<std::byte*>(mapping) + lead;
  memory.size_ = bytes;
  // Whole huge pages only: a short tail stays on small pages instead of taking 2 MiB. A kernel without huge pages
  // refuses the advice, which changes the speed and nothing else.
  if (const std::uint64_t whole = bytes / kHugePage * kHugePage; whole > 0) {
    static_cast<void>(madvise(memory.data_, static_cast<std::size_t>(whole), MADV_HUGEPAGE));
  }
  return memory;
}

Memory::Memory(Memory&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      mapping_(std::exchange(other.mapping_, nullptr)),
      mapping_size_(std::exchange(other.mapping_size_, 0)) {}

Memory& Memory::operator=(Memory&& other) noexcept {
  Memory taken(std::move(other));
  std::swap(data_, taken.data_);
  std::swap(size_, taken.size_);
  std::swap(mapping_, taken.mapping_);
  std::swap(mapping_size_, taken.mapping_size_);
  return *this;
}

Memory::~Memory() {
  if (mapping_ != nullptr) munmap(mapping_, static_cast<std::size_t>(mapping_size_));
}

void Memory::populate() noexcept {
  // MADV_POPULATE_WRITE gains nothing over this where there are huge pages (16 MiB in 0.6 ms either way), and is missing
  // before Linux 5.14.
  for (std::uint64_t at = 0; at < size_; at += page_size()) const_cast<volatile std::byte*>(data_)[at] = std::byte{0};
}

void Memory::discard(std::uint64_t offset, std::uint64_t bytes) noexcept {
  WOOLLY_ASSERT(offset <= size_ && bytes <= size_ - offset);
  const std::uint64_t page = page_size();
  const std::uint64_t end = offset + bytes;
  const std::uint64_t first_page = base::round_up(offset, page);
  const std::uint64_t last_page = end / page * page;
  const auto zero = [&](std::uint64_t from, std::uint64_t to) {
    if (from < to) std::memset(data_ + from, 0, static_cast<std::size_t>(to - from));
  };
  if (first_page >= last_page) return zero(offset, end);
  zero(offset, first_page);
  zero(last_page, end);
  // Refused for locked pages (mlockall), which then stay and are cleared by hand.
  if (madvise(data_ + first_page, static_cast<std::size_t>(last_page - first_page), MADV_DONTNEED) != 0) {
    zero(first_page, last_page);
  }
}

namespace {

std::uint64_t available_memory(const std::filesystem::path& root) {
  std::ifstream file(root / "proc/meminfo");
  std::string word;
  while (file >> word) {
    std::uint64_t kibibytes = 0;
    if (word == "MemAvailable:" && file >> kibibytes) return kibibytes << 10U;
  }
  return 0;
}

/// The number that a file of a cgroup holds; none where there is no such file, or it says "max".
std::optional<std::uint64_t> number_in(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::uint64_t number = 0;
  return file >> number ? std::optional(number) : std::nullopt;
}

/// What the group at `mount`/`group` and those above it leave, by the names that this version of cgroups has.
std::uint64_t left_in_groups(const std::filesystem::path& mount, const std::filesystem::path& group, const char* limit,
                             const char* usage) {
  std::uint64_t least = UINT64_MAX;
  std::filesystem::path at = mount;
  const auto look = [&] {
    const auto most = number_in(at / limit), used = number_in(at / usage);
    if (most && used) least = std::min(least, *most - std::min(*most, *used));
  };
  look();
  for (const auto& name : group.relative_path()) {
    at /= name;
    look();
  }
  return least;
}

}  // namespace

std::uint64_t available_memory() { return available_memory("/"); }

std::uint64_t resident_memory() {
  std::ifstream file("/proc/self/statm");
  std::uint64_t n_mapped = 0, n_resident = 0;
  return file >> n_mapped >> n_resident ? n_resident * page_size() : 0;
}

std::uint64_t memory_to_use(const std::filesystem::path& root) {
  std::uint64_t left = available_memory(root);
  std::ifstream memberships(root / "proc/self/cgroup");
  for (std::string line; std::getline(memberships, line);) {  // "hierarchy:controller,controller:/group"
    const std::size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1), group = line.substr(second + 1);
    const std::filesystem::path mounts = root / "sys/fs/cgroup";
    if (controllers.empty()) {
      left = std::min(left, left_in_groups(mounts, group, "memory.max", "memory.current"));
    } else if (("," + controllers + ",").find(",memory,") != std::string::npos) {
      left = std::min(left, left_in_groups(mounts / "memory", group, "memory.limit_in_bytes", "memory.usage_in_bytes"));
    }
  }
  return left / 5 * 4;
}

}  // namespace woolly::os
