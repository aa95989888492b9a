// How far the answer to a request is: what the connection (on the I/O thread) and the exchange (on any) both know.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <mutex>
#include <utility>
#include <vector>

#include "http/exchange.h"

namespace woolly::http {

/// Thread-safe, but for the fields of the I/O thread.
class Turn {
 public:
  enum class State : std::uint8_t { kOpen, kBegun, kComplete, kGone };

  /// Goes from one state to another, where it is in the first.
  bool advance(State from, State to) {
    std::function<void()> dropped;  // goes after the lock: it may hold the exchange, and that this turn
    const std::lock_guard lock(mutex_);
    if (state_ != from) return false;
    state_ = to;
    if (to == State::kComplete) dropped = std::exchange(notify_, nullptr);
    return true;
  }

  [[nodiscard]] State state() const {
    const std::lock_guard lock(mutex_);
    return state_;
  }

  /// The client has left. Nothing where the answer is complete.
  void leave() {
    std::function<void()> notify;
    {
      const std::lock_guard lock(mutex_);
      if (state_ == State::kComplete || state_ == State::kGone) return;
      state_ = State::kGone;
      notify = std::move(notify_);
    }
    if (notify) notify();
  }

  void on_gone(std::function<void()> notify) {
    {
      const std::lock_guard lock(mutex_);
      if (state_ == State::kComplete) return;
      if (state_ != State::kGone) {
        notify_ = std::move(notify);
        return;
      }
    }
    notify();
  }

  void note(Note note) {
    const std::lock_guard lock(mutex_);
    notes_.push_back(std::move(note));
  }
  [[nodiscard]] std::vector<Note> notes() const {
    const std::lock_guard lock(mutex_);
    return notes_;
  }

  Request request;  ///< Written by the I/O thread before there is an exchange, then read only.

  // The I/O thread's.
  std::chrono::steady_clock::time_point begin = std::chrono::steady_clock::now();
  int status = 0;
  std::uint64_t n_bytes = 0;
  bool is_http_1_0 = false;

 private:
  mutable std::mutex mutex_;
  State state_ = State::kOpen;
  std::function<void()> notify_;
  std::vector<Note> notes_;
};

}  // namespace woolly::http
