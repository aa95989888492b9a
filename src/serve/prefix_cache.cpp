#include "serve/prefix_cache.h"

#include <algorithm>
#include <utility>

namespace woolly::serve {

std::size_t common_prefix(std::span<const TokenId> a, std::span<const TokenId> b) noexcept {
  const std::size_t n = std::min(a.size(), b.size());
  const auto parting = std::mismatch(a.begin(), a.begin() + static_cast<std::ptrdiff_t>(n), b.begin());
  return static_cast<std::size_t>(parting.first - a.begin());
}

void PrefixCache::put(Entry entry) {
  if (entry.tokens.empty()) return;
  std::erase_if(entries_, [&](const Entry& other) {
    return other.key == entry.key && common_prefix(other.tokens, entry.tokens) == other.tokens.size();
  });
  if (entries_.size() == kMost) entries_.pop_back();
  entries_.push_front(std::move(entry));
}

std::size_t PrefixCache::longest(std::string_view key, std::span<const TokenId> tokens) const {
  std::size_t longest = 0;
  for (const Entry& entry : entries_) {
    if (entry.key == key) longest = std::max(longest, common_prefix(entry.tokens, tokens));
  }
  return longest;
}

std::unique_ptr<Session> PrefixCache::take(std::string_view key, std::span<const TokenId> tokens, std::size_t n_most) {
  auto best = entries_.end();
  std::size_t n_best = 0;
  for (auto entry = entries_.begin(); entry != entries_.end(); ++entry) {
    if (entry->key != key) continue;
    const std::size_t n = std::min(n_most, common_prefix(entry->tokens, tokens));
    if (n <= n_best) continue;
    best = entry;
    n_best = n;
  }
  if (best == entries_.end()) return nullptr;
  std::unique_ptr<Session> session;
  if (n_best == best->tokens.size()) {
    session = std::move(best->session);
    entries_.erase(best);
    return session;
  }
  entries_.splice(entries_.begin(), entries_, best);
  auto fork = best->session->fork();
  if (!fork) return nullptr;
  (*fork)->truncate(n_best);
  return std::move(fork).value();
}

bool PrefixCache::drop_oldest() {
  if (entries_.empty()) return false;
  entries_.pop_back();
  return true;
}

}  // namespace woolly::serve
