#include "exec/recorder.h"

#include <algorithm>

namespace woolly::exec {
namespace {

constexpr std::size_t index_of(Stage stage) { return static_cast<std::size_t>(stage); }

/// A run begins with one span, and each of its steps has at most four: a prompt's linear steps prepare, wait, multiply
/// and wait.
constexpr std::size_t max_spans_of_run(std::size_t n_steps) { return 1 + 4 * n_steps; }

/// The phase that takes turns with `phase` and comes after it, or `phase` itself.
constexpr Phase second_of(Phase phase) {
  if (phase == Phase::kKernel) return Phase::kEpilogue;
  if (phase == Phase::kAppend) return Phase::kAttention;
  return phase;
}

}  // namespace

std::string_view name_of(Phase phase) noexcept {
  constexpr std::string_view kNames[] = {"start",  "embed",     "prepare", "kernel", "epilogue",
                                         "append", "attention", "select",  "wait"};
  static_assert(std::size(kNames) == kPhases);
  return kNames[static_cast<std::size_t>(phase)];
}

void Stopwatch::add_span(Phase phase, std::int64_t now) noexcept {
  if (n_spans_ > 0) {
    Span& last = spans_[n_spans_ - 1];
    const bool goes_on = phase != Phase::kWait && last.end_ns == last_ns_ - epoch_ns_ && last.step == step_ &&
                         (phase == last.phase || phase == second_of(last.phase));
    if (goes_on) {
      if (phase != last.phase) last.second_ns += now - last_ns_;
      last.end_ns = now - epoch_ns_;
      return;
    }
  }
  spans_[n_spans_++] = {.begin_ns = last_ns_ - epoch_ns_,
                        .end_ns = now - epoch_ns_,
                        .second_ns = 0,
                        .step = static_cast<std::uint32_t>(step_),
                        .n_rows = static_cast<std::uint32_t>(n_rows_),
                        .phase = phase};
}

Recorder::Recorder(std::size_t n_steps, std::size_t n_threads, std::size_t max_spans)
    : n_steps_(n_steps),
      n_threads_(n_threads),
      keeps_spans_(max_spans > 0),
      watches_(std::make_unique<Stopwatch[]>(n_threads)) {
  const std::int64_t epoch = Stopwatch::now_ns();
  for (std::size_t thread = 0; thread < n_threads; ++thread) {
    Stopwatch& watch = watches_[thread];
    watch.epoch_ns_ = epoch;
    for (auto& sums : watch.sums_of_) sums.resize(n_steps);
    if (keeps_spans_) watch.spans_.resize(std::max(max_spans / n_threads, max_spans_of_run(n_steps)));
  }
}

void Recorder::begin_run(Stage stage, const Work& work) noexcept {
  Work& sum = work_[index_of(stage)];
  sum.n_runs += work.n_runs;
  sum.n_rows += work.n_rows;
  sum.n_logit_runs += work.n_logit_runs;
  sum.n_logit_rows += work.n_logit_rows;
  sum.n_positions += work.n_positions;
  sum.n_pairs += work.n_pairs;

  const auto has_room = [&](const Stopwatch& watch) {
    return watch.n_spans_ + max_spans_of_run(n_steps_) <= watch.spans_.size();
  };
  // Once full, full: a timeline with gaps would mislead.
  const bool is_traced = keeps_spans_ && n_runs_without_spans_ == 0 &&
                         std::all_of(watches_.get(), watches_.get() + n_threads_, has_room);
  if (keeps_spans_ && !is_traced) ++n_runs_without_spans_;
  const std::int64_t now = Stopwatch::now_ns();
  for (std::size_t thread = 0; thread < n_threads_; ++thread) {
    Stopwatch& watch = watches_[thread];
    watch.sums_ = watch.sums_of_[index_of(stage)].data();
    watch.is_traced_ = is_traced;
    watch.last_ns_ = now;
  }
}

std::int64_t Recorder::nanoseconds(Stage stage, std::size_t step, Phase phase) const noexcept {
  std::int64_t sum = 0;
  for (std::size_t thread = 0; thread < n_threads_; ++thread) {
    sum += watches_[thread].sums_of_[index_of(stage)][step][static_cast<std::size_t>(phase)];
  }
  return sum;
}

void Recorder::clear_sums() noexcept {
  for (Work& work : work_) work = {};
  for (std::size_t thread = 0; thread < n_threads_; ++thread) {
    for (auto& sums : watches_[thread].sums_of_) std::ranges::fill(sums, Stopwatch::Sums{});
  }
}

std::span<const Span> Recorder::spans(std::size_t thread) const noexcept {
  return std::span(watches_[thread].spans_).first(watches_[thread].n_spans_);
}

}  // namespace woolly::exec
