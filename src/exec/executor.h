// Runs a plan: one parallel region a step of the engine, in which all threads walk the same list and meet at barriers.
// Nothing is allocated after construction.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "exec/batch.h"
#include "exec/input_squares.h"
#include "exec/recorder.h"
#include "os/thread_pool.h"
#include "pack/weights.h"
#include "plan/compile.h"
#include "woolly/error.h"
#include "woolly/logits.h"

namespace woolly::exec {

/// Used from one thread at a time. Borrows plan, weights and pool.
class Executor {
 public:
  static Result<std::unique_ptr<Executor>> create(const plan::Plan& plan, const pack::Weights& weights,
                                                  os::ThreadPool& pool, const plan::Limits& limits,
                                                  const KvLayout& layout);
  ~Executor();

  /// The memory that `create` takes, in bytes.
  static std::uint64_t workspace_bytes(const plan::Plan& plan, const plan::Limits& limits, std::size_t n_threads);

  [[nodiscard]] const plan::Limits& limits() const noexcept;

  /// Times every run from here on; nullptr, as in the beginning, times none. `recorder` is borrowed, and made for the
  /// steps of the plan and the threads of the pool.
  void record_to(Recorder* recorder) noexcept;

  /// Sums the squares of what matrices are multiplied by from here on; nullptr, as in the beginning, sums none. `squares` is
  /// borrowed, and made for the plan.
  void count_inputs(InputSquares* squares) noexcept;

  /// Runs `batch` (at most limits().max_rows rows and limits().max_logit_rows rows of logits; token ids inside the
  /// vocabulary), advances its sequences and gives the logits, a row for each of `logit_rows`. The numbers do not depend on what else is in the batch, on how a sequence
  /// is cut into batches, or on the number of threads.
  Logits run(const Batch& batch);

 private:
  struct State;
  explicit Executor(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace woolly::exec
