// Greedy pair merging, the heart of byte-level BPE and of SentencePiece: of all neighbours that make a token, join
// those of the best priority, the leftmost first, until none are left.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <queue>
#include <vector>

#include "text/text_index.h"

namespace woolly::text {

/// What joining two neighbours gives.
struct Merge {
  static constexpr std::uint32_t kNever = std::numeric_limits<std::uint32_t>::max();

  std::uint32_t priority = kNever;  ///< Lower comes first.
  std::int32_t token = kNoToken;
};

/// A part of the word that is being merged. It ends where the next one begins.
struct Symbol {
  std::int32_t token = kNoToken;
  std::uint32_t begin = 0;  ///< In the word, in bytes.
};

/// Merges the symbols of one word at a time. Owned by one thread; keeps its memory from word to word.
///
/// Pairs has `Merge find(const Symbol& left, const Symbol& right, std::uint32_t end) const`: what the two make, `end`
/// being where the right one ends.
///
/// Words of up to kShortWord symbols look for the best pair by a scan. Longer ones keep, for each priority, the places
/// that have it, and take n log n: a place that comes after those that wait (nearly all do) needs no search.
template <typename Pairs>
class Merger {
 public:
  /// Borrows `pairs`.
  explicit Merger(const Pairs& pairs) : pairs_(pairs) {}

  /// Merges `symbols` in place; the last one ends at `end`.
  void merge(std::vector<Symbol>& symbols, std::uint32_t end) {
    if (symbols.size() <= kShortWord) {
      merge_short(symbols, end);
    } else {
      merge_long(symbols, end);
    }
  }

 private:
  // On words of random letters the scan is the faster one up to about 500 symbols (EPYC, Zen 4; gpt-2 and llama-spm):
  // twice at 256, five times at 12. Half of that keeps what is on the stack small.
  static constexpr std::size_t kShortWord = 256;
  static constexpr std::uint32_t kNone = std::numeric_limits<std::uint32_t>::max();

  struct Link {
    std::uint32_t previous;
    std::uint32_t next;
    std::uint32_t priority;  ///< Of this symbol with the next one.
  };

  /// Places of one priority, taken in order.
  class Places {
   public:
    void push(std::uint32_t place) {
      if (in_order_.empty() || place >= in_order_.back()) {
        in_order_.push_back(place);
      } else {
        others_.push(place);
      }
    }
    std::uint32_t pop() {
      if (!others_.empty() && (taken_ == in_order_.size() || others_.top() < in_order_[taken_])) {
        const std::uint32_t place = others_.top();
        others_.pop();
        return place;
      }
      return in_order_[taken_++];
    }
    [[nodiscard]] bool empty() const { return taken_ == in_order_.size() && others_.empty(); }

   private:
    std::vector<std::uint32_t> in_order_;
    std::size_t taken_ = 0;
    std::priority_queue<std::uint32_t, std::vector<std::uint32_t>, std::greater<>> others_;
  };

  void merge_short(std::vector<Symbol>& symbols, std::uint32_t end) {
    std::uint32_t priorities[kShortWord];
    std::int32_t tokens[kShortWord];
    Symbol* const word = symbols.data();
    std::size_t n = symbols.size();
    const auto look = [&](std::size_t i) {
      const Merge merge = pairs_.find(word[i], word[i + 1], i + 2 < n ? word[i + 2].begin : end);
      priorities[i] = merge.priority;
      tokens[i] = merge.token;
    };
    for (std::size_t i = 0; i + 1 < n; ++i) look(i);
    while (n > 1) {
      const std::size_t best = static_cast<std::size_t>(std::min_element(priorities, priorities + n - 1) - priorities);
      if (priorities[best] == Merge::kNever) break;
      word[best].token = tokens[best];
      std::copy(word + best + 2, word + n, word + best + 1);
      std::copy(priorities + best + 1, priorities + n - 1, priorities + best);
      std::copy(tokens + best + 1, tokens + n - 1, tokens + best);
      --n;
      if (best > 0) look(best - 1);
      if (best + 1 < n) look(best);
    }
    symbols.resize(n);
  }

  void merge_long(std::vector<Symbol>& symbols, std::uint32_t end) {
    const auto n = static_cast<std::uint32_t>(symbols.size());
    links_.resize(n);
    waiting_.clear();
    for (std::uint32_t i = 0; i < n; ++i) {
      links_[i] = {i == 0 ? kNone : i - 1, i + 1 < n ? i + 1 : kNone, Merge::kNever};
    }
    for (std::uint32_t i = 0; i < n; ++i) look(symbols, i, end);
    while (!waiting_.empty()) {
      const auto best = waiting_.begin();
      const std::uint32_t priority = best->first;
      const std::uint32_t left = best->second.pop();
      if (best->second.empty()) waiting_.erase(best);
      if (links_[left].priority != priority) continue;  // merged or changed since it was put there
      const std::uint32_t right = links_[left].next;
      symbols[left].token = pairs_.find(symbols[left], symbols[right], end_of(symbols, right, end)).token;
      links_[left].next = links_[right].next;
      links_[right].priority = Merge::kNever;
      if (links_[left].next != kNone) links_[links_[left].next].previous = left;
      if (links_[left].previous != kNone) look(symbols, links_[left].previous, end);
      look(symbols, left, end);
    }
    std::size_t n_kept = 0;
    for (std::uint32_t i = 0; i != kNone; i = links_[i].next) symbols[n_kept++] = symbols[i];
    symbols.resize(n_kept);
  }

  [[nodiscard]] std::uint32_t end_of(const std::vector<Symbol>& symbols, std::uint32_t i, std::uint32_t end) const {
    return links_[i].next == kNone ? end : symbols[links_[i].next].begin;
  }

  void look(const std::vector<Symbol>& symbols, std::uint32_t i, std::uint32_t end) {
    Link& link = links_[i];
    if (link.next == kNone) {
      link.priority = Merge::kNever;
      return;
    }
    link.priority = pairs_.find(symbols[i], symbols[link.next], end_of(symbols, link.next, end)).priority;
    if (link.priority != Merge::kNever) waiting_[link.priority].push(i);
  }

  const Pairs& pairs_;
  std::vector<Link> links_;
  std::map<std::uint32_t, Places> waiting_;
};

}  // namespace woolly::text
