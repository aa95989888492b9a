// Parses arbitrary bytes as a GGUF file that ends with them and as the beginning of a longer one, and walks whatever
// comes out with every getter. A File that exists must keep its promises.
#include "gguf/gguf.h"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string_view>
#include <vector>

#include "base/assert.h"

namespace {

using woolly::gguf::File;
using woolly::gguf::Metadata;

/// Reads every byte of `text`, so that a view outside of its owner is found.
std::size_t touch(std::string_view text) {
  std::size_t sum = 0;
  for (const char c : text) sum += static_cast<unsigned char>(c);
  return sum;
}

std::size_t walk_metadata(const Metadata& metadata) {
  std::size_t sum = 0;
  for (const Metadata::Entry& entry : metadata.entries()) {
    const std::string_view key = entry.key;
    WOOLLY_ASSERT(metadata.find(key) == &entry.value);
    sum += touch(key);
    if (const auto value = metadata.get_uint(key)) sum += *value;
    if (const auto value = metadata.find_int(key)) sum += static_cast<std::size_t>(value->value_or(0));
    if (const auto value = metadata.get_float(key)) sum += *value > 0 ? 1u : 0u;
    if (const auto value = metadata.get_bool(key)) sum += *value ? 1u : 0u;
    if (const auto value = metadata.get_string(key)) sum += touch(*value);
    if (const auto values = metadata.floats(key)) sum += values->size();
    if (const auto values = metadata.ints(key)) sum += values->size();
    if (const auto values = metadata.strings(key)) {
      for (const std::string_view value : *values) sum += touch(value);
    }
  }
  return sum;
}

void check_tensors(const File& file, std::uint64_t file_size) {
  WOOLLY_ASSERT(file.tensor_bytes() <= file_size);
  for (const auto& tensor : file.tensors()) {
    WOOLLY_ASSERT(file.find_tensor(tensor.name) == &tensor);
    WOOLLY_ASSERT(tensor.size <= file_size && tensor.offset <= file_size - tensor.size);
    const auto& type = woolly::quant::info(tensor.type);
    WOOLLY_ASSERT(tensor.n_cols() % type.block_k == 0);
    WOOLLY_ASSERT(tensor.n_cols() / type.block_k * tensor.n_rows() * type.block_bytes == tensor.size);
  }
}

void parse_as_file_of(const std::shared_ptr<const std::vector<std::byte>>& bytes, std::uint64_t file_size) {
  bool needs_more = false;
  auto file = woolly::gguf::parse(bytes, file_size, "fuzz", &needs_more);
  WOOLLY_ASSERT(!needs_more || (!file && bytes->size() < file_size));
  if (!file) {
    WOOLLY_ASSERT(!file.error().message.empty());
    WOOLLY_ASSERT(file.error().message.find('\n') == std::string::npos);
    return;
  }
  volatile std::size_t sink = walk_metadata(file->metadata);
  static_cast<void>(sink);
  check_tensors(*file, file_size);

  std::vector<File> parts;
  parts.push_back(std::move(*file));
  woolly::gguf::merge_parts(std::move(parts)).ignore("split keys in a single file may be wrong");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto bytes = std::make_shared<std::vector<std::byte>>(size);
  if (size > 0) std::memcpy(bytes->data(), data, size);
  parse_as_file_of(bytes, size);
  parse_as_file_of(bytes, size + 1);
  parse_as_file_of(bytes, size + (std::uint64_t{1} << 40));
  return 0;
}
