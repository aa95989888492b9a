// Token texts, and from a text to its token. Built at load, then only read; readers may be many.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace woolly::text {

/// No token.
inline constexpr std::int32_t kNoToken = -1;

/// Strings one after the other in one allocation.
class StringTable {
 public:
  void reserve(std::size_t n_strings, std::size_t n_bytes) {
    ends_.reserve(n_strings);
    bytes_.reserve(n_bytes);
  }

  void add(std::string_view text) {
    bytes_.append(text);
    ends_.push_back(bytes_.size());
  }

  [[nodiscard]] std::size_t size() const noexcept { return ends_.size(); }

  /// Lives until the next add().
  [[nodiscard]] std::string_view operator[](std::size_t i) const noexcept {
    const std::size_t begin = i == 0 ? 0 : ends_[i - 1];
    return {bytes_.data() + begin, ends_[i] - begin};
  }

 private:
  std::string bytes_;
  std::vector<std::size_t> ends_;
};

/// A hash index over some strings of a StringTable, which is handed in at each call.
class TextIndex {
 public:
  void reserve(std::size_t n);

  /// Makes the text of string `id` lead to `id`, unless an equal text is there already: the first one wins.
  void insert(const StringTable& table, std::int32_t id);

  /// kNoToken where no string of that text was inserted.
  [[nodiscard]] std::int32_t find(const StringTable& table, std::string_view text) const noexcept;

 private:
  struct Slot {
    std::uint32_t tag = 0;  ///< The upper half of the hash: spares most comparisons of strings.
    std::int32_t id = kNoToken;
  };

  void rehash(const StringTable& table, std::size_t capacity);

  std::vector<Slot> slots_;
  std::size_t size_ = 0;
};

}  // namespace woolly::text
