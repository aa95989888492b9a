// Reads little-endian values from bytes that nobody has checked. The first read past the end sets a sticky error and
// every later read gives zero, so parsers stay straight and check once at the end.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <type_traits>

namespace woolly::base {

class ByteReader {
 public:
  /// Borrows `bytes`; views it returns live as long as they do.
  explicit ByteReader(std::span<const std::byte> bytes) noexcept : bytes_(bytes) {}

  /// A fixed-width number, or 0 past the end.
  template <typename T>
    requires std::is_arithmetic_v<T>
  T read() noexcept {
    T value{};
    if (const std::byte* at = take(sizeof(T))) std::memcpy(&value, at, sizeof(T));
    return value;
  }

  /// `n` bytes as a view, or an empty one past the end.
  std::span<const std::byte> read_bytes(std::uint64_t n) noexcept {
    const std::byte* at = take(n);
    return at == nullptr ? std::span<const std::byte>{} : std::span(at, static_cast<std::size_t>(n));
  }

  std::string_view read_text(std::uint64_t n) noexcept {
    const auto bytes = read_bytes(n);
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }

  void skip(std::uint64_t n) noexcept { take(n); }

  [[nodiscard]] std::uint64_t position() const noexcept { return position_; }
  [[nodiscard]] std::uint64_t remaining() const noexcept { return bytes_.size() - position_; }
  /// True once a read went past the end.
  [[nodiscard]] bool failed() const noexcept { return failed_; }

 private:
  const std::byte* take(std::uint64_t n) noexcept {
    if (failed_ || n > remaining()) {
      failed_ = true;
      return nullptr;
    }
    const std::byte* at = bytes_.data() + position_;
    position_ += static_cast<std::size_t>(n);
    return at;
  }

  std::span<const std::byte> bytes_;
  std::size_t position_ = 0;
  bool failed_ = false;
};

}  // namespace woolly::base
