// Many requests on few models: one thread that loads models, puts steps together from the tokens of many sequences, and
// tells listeners what comes of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "serve/catalogue.h"
#include "serve/metrics.h"
#include "woolly/error.h"
#include "woolly/model.h"
#include "woolly/options.h"

namespace woolly::serve {

struct TokenProb {
  TokenId id;
  float logprob;  ///< Of the model's own distribution, before anything that samplers do.
};

/// A generated token.
struct Piece {
  TokenId id;
  float logprob = 0;            ///< Where it was asked for.
  std::vector<TokenProb> top;   ///< The most likely, best first, where they were asked for.
};

enum class FinishReason : std::uint8_t {
  kStop,        ///< A token that ends generation.
  kStopString,
  kLength,      ///< GenerateRequest::max_tokens, or a full context.
  kCancelled,
  kShutdown,
};

/// Seconds, which sum to the time from submission to the end, and counts of tokens.
struct Timings {
  double queued = 0, load = 0, prefill = 0, decode = 0, sampling = 0;
  std::size_t n_prompt = 0, n_cached = 0, n_generated = 0;
};

struct Outcome {
  FinishReason reason = FinishReason::kStop;
  std::string stop_string;  ///< With kStopString: the one that was found.
  Timings timings;
};

/// Told what becomes of a request, on the scheduler's thread: it must not block.
class Listener {
 public:
  virtual ~Listener() = default;
  /// `text` is whole UTF-8 characters; what may be the beginning of a stop string is held back, so that either may be
  /// empty.
  virtual void on_text(std::string_view text, std::span<const Piece> pieces) = 0;
  /// The last call.
  virtual void on_end(const Outcome& outcome) = 0;
  /// The last call, instead: no room, a file that cannot be loaded, a model that gives no number.
  virtual void on_error(const Error& error) = 0;
};

struct GenerateRequest {
  std::shared_ptr<const Card> model;
  std::string key{};             ///< Who asks; beginnings are shared within one only.
  std::vector<TokenId> prompt{}; ///< Empty: the model is loaded, and that is all.
  SamplingOptions sampling{};
  std::size_t max_tokens = SIZE_MAX;
  std::vector<std::string> stops{};
  bool wants_logprobs = false;
  std::size_t n_top = 0;         ///< Of the most likely tokens, with wants_logprobs; at most kMostTop.
  std::optional<double> keep_alive{};  ///< Seconds that the model stays after this; below 0: for ever; none: the default.

  static constexpr std::size_t kMostTop = 20;
};

/// A request that was taken. Dropping it does not cancel.
class Generation {
 public:
  virtual ~Generation() = default;
  /// Any thread. The request's place is free within a step; its listener is told of kCancelled.
  virtual void cancel() = 0;
};

struct SchedulerOptions {
  std::size_t n_parallel = 0;      ///< Sequences that run at once, of one model; 0: as memory allows, at most 16.
  std::size_t n_waiting = 256;     ///< Requests that may wait.
  std::uint64_t memory = 0;        ///< Bytes for weights, workspaces, keys and values; 0: 80 % of what is free.
  double keep_alive = 300;         ///< Seconds that a model stays without work; below 0: for ever.
  double patience = 30;            ///< Seconds without a step, with work, after which it is not ready.
  LoadOptions load{};
  std::size_t chunk = 512;         ///< Tokens of a step, at most.
  KvType kv_type = KvType::kF16;
};

/// All but the constructor and destructor: any thread.
class Scheduler {
 public:
  struct Resident {
    std::string name;
    std::uint64_t bytes;  ///< Weights, workspace, keys and values.
    std::size_t n_ctx;
    double expires_in;    ///< Seconds; below 0: never, or not while it works.
  };

  /// Starts the thread; `engine` must outlive it, and nobody else use it meanwhile.
  static Result<std::unique_ptr<Scheduler>> start(Engine& engine, const SchedulerOptions& options);
  /// Cuts what runs (kShutdown).
  ~Scheduler();
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  /// kOverloaded where too many wait or it drains, kLimitExceeded for a prompt that the context has no room for,
  /// kInvalidArgument for sampling options, stop strings or token ids outside of what is allowed. The listener is not
  /// called then.
  Result<std::shared_ptr<Generation>> submit(GenerateRequest request, std::shared_ptr<Listener> listener);

  /// Lets go of the model once it has no work.
  void unload(const std::string& name);
  [[nodiscard]] std::vector<Resident> resident() const;

  /// False while a model of `preload` loads, and while there is work and no step ends.
  [[nodiscard]] bool is_ready() const;
  /// Loads a model at the start; it is not ready before. `on_end` is told how that ended, on the scheduler's thread.
  void preload(std::shared_ptr<const Card> card, std::function<void(const Status& status)> on_end);

  [[nodiscard]] Snapshot metrics() const;

  /// Takes nothing more; what runs and waits is finished, or cut after `seconds`. Returns when all has ended.
  void drain(double seconds);

 private:
  class Impl;
  explicit Scheduler(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace woolly::serve
