#include "gguf/load.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/assert.h"
#include "gguf/printable.h"

namespace woolly::gguf {

namespace {

// The first read. A vocabulary of 128k tokens takes about 8 MB of header, one of 32k about 1 MB. Later parts of a split
// model hold a few keys and the tensor descriptions, some hundred bytes for each tensor.
constexpr std::uint64_t kFirstReadBytes = std::uint64_t{1} << 20;
constexpr std::uint64_t kFirstReadBytesOfLaterPart = std::uint64_t{1} << 16;

// Twenty times the largest header known (vocabularies of 256k tokens with merges: about 16 MB). Without it a sparse
// file could have us read its whole length into memory.
constexpr std::uint64_t kMaxHeaderBytes = std::uint64_t{1} << 28;

Result<File> load_part(const os::TensorSource& source, std::size_t part) {
  const std::uint64_t file_size = source.size(part);
  const std::string name = source.path(part).string();
  std::uint64_t n_bytes = part == 0 ? kFirstReadBytes : kFirstReadBytesOfLaterPart;
  for (;; n_bytes *= 2) {
    n_bytes = std::min(n_bytes, file_size);
    auto header = std::make_shared<std::vector<std::byte>>(n_bytes);
    WOOLLY_CHECK(source.read(part, 0, *header));
    bool needs_more = false;
    Result<File> file = parse(std::move(header), file_size, name, &needs_more);
    if (!needs_more) return file;
    if (n_bytes >= kMaxHeaderBytes) {
      return Error{ErrorCode::kLimitExceeded,
                   fmt::format("{}: header longer than {} bytes, the most that is read", name, kMaxHeaderBytes)};
    }
  }
}

/// Checks an integer that is there to be compared, where it is there at all.
Status expect_uint(const Metadata& metadata, std::string_view key, std::uint64_t expected, std::size_t part) {
  WOOLLY_TRY(const std::optional<std::uint64_t> found, metadata.find_uint(key));
  if (!found || *found == expected) return {};
  return Error{ErrorCode::kInvalidFile, fmt::format("{}: {} in part {}, expected {}", key, *found, part + 1, expected)};
}

}  // namespace

Result<File> merge_parts(std::vector<File> parts) {
  WOOLLY_ASSERT(!parts.empty());
  std::uint64_t n_tensors = 0;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    WOOLLY_CHECK(expect_uint(parts[i].metadata, "split.count", parts.size(), i));
    WOOLLY_CHECK(expect_uint(parts[i].metadata, "split.no", i, i));
    n_tensors += parts[i].tensors().size();
  }
  WOOLLY_CHECK(expect_uint(parts[0].metadata, "split.tensors.count", n_tensors, 0));

  File merged = std::move(parts[0]);
  merged.tensors_.reserve(n_tensors);
  for (std::size_t i = 1; i < parts.size(); ++i) {
    for (TensorView tensor : parts[i].tensors_) {
      const auto [place, is_first] = merged.tensor_index_.emplace(tensor.name, merged.tensors_.size());
      if (!is_first) {
        return Error{ErrorCode::kInvalidFile,
                     fmt::format("tensor {} appears twice, in parts {} and {}", printable(tensor.name),
                                 merged.tensors_[place->second].file + 1, i + 1)};
      }
      tensor.file = static_cast<std::uint32_t>(i);
      merged.tensors_.push_back(tensor);
    }
    std::ranges::move(parts[i].storage_, std::back_inserter(merged.storage_));
  }
  return merged;
}

Result<File> load(const os::TensorSource& source) {
  std::vector<File> parts;
  for (std::size_t i = 0; i < source.n_files(); ++i) {
    WOOLLY_TRY(File part, load_part(source, i));
    parts.push_back(std::move(part));
  }
  Result<File> merged = merge_parts(std::move(parts));
  if (!merged) merged.error().message = fmt::format("{}: {}", source.path(0).string(), merged.error().message);
  return merged;
}

}  // namespace woolly::gguf
