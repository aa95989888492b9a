// Writes GGUF files in memory for tests: metadata of every type, tensors, and on purpose the wrong ones too.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "gguf/gguf.h"
#include "quant/dtype.h"

namespace woolly::test {

/// Grows a byte string in the encoding of GGUF: little-endian numbers, strings as a 64-bit length and their bytes.
class ByteWriter {
 public:
  template <typename T>
    requires std::is_arithmetic_v<T>
  ByteWriter& number(T value) {
    std::array<std::byte, sizeof(T)> bytes;
    std::memcpy(bytes.data(), &value, sizeof(T));
    return raw(bytes);
  }
  ByteWriter& text(std::string_view value) {
    number<std::uint64_t>(value.size());
    return raw(std::as_bytes(std::span(value)));
  }
  ByteWriter& raw(std::span<const std::byte> bytes) {
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
    return *this;
  }
  ByteWriter& pad_to(std::size_t unit) {
    bytes_.resize((bytes_.size() + unit - 1) / unit * unit);
    return *this;
  }
  [[nodiscard]] const std::vector<std::byte>& bytes() const noexcept { return bytes_; }

 private:
  std::vector<std::byte> bytes_;
};

/// Collects metadata and tensors, then lays out a file: `GgufBuilder().add_u32("k", 1).build()`.
class GgufBuilder {
 public:
  GgufBuilder& add_u32(std::string_view key, std::uint32_t value) { return add_scalar(key, value); }
  GgufBuilder& add_i32(std::string_view key, std::int32_t value) { return add_scalar(key, value); }
  GgufBuilder& add_u64(std::string_view key, std::uint64_t value) { return add_scalar(key, value); }
  GgufBuilder& add_f32(std::string_view key, float value) { return add_scalar(key, value); }
  GgufBuilder& add_bool(std::string_view key, bool value) { return add_scalar(key, value); }
  GgufBuilder& add_string(std::string_view key, std::string_view value) {
    return add_value(key, gguf::ValueType::kString, ByteWriter().text(value).bytes());
  }

  GgufBuilder& add_strings(std::string_view key, std::span<const std::string> values) {
    ByteWriter array = array_head(gguf::ValueType::kString, values.size());
    for (const std::string& value : values) array.text(value);
    return add_value(key, gguf::ValueType::kArray, array.bytes());
  }
  GgufBuilder& add_strings(std::string_view key, std::initializer_list<std::string> values) {
    return add_strings(key, std::span(values.begin(), values.size()));
  }
  GgufBuilder& add_f32s(std::string_view key, const std::vector<float>& values) { return add_array(key, values); }
  GgufBuilder& add_i32s(std::string_view key, const std::vector<std::int32_t>& values) {
    return add_array(key, values);
  }

  /// A scalar of any fixed-width type, where the functions above have no name for it.
  template <typename T>
  GgufBuilder& add_scalar(std::string_view key, T value) {
    return add_value(key, type_of<T>(), ByteWriter().number(value).bytes());
  }
  template <typename T>
  GgufBuilder& add_array(std::string_view key, const std::vector<T>& values) {
    ByteWriter array = array_head(type_of<T>(), values.size());
    for (const T value : values) array.number(value);
    return add_value(key, gguf::ValueType::kArray, array.bytes());
  }
  /// The value's bytes as they are to stand in the file, right or wrong.
  GgufBuilder& add_value(std::string_view key, gguf::ValueType type, std::span<const std::byte> value) {
    values_.text(key).number(static_cast<std::uint32_t>(type)).raw(value);
    ++n_values_;
    return *this;
  }
  /// The head of an array value: its element type and count.
  static ByteWriter array_head(gguf::ValueType element_type, std::uint64_t count) {
    return ByteWriter().number(static_cast<std::uint32_t>(element_type)).number(count);
  }

