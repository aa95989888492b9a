// A model file with a chat template, made from one that has none.
#pragma once

#include <cstring>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "gguf/load.h"
#include "gguf/write.h"
#include "os/tensor_source.h"

namespace woolly::test {

/// The shortest template that tells who speaks.
inline constexpr std::string_view kPlainTemplate =
    "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}";

/// The bytes of the file at `path` with `text` as tokenizer.chat_template.
inline std::vector<std::byte> with_template(const std::filesystem::path& path, std::string_view text) {
  const auto source = os::TensorSource::open(path);
  const auto file = gguf::load(*source);
  gguf::Metadata metadata;
  for (const auto& entry : file->metadata.entries()) metadata.add(entry.key, entry.value);
  metadata.add("tokenizer.chat_template", {gguf::ValueType::kString, gguf::ValueType::kString, 1, std::as_bytes(std::span(text)), {}});
  gguf::Layout layout = gguf::lay_out(metadata, file->tensors());
  std::vector<std::byte> bytes = std::move(layout.header);
  bytes.resize(layout.file_size);
  for (std::size_t i = 0; i < file->tensors().size(); ++i) {
    const gguf::TensorView& tensor = file->tensors()[i];
    const auto status = source->read(tensor.file, tensor.offset, std::span(bytes).subspan(layout.offsets[i], tensor.size));
    static_cast<void>(status);
  }
  return bytes;
}

}  // namespace woolly::test
