// The tokens that the penalties look at, with how often each occurs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "woolly/tokenizer.h"

namespace woolly::sample {

/// A window over the last tokens of a text. Allocates in its constructor only.
class RecentTokens {
 public:
  /// `last_n`: the length of the window; -1: all tokens, 0: none (then `push` does nothing).
  RecentTokens(std::int32_t last_n, std::size_t vocab_size)
      : keeps_all_(last_n < 0),
        window_(last_n > 0 ? static_cast<std::size_t>(last_n) : 0),
        counts_(last_n != 0 ? vocab_size : 0),
        slots_(counts_.size()) {
    distinct_.reserve(counts_.size());
  }

  /// `token` must be below the vocabulary's size.
  void push(TokenId token) noexcept {
    if (counts_.empty()) return;
    if (!keeps_all_) {
      if (n_pushed_ >= window_.size()) remove(window_[n_pushed_ % window_.size()]);
      window_[n_pushed_ % window_.size()] = token.value;
    }
    ++n_pushed_;
    add(token.value);
  }

  void clear() noexcept {
    for (const std::int32_t id : distinct_) counts_[static_cast<std::size_t>(id)] = 0;
    distinct_.clear();
    n_pushed_ = 0;
  }

  /// The ids in the window, each once, in no particular order.
  [[nodiscard]] std::span<const std::int32_t> distinct() const noexcept { return distinct_; }
  /// How often an id occurs in the window.
  [[nodiscard]] std::uint64_t count(std::int32_t id) const noexcept { return counts_[static_cast<std::size_t>(id)]; }

 private:
  void add(std::int32_t id) noexcept {
    if (counts_[static_cast<std::size_t>(id)]++ > 0) return;
    slots_[static_cast<std::size_t>(id)] = distinct_.size();
    distinct_.push_back(id);
  }

  void remove(std::int32_t id) noexcept {
    if (--counts_[static_cast<std::size_t>(id)] > 0) return;
    const std::size_t slot = slots_[static_cast<std::size_t>(id)];
    distinct_[slot] = distinct_.back();
    slots_[static_cast<std::size_t>(distinct_[slot])] = slot;
    distinct_.pop_back();
  }

  bool keeps_all_;
  std::uint64_t n_pushed_ = 0;
  std::vector<std::int32_t> window_;   // a ring; [last_n]
  std::vector<std::uint64_t> counts_;  // [vocab_size]
  std::vector<std::size_t> slots_;     // [vocab_size], where in distinct_ an id stands
  std::vector<std::int32_t> distinct_;
};

}  // namespace woolly::sample
