// One request on its way: what the scheduler's thread knows of it.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "sample/sampler.h"
#include "sample/stop_matcher.h"
#include "serve/scheduler.h"
#include "text/detokenizer.h"
#include "woolly/session.h"

namespace woolly::serve {

using Clock = std::chrono::steady_clock;

inline double seconds_between(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

/// Shared with who submitted it.
class Ticket final : public Generation {
 public:
  explicit Ticket(std::function<void()> wake) : wake_(std::move(wake)) {}
  void cancel() override {
    is_cancelled_.store(true);
    wake_();
  }
  [[nodiscard]] bool is_cancelled() const noexcept { return is_cancelled_.load(); }

 private:
  std::atomic<bool> is_cancelled_ = false;
  std::function<void()> wake_;
};

/// `tokens` is the whole text; what the session has of it is run, the rest is to be. With one token left it is a stream,
/// with more a prompt (or a text whose keys and values were given up): both go the same way.
struct Job {
  GenerateRequest request;
  std::shared_ptr<Listener> listener;
  std::shared_ptr<Ticket> ticket;
  sample::Sampler sampler;
  sample::StopMatcher stops;
  text::Detokenizer detokenizer;

  std::vector<TokenId> tokens;
  std::unique_ptr<Session> session{};  ///< nullptr: it waits.
  std::size_t n_prompt = 0, n_generated = 0, n_cached = 0;
  bool has_run = false;  ///< It was given a session before.
  std::uint64_t number = 0;  ///< In the order of submission.

  Clock::time_point submitted{}, admitted{}, first_token{}, latest_token{};
  double load = 0;
  double sampling_before = 0, sampling_after = 0;  ///< The first token.

  [[nodiscard]] std::size_t n_left() const { return tokens.size() - (session ? session->n_tokens() : 0); }
  [[nodiscard]] bool is_stream() const { return session != nullptr && n_generated > 0 && n_left() == 1; }

  [[nodiscard]] Timings timings(Clock::time_point now) const {
    Timings t{.load = load, .n_prompt = n_prompt, .n_cached = n_cached, .n_generated = n_generated};
    if (!has_run) {
      t.queued = seconds_between(submitted, now) - load;
      return t;
    }
    t.queued = seconds_between(submitted, admitted) - load;
    t.sampling = sampling_before + sampling_after;
    const Clock::time_point prompt_end = n_generated > 0 ? first_token : now;
    t.prefill = seconds_between(admitted, prompt_end) - sampling_before;
    if (n_generated > 0) t.decode = seconds_between(first_token, now) - sampling_after;
    return t;
  }
};

/// The model's own log-probability of `token`, and the `n_top` most likely tokens.
Piece logprobs_of(std::span<const float> logits, TokenId token, std::size_t n_top);

}  // namespace woolly::serve
