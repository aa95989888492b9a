#include <fmt/format.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "base/assert.h"
#include "gguf/gguf.h"
#include "gguf/printable.h"

namespace woolly::gguf {

namespace {

/// An integer of any width and sign: negative ones as the bits of an int64.
struct Integer {
  bool is_negative;
  std::uint64_t bits;
};

template <typename T>
T load_at(std::span<const std::byte> bytes, std::size_t index) noexcept {
  T value;
  std::memcpy(&value, bytes.data() + index * sizeof(T), sizeof(T));
  return value;
}

template <typename T>
Integer integer_at(std::span<const std::byte> bytes, std::size_t index) noexcept {
  const T value = load_at<T>(bytes, index);
  return {value < T{}, static_cast<std::uint64_t>(value)};
}

/// Element `index` of `value`, or nothing where its elements are no integers.
std::optional<Integer> find_integer(const Value& value, std::size_t index) noexcept {
  switch (value.element_type) {
    case ValueType::kU8: return integer_at<std::uint8_t>(value.bytes, index);
    case ValueType::kI8: return integer_at<std::int8_t>(value.bytes, index);
    case ValueType::kU16: return integer_at<std::uint16_t>(value.bytes, index);
    case ValueType::kI16: return integer_at<std::int16_t>(value.bytes, index);
    case ValueType::kU32: return integer_at<std::uint32_t>(value.bytes, index);
    case ValueType::kI32: return integer_at<std::int32_t>(value.bytes, index);
    case ValueType::kU64: return integer_at<std::uint64_t>(value.bytes, index);
    case ValueType::kI64: return integer_at<std::int64_t>(value.bytes, index);
    default: return std::nullopt;
  }
}

/// Element `index` of an array or scalar of floats as f32; nothing for a finite f64 beyond the range of f32.
std::optional<float> float_at(const Value& value, std::size_t index) noexcept {
  if (value.element_type == ValueType::kF32) return load_at<float>(value.bytes, index);
  const double wide = load_at<double>(value.bytes, index);
  if (std::isfinite(wide) && std::fabs(wide) > static_cast<double>(std::numeric_limits<float>::max())) {
    return std::nullopt;
  }
  return static_cast<float>(wide);
}

bool holds_floats(const Value& value) noexcept {
  return value.element_type == ValueType::kF32 || value.element_type == ValueType::kF64;
}

std::string to_decimal(Integer integer) {
  return integer.is_negative ? fmt::format("{}", static_cast<std::int64_t>(integer.bits))
                             : fmt::format("{}", integer.bits);
}

Error missing(std::string_view key, std::string_view expected) {
  return {ErrorCode::kInvalidFile, fmt::format("{}: missing, expected {}", printable(key), expected)};
}

Error wrong_type(std::string_view key, const Value& value, std::string_view expected) {
  const std::string found = value.type == ValueType::kArray
                                ? fmt::format("an array of {} {}", value.count, to_string(value.element_type))
                                : fmt::format("a value of type {}", to_string(value.type));
  return {ErrorCode::kInvalidFile, fmt::format("{}: {}, expected {}", printable(key), found, expected)};
}

Error out_of_range(std::string_view key, std::string_view value, std::string_view allowed) {
  return {ErrorCode::kInvalidFile, fmt::format("{}: {}, expected {}", printable(key), value, allowed)};
}

/// The value of a key that must be there, from the result for one that may be missing.
template <typename T>
Result<T> require(Result<std::optional<T>> found, std::string_view key, std::string_view expected) {
  if (!found) return std::move(found).error();
  if (!found->has_value()) return missing(key, expected);
  return **found;
}

constexpr std::string_view kUint = "an unsigned integer";
constexpr std::string_view kInt = "an integer of 64 bits";
constexpr std::string_view kFloat = "a number of type f32";
constexpr std::string_view kBoolean = "a bool";
constexpr std::string_view kText = "a string";

}  // namespace

std::string_view to_string(ValueType type) noexcept {
  switch (type) {
    case ValueType::kU8: return "u8";
    case ValueType::kI8: return "i8";
    case ValueType::kU16: return "u16";
    case ValueType::kI16: return "i16";
    case ValueType::kU32: return "u32";
    case ValueType::kI32: return "i32";
    case ValueType::kF32: return "f32";
    case ValueType::kBool: return "bool";
    case ValueType::kString: return "string";
    case ValueType::kArray: return "array";
    case ValueType::kU64: return "u64";
    case ValueType::kI64: return "i64";
    case ValueType::kF64: return "f64";
  }
  return "unknown";
}

std::string printable(std::string_view text) {
  constexpr std::size_t kMaxBytes = 96;
  std::string out;
  for (const char c : text.substr(0, kMaxBytes)) {
    if (c >= ' ' && c <= '~') {
      out += c;
    } else {
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    }
  }
  if (text.size() > kMaxBytes) out += "...";
  return out;
}

const Value* Metadata::find(std::string_view key) const noexcept {
  const auto found = index_.find(key);
  return found == index_.end() ? nullptr : &entries_[found->second].value;
}

void Metadata::add(std::string_view key, Value value) {
  const bool is_first = index_.emplace(key, entries_.size()).second;
  WOOLLY_ASSERT(is_first);
  entries_.push_back({key, value});
}

Result<std::optional<std::uint64_t>> Metadata::find_uint(std::string_view key) const {
  const Value* value = find(key);
  if (value == nullptr) return std::optional<std::uint64_t>{};
  if (value->type == ValueType::kArray) return wrong_type(key, *value, kUint);
  const std::optional<Integer> integer = find_integer(*value, 0);
  if (!integer) return wrong_type(key, *value, kUint);
  if (integer->is_negative) return out_of_range(key, to_decimal(*integer), kUint);
  return std::optional(integer->bits);
}

Result<std::optional<std::int64_t>> Metadata::find_int(std::string_view key) const {
  const Value* value = find(key);
  if (value == nullptr) return std::optional<std::int64_t>{};
  if (value->type == ValueType::kArray) return wrong_type(key, *value, kInt);
  const std::optional<Integer> integer = find_integer(*value, 0);
  if (!integer) return wrong_type(key, *value, kInt);
  const auto as_signed = static_cast<std::int64_t>(integer->bits);
  if (!integer->is_negative && as_signed < 0) return out_of_range(key, to_decimal(*integer), kInt);
  return std::optional(as_signed);
}

Result<std::optional<float>> Metadata::find_float(std::string_view key) const {
  const Value* value = find(key);
  if (value == nullptr) return std::optional<float>{};
  if (value->type == ValueType::kArray || !holds_floats(*value)) return wrong_type(key, *value, kFloat);
  const std::optional<float> number = float_at(*value, 0);
  if (!number) return out_of_range(key, fmt::format("{}", load_at<double>(value->bytes, 0)), kFloat);
  return number;
}

Result<std::optional<bool>> Metadata::find_bool(std::string_view key) const {
  const Value* value = find(key);
  if (value == nullptr) return std::optional<bool>{};
  if (value->type != ValueType::kBool) return wrong_type(key, *value, kBoolean);
  return std::optional(value->bytes[0] != std::byte{0});
}

Result<std::optional<std::string_view>> Metadata::find_string(std::string_view key) const {
  const Value* value = find(key);
  if (value == nullptr) return std::optional<std::string_view>{};
  if (value->type != ValueType::kString) return wrong_type(key, *value, kText);
  return std::optional(std::string_view(reinterpret_cast<const char*>(value->bytes.data()), value->bytes.size()));
}

Result<std::uint64_t> Metadata::get_uint(std::string_view key) const { return require(find_uint(key), key, kUint); }
Result<float> Metadata::get_float(std::string_view key) const { return require(find_float(key), key, kFloat); }
Result<bool> Metadata::get_bool(std::string_view key) const { return require(find_bool(key), key, kBoolean); }
Result<std::string_view> Metadata::get_string(std::string_view key) const {
  return require(find_string(key), key, kText);
}

Result<std::span<const std::string_view>> Metadata::strings(std::string_view key) const {
  const Value* value = find(key);
  if (value == nullptr) return std::span<const std::string_view>{};
  if (value->type != ValueType::kArray || value->element_type != ValueType::kString) {
    return wrong_type(key, *value, "an array of strings");
  }
  return value->strings;
}

Result<std::vector<float>> Metadata::floats(std::string_view key) const {
  const Value* value = find(key);
  if (value == nullptr) return std::vector<float>{};
  if (value->type != ValueType::kArray || !holds_floats(*value)) return wrong_type(key, *value, "an array of f32");
  std::vector<float> out(value->count);
  for (std::size_t i = 0; i < out.size(); ++i) {
    const std::optional<float> number = float_at(*value, i);
    if (!number) {
      const double found = load_at<double>(value->bytes, i);
      return out_of_range(key, fmt::format("{} at index {}", found, i), kFloat);
    }
    out[i] = *number;
  }
  return out;
}

Result<std::vector<std::int64_t>> Metadata::ints(std::string_view key) const {
  const Value* value = find(key);
  if (value == nullptr) return std::vector<std::int64_t>{};
  const bool holds_bools = value->element_type == ValueType::kBool;
  const bool holds_ints = value->element_type != ValueType::kString && !holds_floats(*value);
  if (value->type != ValueType::kArray || !holds_ints) return wrong_type(key, *value, "an array of integers");
  std::vector<std::int64_t> out(value->count);
  for (std::size_t i = 0; i < out.size(); ++i) {
    if (holds_bools) {
      out[i] = value->bytes[i] != std::byte{0} ? 1 : 0;
      continue;
    }
    const Integer integer = *find_integer(*value, i);
    out[i] = static_cast<std::int64_t>(integer.bits);
    if (!integer.is_negative && out[i] < 0) {
      return out_of_range(key, fmt::format("{} at index {}", to_decimal(integer), i), kInt);
    }
  }
  return out;
}

}  // namespace woolly::gguf
