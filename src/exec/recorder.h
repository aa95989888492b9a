// Times what the executor's threads do: sums for each step of a plan and, if wanted, every span of a timeline. All
// memory is taken at construction.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

namespace woolly::exec {

/// What a thread does in a step.
enum class Phase : std::uint8_t {
  kStart,      ///< Of the first step: from the call of Executor::run until the thread, which may sleep, has begun.
  kEmbed,      ///< Rows of the embedding table, angles of positions.
  kPrepare,    ///< Norm and quantization of the input of a linear step.
  kKernel,     ///< Its matrix products.
  kEpilogue,   ///< Scale, bias, and what its outputs go through.
  kAppend,     ///< Norm of heads, rotation, keys and values to the cache.
  kAttention,
  kSelect,     ///< Moves rows whose logits are wanted.
  kWait,       ///< At a barrier, with nothing left to claim.
};
inline constexpr std::size_t kPhases = 9;
/// "kernel", "wait", ...
std::string_view name_of(Phase phase) noexcept;

/// What a run of the executor is for: speed is bound by other things.
enum class Stage : std::uint8_t {
  kPrompt,      ///< A sequence has several rows.
  kGeneration,  ///< Each sequence has one row.
};
inline constexpr std::size_t kStages = 2;

/// What runs of one stage had to do.
struct Work {
  std::uint64_t n_runs = 0, n_rows = 0;
  std::uint64_t n_logit_runs = 0, n_logit_rows = 0;  ///< Of steps behind SelectRows.
  std::uint64_t n_positions = 0;  ///< Of the cache: each sequence's, once a run. What attention reads.
  std::uint64_t n_pairs = 0;      ///< Of a row and a position that it sees. What attention computes.
};

/// One phase of one step on one thread, or two phases that take turns: kernel and epilogue, append and attention.
struct Span {
  std::int64_t begin_ns, end_ns;  ///< Since the recorder was made.
  std::int64_t second_ns;         ///< Of it in the second of two phases that take turns.
  std::uint32_t step, n_rows;
  Phase phase;  ///< The first one.
};

/// One thread's clock. Every moment of a run is counted to one phase. steady_clock, because it waits for what came
/// before: the bare counter of cycles is read ahead of the last loads of a kernel, which then seem to be its epilogue
/// (8 % of a token instead of 2 %), and is no less of a disturbance. Read in order it would save 4 of 17 ns.
class alignas(128) Stopwatch {
 public:
  /// What follows belongs to this step.
  void enter(std::size_t step, std::size_t n_rows) noexcept {
    step_ = step;
    n_rows_ = n_rows;
  }
  /// The time since the last lap was for `phase`.
  void lap(Phase phase) noexcept {
    const std::int64_t now = now_ns();
    sums_[step_][static_cast<std::size_t>(phase)] += now - last_ns_;
    if (is_traced_) add_span(phase, now);
    last_ns_ = now;
  }

 private:
  friend class Recorder;
  using Sums = std::array<std::int64_t, kPhases>;

  static std::int64_t now_ns() noexcept {
    return std::chrono::nanoseconds(std::chrono::steady_clock::now().time_since_epoch()).count();
  }
  void add_span(Phase phase, std::int64_t now) noexcept;

  Sums* sums_ = nullptr;  ///< Of the run's stage, by step.
  std::size_t step_ = 0, n_rows_ = 0;
  std::int64_t last_ns_ = 0;
  bool is_traced_ = false;
  std::size_t n_spans_ = 0;
  std::int64_t epoch_ns_ = 0;
  std::vector<Span> spans_;
  std::vector<Sums> sums_of_[kStages];
};

/// Stands for a Stopwatch where nothing is recorded: the executor's walk is compiled with it once more, to nothing.
struct NoStopwatch {
  void enter(std::size_t, std::size_t) noexcept {}
  void lap(Phase) noexcept {}
};

/// Written by the executor while it runs, read between runs by the thread that calls it.
class Recorder {
 public:
  /// For a plan of `n_steps` and a pool of `n_threads`. At most `max_spans` are kept over all threads, but room for one
  /// run is always there; 0: none at all.
  Recorder(std::size_t n_steps, std::size_t n_threads, std::size_t max_spans = 0);

  /// By the executor: a run begins now.
  void begin_run(Stage stage, const Work& work) noexcept;
  Stopwatch& stopwatch(std::size_t thread) noexcept { return watches_[thread]; }

  [[nodiscard]] std::size_t n_threads() const noexcept { return n_threads_; }
  [[nodiscard]] const Work& work(Stage stage) const noexcept { return work_[static_cast<std::size_t>(stage)]; }
  /// Of all threads together.
  [[nodiscard]] std::int64_t nanoseconds(Stage stage, std::size_t step, Phase phase) const noexcept;
  /// Forgets sums and work, but no spans.
  void clear_sums() noexcept;

  /// In order of time.
  [[nodiscard]] std::span<const Span> spans(std::size_t thread) const noexcept;
  /// Runs that left no spans because there was no room for a whole one any more.
  [[nodiscard]] std::uint64_t n_runs_without_spans() const noexcept { return n_runs_without_spans_; }

 private:
  std::size_t n_steps_, n_threads_;
  bool keeps_spans_;
  std::unique_ptr<Stopwatch[]> watches_;
  Work work_[kStages];
  std::uint64_t n_runs_without_spans_ = 0;
};

}  // namespace woolly::exec
