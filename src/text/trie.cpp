#include "text/trie.h"

namespace woolly::text {
namespace {

std::uint64_t edge(std::uint32_t node, char byte) noexcept {
  return std::uint64_t{node} << 8 | static_cast<unsigned char>(byte);
}

}  // namespace

void Trie::insert(std::string_view text, std::int32_t token) {
  begins_[static_cast<unsigned char>(text.front())] = true;
  std::uint32_t node = 0;
  for (const char byte : text) {
    if (const std::uint32_t* next = edges_.find(edge(node, byte))) {
      node = *next;
      continue;
    }
    const auto fresh = static_cast<std::uint32_t>(tokens_.size());
    edges_.insert(edge(node, byte), fresh);
    tokens_.push_back(kNoToken);
    node = fresh;
  }
  if (tokens_[node] == kNoToken) tokens_[node] = token;
}

Trie::Match Trie::longest(std::string_view text, std::size_t at) const noexcept {
  Match match;
  std::uint32_t node = 0;
  for (std::size_t i = at; i < text.size(); ++i) {
    const std::uint32_t* next = edges_.find(edge(node, text[i]));
    if (next == nullptr) break;
    node = *next;
    if (tokens_[node] != kNoToken) match = {tokens_[node], i + 1 - at};
  }
  return match;
}

}  // namespace woolly::text