  /// `shape` as in the file: shape[0] is the contiguous dimension. `data` is taken as it is.
  GgufBuilder& add_tensor(std::string_view name, const std::vector<std::uint64_t>& shape, quant::DType type,
                          std::span<const std::byte> data) {
    return add_tensor_of_id(name, shape, static_cast<std::uint32_t>(type), data);
  }
  GgufBuilder& add_tensor(std::string_view name, const std::vector<std::uint64_t>& shape,
                          const std::vector<float>& data) {
    return add_tensor(name, shape, quant::DType::kF32, std::as_bytes(std::span(data)));
  }
  GgufBuilder& add_tensor_of_id(std::string_view name, const std::vector<std::uint64_t>& shape, std::uint32_t type_id,
                                std::span<const std::byte> data) {
    tensors_.push_back({std::string(name), shape, type_id, {data.begin(), data.end()}, 0});
    return *this;
  }
  /// Adds `by` to the offset that the last tensor's description gets, without moving its data.
  GgufBuilder& shift_last_offset(std::uint64_t by) {
    tensors_.back().offset_shift = by;
    return *this;
  }
  /// Makes the header claim other counts than there are.
  GgufBuilder& claim_counts(std::uint64_t n_tensors, std::uint64_t n_values) {
    claimed_ = std::pair(n_tensors, n_values);
    return *this;
  }

  /// The whole file. An `alignment` other than 32 is also written as general.alignment.
  [[nodiscard]] std::vector<std::byte> build(std::uint32_t version = 3, std::uint32_t alignment = 32) {
    if (alignment != 32) add_u32("general.alignment", alignment);
    ByteWriter file;
    file.raw(std::as_bytes(std::span("GGUF", 4))).number(version);
    file.number(claimed_ ? claimed_->first : tensors_.size()).number(claimed_ ? claimed_->second : n_values_);
    file.raw(values_.bytes());
    ByteWriter data;
    for (const Tensor& tensor : tensors_) {
      file.text(tensor.name).number(static_cast<std::uint32_t>(tensor.shape.size()));
      for (const std::uint64_t dim : tensor.shape) file.number(dim);
      data.pad_to(alignment);
      file.number(tensor.type_id).number(data.bytes().size() + tensor.offset_shift);
      data.raw(tensor.data);
    }
    if (!tensors_.empty()) file.pad_to(alignment).raw(data.bytes());
    return file.bytes();
  }

 private:
  struct Tensor {
    std::string name;
    std::vector<std::uint64_t> shape;
    std::uint32_t type_id;
    std::vector<std::byte> data;
    std::uint64_t offset_shift;
  };

  template <typename T>
  static constexpr gguf::ValueType type_of() {
    using gguf::ValueType;
    if constexpr (std::is_same_v<T, bool>) return ValueType::kBool;
    if constexpr (std::is_same_v<T, float>) return ValueType::kF32;
    if constexpr (std::is_same_v<T, double>) return ValueType::kF64;
    constexpr std::array kUnsigned{ValueType::kU8, ValueType::kU16, ValueType::kU32, ValueType::kU64};
    constexpr std::array kSigned{ValueType::kI8, ValueType::kI16, ValueType::kI32, ValueType::kI64};
    constexpr std::size_t kLog2Bytes = sizeof(T) == 8 ? 3 : sizeof(T) / 2;
    return std::is_signed_v<T> ? kSigned[kLog2Bytes] : kUnsigned[kLog2Bytes];
  }

  ByteWriter values_;
  std::uint64_t n_values_ = 0;
  std::vector<Tensor> tensors_;
  std::optional<std::pair<std::uint64_t, std::uint64_t>> claimed_;
};

/// Parses a whole file that lies in memory.
inline Result<gguf::File> parse_bytes(std::vector<std::byte> bytes, std::string_view name = "test.gguf") {
  const std::uint64_t size = bytes.size();
  return gguf::parse(std::make_shared<const std::vector<std::byte>>(std::move(bytes)), size, name);
}

}  // namespace woolly::test
