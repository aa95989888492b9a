// The bytes of a model: one file or all parts of a split one, read by pread or mapped.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "woolly/error.h"

namespace woolly::os {

enum class Access : std::uint8_t { kRead, kMap };

/// Owns the open files (and the mappings). Reading is safe from several threads at once.
class TensorSource {
 public:
  /// Opens `path`; a directory, a device, a missing or an unreadable file is an error that names it. Where the name
  /// ends in -00001-of-0000N.gguf (or any other part of it), all N parts are opened in order.
  static Result<TensorSource> open(const std::filesystem::path& path, Access access = Access::kRead);

  TensorSource(TensorSource&&) noexcept;
  TensorSource& operator=(TensorSource&&) noexcept;
  ~TensorSource();

  [[nodiscard]] std::size_t n_files() const noexcept;
  [[nodiscard]] const std::filesystem::path& path(std::size_t file) const noexcept;
  /// In bytes, when it was opened.
  [[nodiscard]] std::uint64_t size(std::size_t file) const noexcept;

  /// Fills `out` from `offset` of file `file`; a short read (a file cut after it was opened) is an error.
  [[nodiscard]] Status read(std::size_t file, std::uint64_t offset, std::span<std::byte> out) const;

  /// The whole mapped file; empty unless opened with Access::kMap. What can no longer be read of it reads as zeros.
  [[nodiscard]] std::span<const std::byte> mapped(std::size_t file) const noexcept;
  /// kIo once something of a mapped file could not be read: it was cut, or its device failed.
  [[nodiscard]] Status check_mapped() const;

 private:
  struct Part;
  TensorSource();
  std::vector<Part> parts_;
};

}  // namespace woolly::os
