#include "text/text_index.h"

#include <bit>
#include <cstring>

namespace woolly::text {
namespace {

template <typename Word>
std::uint64_t load(const char* at) noexcept {
  Word word;
  std::memcpy(&word, at, sizeof word);
  return word;
}

std::uint64_t mix(std::uint64_t hash, std::uint64_t word) noexcept {
  hash = (hash ^ word) * 0x9E3779B97F4A7C15u;
  return hash ^ hash >> 29;
}

/// Words are short: up to 16 bytes take two loads that may overlap.
std::uint64_t hash_of(std::string_view text) noexcept {
  const char* at = text.data();
  const std::size_t n = text.size();
  std::uint64_t hash = n * 0xD6E8FEB86659FD93u;
  if (n >= 8) {
    for (std::size_t i = 0; i + 8 < n; i += 8) hash = mix(hash, load<std::uint64_t>(at + i));
    hash = mix(hash, load<std::uint64_t>(at + n - 8));
  } else if (n >= 4) {
    hash = mix(hash, load<std::uint32_t>(at) << 32 | load<std::uint32_t>(at + n - 4));
  } else if (n > 0) {
    const auto byte = [&](std::size_t i) { return std::uint64_t{static_cast<unsigned char>(at[i])}; };
    hash = mix(hash, byte(0) << 16 | byte(n / 2) << 8 | byte(n - 1));
  }
  return hash ^ hash >> 32;
}

}  // namespace

void TextIndex::reserve(std::size_t n) {
  const std::size_t capacity = std::bit_ceil(n + n / 2 + 8);
  if (size_ == 0 && capacity > slots_.size()) slots_.assign(capacity, {});
}

void TextIndex::insert(const StringTable& table, std::int32_t id) {
  if ((size_ + 1) * 3 > slots_.size() * 2) rehash(table, slots_.empty() ? 16 : slots_.size() * 2);
  const std::string_view text = table[static_cast<std::size_t>(id)];
  const std::uint64_t hash = hash_of(text);
  const auto tag = static_cast<std::uint32_t>(hash >> 32);
  const std::size_t mask = slots_.size() - 1;
  std::size_t at = hash & mask;
  for (; slots_[at].id != kNoToken; at = (at + 1) & mask) {
    if (slots_[at].tag == tag && table[static_cast<std::size_t>(slots_[at].id)] == text) return;
  }
  slots_[at] = {tag, id};
  ++size_;
}

std::int32_t TextIndex::find(const StringTable& table, std::string_view text) const noexcept {
  if (slots_.empty()) return kNoToken;
  const std::uint64_t hash = hash_of(text);
  const auto tag = static_cast<std::uint32_t>(hash >> 32);
  const std::size_t mask = slots_.size() - 1;
  for (std::size_t at = hash & mask; slots_[at].id != kNoToken; at = (at + 1) & mask) {
    if (slots_[at].tag == tag && table[static_cast<std::size_t>(slots_[at].id)] == text) return slots_[at].id;
  }
  return kNoToken;
}

void TextIndex::rehash(const StringTable& table, std::size_t capacity) {
  std::vector<Slot> old(capacity);
  old.swap(slots_);
  const std::size_t mask = capacity - 1;
  for (const Slot& slot : old) {
    if (slot.id == kNoToken) continue;
    std::size_t at = hash_of(table[static_cast<std::size_t>(slot.id)]) & mask;
    while (slots_[at].id != kNoToken) at = (at + 1) & mask;
    slots_[at] = slot;
  }
}

}  // namespace woolly::text
