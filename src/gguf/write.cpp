#include "gguf/write.h"

#include <cstring>
#include <string_view>

#include "base/checked.h"

namespace woolly::gguf {
namespace {

constexpr std::uint64_t kDefaultAlignment = 32;  // GGUF specification

class Bytes {
 public:
  template <typename T>
  void number(T value) {
    raw(std::as_bytes(std::span(&value, 1)));
  }
  void text(std::string_view text) {
    number<std::uint64_t>(text.size());
    raw(std::as_bytes(std::span(text)));
  }
  void raw(std::span<const std::byte> more) { bytes_.insert(bytes_.end(), more.begin(), more.end()); }
  void pad(std::uint64_t alignment) { bytes_.resize(base::round_up(bytes_.size(), alignment)); }
  [[nodiscard]] std::vector<std::byte> take() { return std::move(bytes_); }
  [[nodiscard]] std::uint64_t size() const { return bytes_.size(); }

 private:
  std::vector<std::byte> bytes_;
};

void write(const Value& value, Bytes& out) {
  out.number(static_cast<std::uint32_t>(value.type));
  if (value.type == ValueType::kString) {
    out.number<std::uint64_t>(value.bytes.size());
  } else if (value.type == ValueType::kArray) {
    out.number(static_cast<std::uint32_t>(value.element_type));
    out.number(value.count);
    for (const std::string_view text : value.strings) out.text(text);
  }
  out.raw(value.bytes);
}

}  // namespace

Layout lay_out(const Metadata& metadata, std::span<const TensorView> tensors) {
  const auto found = metadata.find_uint("general.alignment");
  const std::uint64_t alignment = found ? found->value_or(kDefaultAlignment) : kDefaultAlignment;
  Bytes out;
  out.raw(std::as_bytes(std::span("GGUF", 4)));
  out.number<std::uint32_t>(3);
  out.number<std::uint64_t>(tensors.size());
  out.number<std::uint64_t>(metadata.entries().size());
  for (const Metadata::Entry& entry : metadata.entries()) {
    out.text(entry.key);
    write(entry.value, out);
  }
  Layout layout{};
  std::uint64_t offset = 0;
  for (const TensorView& tensor : tensors) {
    const quant::DTypeInfo& type = quant::info(tensor.type);
    out.text(tensor.name);
    out.number(tensor.n_dims);
    for (std::uint32_t d = 0; d < tensor.n_dims; ++d) out.number(tensor.shape[d]);
    out.number(static_cast<std::uint32_t>(tensor.type));
    out.number(offset);
    layout.offsets.push_back(offset);
    offset = base::round_up(offset + tensor.n_cols() / type.block_k * type.block_bytes * tensor.n_rows(), alignment);
  }
  out.pad(alignment);
  for (std::uint64_t& place : layout.offsets) place += out.size();
  layout.file_size = out.size() + offset;
  layout.header = out.take();
  return layout;
}

}  // namespace woolly::gguf
