// A hash map from 64-bit keys to small values in one array: what a tokenizer asks millions of times per second.
// Built at load, then only read; readers may be many.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace woolly::text {

template <typename Value>
class FlatMap {
 public:
  /// Room for `n` keys without growing.
  void reserve(std::size_t n) {
    // Two thirds full at most, so that a probe ends after about two slots.
    const std::size_t capacity = std::bit_ceil(n + n / 2 + 8);
    if (capacity > slots_.size()) rehash(capacity);
  }

  /// Adds `key`, which must not be kNoKey, unless it is there; returns whether it was added.
  bool insert(std::uint64_t key, Value value) {
    if (slots_.empty() || (size_ + 1) * 3 > slots_.size() * 2) rehash(slots_.empty() ? 16 : slots_.size() * 2);
    std::size_t at = index_of(key);
    while (slots_[at].key != kNoKey) {
      if (slots_[at].key == key) return false;
      at = (at + 1) & mask();
    }
    slots_[at] = {key, value};
    ++size_;
    return true;
  }

  /// nullptr where there is no such key.
  [[nodiscard]] const Value* find(std::uint64_t key) const noexcept {
    if (slots_.empty()) return nullptr;
    for (std::size_t at = index_of(key);; at = (at + 1) & mask()) {
      if (slots_[at].key == key) return &slots_[at].value;
      if (slots_[at].key == kNoKey) return nullptr;
    }
  }

  static constexpr std::uint64_t kNoKey = ~std::uint64_t{0};

 private:
  struct Slot {
    std::uint64_t key = kNoKey;
    Value value{};
  };

  [[nodiscard]] std::size_t mask() const noexcept { return slots_.size() - 1; }

  [[nodiscard]] std::size_t index_of(std::uint64_t key) const noexcept {
    const std::uint64_t mixed = key * 0x9E3779B97F4A7C15u;  // 2^64 / golden ratio: Fibonacci hashing (Knuth 6.4)
    return static_cast<std::size_t>(mixed ^ mixed >> 32) & mask();
  }

  void rehash(std::size_t capacity) {
    std::vector<Slot> old(capacity);
    old.swap(slots_);
    for (const Slot& slot : old) {
      if (slot.key == kNoKey) continue;
      std::size_t at = index_of(slot.key);
      while (slots_[at].key != kNoKey) at = (at + 1) & mask();
      slots_[at] = slot;
    }
  }

  std::vector<Slot> slots_;
  std::size_t size_ = 0;
};

}  // namespace woolly::text
