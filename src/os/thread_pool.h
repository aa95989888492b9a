// A persistent pool: threads are made once and live until the pool goes. Inference is one `run` per engine step, in
// which all threads walk the same plan and meet at barriers; loading uses `parallel_for`.
// Waiting threads spin briefly, then yield, then sleep on a futex, so that an idle pool uses no CPU and more threads
// than cores do not collapse.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <type_traits>

#include "base/assert.h"
#include "woolly/error.h"

namespace woolly::os {

/// Not reentrant: one `run` at a time, from one thread at a time; the caller takes part as thread 0. A body must not
/// throw.
class ThreadPool {
 public:
  /// `n_threads` 0 means default_thread_count() (os/cpu.h); more than kMaxThreads is an error, as is a thread that
  /// cannot be started.
  static Result<std::unique_ptr<ThreadPool>> create(std::size_t n_threads);
  static constexpr std::size_t kMaxThreads = 512;

  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  /// Including the caller; at least 1.
  [[nodiscard]] std::size_t size() const noexcept;

  /// Calls `body(thread)` once on every thread, 0 to size() - 1, and returns when all have returned. Allocates nothing.
  template <typename Body>
  void run(Body&& body) {
    using Plain = std::remove_reference_t<Body>;
    run_region([](void* context, std::size_t thread) { (*static_cast<Plain*>(context))(thread); },
               const_cast<void*>(static_cast<const void*>(&body)));
  }

  /// Inside `run`: returns on every thread once every thread has called it. Writes before it are seen after it.
  void barrier() noexcept;

  /// Outside of `run`: calls `body(begin, end)` for pieces of [0, n) of at most `grain` (> 0), claimed as threads get
  /// free. A single piece runs on the caller alone.
  template <typename Body>
  void parallel_for(std::size_t n, std::size_t grain, Body&& body);

 private:
  struct Shared;
  using Region = void (*)(void* context, std::size_t thread);
  explicit ThreadPool(std::unique_ptr<Shared> shared);
  /// The life of a worker.
  void work(std::size_t thread) noexcept;
  void run_region(Region region, void* context) noexcept;
  void reset_claim() noexcept;
  /// The beginning of the next piece, advancing the claim by `grain`.
  std::size_t claim(std::size_t grain) noexcept;

  std::unique_ptr<Shared> shared_;
};

template <typename Body>
void ThreadPool::parallel_for(std::size_t n, std::size_t grain, Body&& body) {
  WOOLLY_ASSERT(grain > 0);
  if (n == 0) return;
  if (n <= grain) {
    body(std::size_t{0}, n);
    return;
  }
  reset_claim();
  run([&](std::size_t) {
    for (std::size_t begin = claim(grain); begin < n; begin = claim(grain)) {
      body(begin, n - begin > grain ? begin + grain : n);
    }
  });
}

}  // namespace woolly::os
