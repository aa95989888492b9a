// Sequences that were computed and may be gone on with.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "woolly/session.h"

namespace woolly::serve {

/// How many tokens both begin with.
std::size_t common_prefix(std::span<const TokenId> a, std::span<const TokenId> b) noexcept;

/// Of one model. An entry is found by its tokens alone, all of which are compared, and by the key of who asked for it: what
/// one asked for never shows in how fast another is answered. Used from one thread.
class PrefixCache {
 public:
  struct Entry {
    std::string key;
    std::vector<TokenId> tokens;  ///< Exactly those that the session has.
    std::unique_ptr<Session> session;
  };

  /// Takes a sequence in. Entries that it contains go.
  void put(Entry entry);

  /// The length of the longest beginning of `tokens` that is here for `key`.
  [[nodiscard]] std::size_t longest(std::string_view key, std::span<const TokenId> tokens) const;

  /// A session with the longest beginning of `tokens`, but at most `n_most` of them: the entry itself where all of it is
  /// used, else a fork of it. Empty where there is none.
  std::unique_ptr<Session> take(std::string_view key, std::span<const TokenId> tokens, std::size_t n_most);

  /// Drops what was used the longest time ago; false where there is nothing.
  bool drop_oldest();

  [[nodiscard]] std::size_t size() const noexcept { return entries_.size(); }

 private:
  /// Entries cost little beside their blocks, but each is compared with every prompt.
  static constexpr std::size_t kMost = 64;

  std::list<Entry> entries_;  ///< The latest used first.
};

}  // namespace woolly::serve
