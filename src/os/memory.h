// Large anonymous memory for weights, caches and workspaces.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>

#include "woolly/error.h"

namespace woolly::os {

/// Owns one anonymous mapping, aligned to 2 MiB and advised to use huge pages, zero until written. Pages are taken
/// when they are first touched, so a large reservation costs nothing until used.
class Memory {
 public:
  /// `bytes` > 0, else kInvalidArgument; kLimitExceeded where the system refuses. Messages name `purpose` and the size.
  static Result<Memory> reserve(std::uint64_t bytes, const char* purpose);

  Memory() = default;
  Memory(Memory&& other) noexcept;
  Memory& operator=(Memory&& other) noexcept;
  ~Memory();

  /// Takes all pages now, so that no later touch has to wait for one. Only before anything is written.
  void populate() noexcept;

  [[nodiscard]] std::byte* data() const noexcept { return data_; }
  [[nodiscard]] std::uint64_t size() const noexcept { return size_; }
  /// The bytes [offset, offset + bytes), which must lie inside, read as zero afterwards; whole pages among them are
  /// given back to the system.
  void discard(std::uint64_t offset, std::uint64_t bytes) noexcept;

 private:
  std::byte* data_ = nullptr;
  std::uint64_t size_ = 0;
  void* mapping_ = nullptr;
  std::uint64_t mapping_size_ = 0;
};

/// The bytes that programs can still take without swapping, as the system estimates it (MemAvailable); 0 where it does
/// not say.
std::uint64_t available_memory();

/// What this process has in memory, mapped files included; 0 where the system does not say.
std::uint64_t resident_memory();

/// What a program may plan to take unless it is told otherwise: 80 % of what is available, or of what this process's memory
/// cgroup has left where that is less. `root` holds proc and sys, for tests.
std::uint64_t memory_to_use(const std::filesystem::path& root = "/");

}  // namespace woolly::os
