// Runs a plan: one parallel region a step of the engine, in which all threads walk the same list and meet at barriers.
// Nothing is allocated after construction.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "exec/batch.h"
#include "exec/recorder.h"
#include "os/thread_pool.h"
#include "pack/weights.h"
#include "plan/compile.h"
#include "woolly/error.h"

namespace woolly::exec {

/// Logits [n_rows, vocab] float32; owned by the executor and valid until its next run.
struct Logits {
  const float* data = nullptr;
  std::size_t n_rows = 0;
  std::size_t vocab_size = 0;
  std::size_t stride = 0;  ///< Floats from one row to the next.

  [[nodiscard]] std::span<const float> row(std::size_t i) const { return {data + i * stride, vocab_size}; }
};

/// Used from one thread at a time. Borrows plan, weights and pool.
class Executor {
 public:
  static Result<std::unique_ptr<Executor>> create(const plan::Plan& plan, const pack::Weights& weights,
                                                  os::ThreadPool& pool, const plan::Limits& limits,
                                                  const KvLayout& layout);
  ~Executor();

  [[nodiscard]] const plan::Limits& limits() const noexcept;

  /// Times every run from here on; nullptr, as in the beginning, times none. `recorder` is borrowed, and made for the
  /// steps of the plan and the threads of the pool.
  void record_to(Recorder* recorder) noexcept;

  /// Runs `batch` (at most limits().max_rows rows and limits().max_logit_rows rows of logits; token ids inside the
  /// vocabulary) and advances its sequences. The numbers do not depend on what else is in the batch, on how a sequence
  /// is cut into batches, or on the number of threads.
  Logits run(const Batch& batch);

 private:
  struct State;
  explicit Executor(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace woolly::exec
