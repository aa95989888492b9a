#include "os/thread_pool.h"

#include <fmt/format.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <climits>
#include <exception>
#include <thread>
#include <utility>
#include <vector>

#include "os/cpu.h"

namespace woolly::os {
namespace {

// Two lines of 64 bytes: the prefetchers of x86 fetch lines in pairs.
constexpr std::size_t kCacheLine = 128;

// For the next region: long enough to bridge the sampler between two tokens, short enough not to be seen as load.
constexpr std::chrono::microseconds kSpinForRegion{50};
// At a barrier: longer than threads that all run are apart. One that comes later has lost its core to another program;
// who then keeps a core without need is the next to lose it, for a whole turn of the scheduler. So is who yields often.
constexpr std::chrono::microseconds kSpinAtBarrier{20};
constexpr int kYields = 1;
constexpr int kPausesPerClockRead = 32;  // 0.8 us on Zen 4, where the clock costs 25 ns

void pause() noexcept {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("isb");
#endif
}

/// A number that one thread at a time advances and the others wait for. Bit 0 of the word says that somebody sleeps on
/// it, the rest is the number: so the one exchange that advances also tells whether a wake-up call is needed, and no
/// wake-up can be lost.
class alignas(kCacheLine) Gate {
 public:
  [[nodiscard]] std::uint32_t number() const noexcept { return word_.load(std::memory_order_acquire) >> 1; }

  /// What was written before is seen by all whom wait_past() lets through.
  void advance() noexcept {
    const std::uint32_t next = (word_.load(std::memory_order_relaxed) & ~kSleeping) + 2;
    if ((word_.exchange(next, std::memory_order_acq_rel) & kSleeping) != 0) futex(FUTEX_WAKE_PRIVATE, INT_MAX);
  }

  /// Returns once the number is not `seen` any more: at once, after spinning so long, yielding, and at last asleep.
  void wait_past(std::uint32_t seen, std::chrono::microseconds spin_time) noexcept {
    if (spin_time.count() > 0 && spin(seen, spin_time)) return;
    for (int i = 0; i < kYields; ++i) {
      if (number() != seen) return;
      sched_yield();
    }
    std::uint32_t word = word_.load(std::memory_order_acquire);
    while (word >> 1 == seen) {
      const bool is_marked =
          (word & kSleeping) != 0 || word_.compare_exchange_weak(word, word | kSleeping, std::memory_order_acquire);
      if (is_marked) {
        futex(FUTEX_WAIT_PRIVATE, word | kSleeping);  // returns at once if the word has changed
        word = word_.load(std::memory_order_acquire);
      }
    }
  }

 private:
  static constexpr std::uint32_t kSleeping = 1;

  bool spin(std::uint32_t seen, std::chrono::microseconds time) const noexcept {
    if (number() != seen) return true;
    const auto deadline = std::chrono::steady_clock::now() + time;
    do {
      for (int i = 0; i < kPausesPerClockRead; ++i) {
        pause();
        if (number() != seen) return true;
      }
    } while (std::chrono::steady_clock::now() < deadline);
    return false;
  }

  void futex(int operation, std::uint32_t value) noexcept {
    static_assert(sizeof word_ == sizeof value && std::atomic<std::uint32_t>::is_always_lock_free);
    syscall(SYS_futex, &word_, operation, value, nullptr, nullptr, 0);
  }

  std::atomic<std::uint32_t> word_{0};
};

}  // namespace

struct ThreadPool::Shared {
  // Read-only once all threads run, except by the caller between two regions; `regions` publishes it.
  std::size_t n_threads = 1;
  std::chrono::microseconds spin_for_region = kSpinForRegion, spin_at_barrier = kSpinAtBarrier;
  bool is_stopping = false;
  Region region = nullptr;
  void* context = nullptr;

  Gate regions;  ///< Advanced by the caller for each region.
  Gate phases;   ///< Advanced by the last thread that arrives at a barrier.
  alignas(kCacheLine) std::atomic<std::size_t> n_arrived{0};
  alignas(kCacheLine) std::atomic<std::size_t> claimed{0};

  alignas(kCacheLine) std::vector<std::thread> workers;
};

ThreadPool::ThreadPool(std::unique_ptr<Shared> shared) : shared_(std::move(shared)) {}

// Threads are not pinned. The caller belongs to the user and must keep its affinity, and workers pinned beside a caller
// that moves freely can end up on its core. Pinning both gained nothing on 2 cores of Zen 4 (barrier 44 ns either way).
Result<std::unique_ptr<ThreadPool>> ThreadPool::create(std::size_t n_threads) {
  if (n_threads > kMaxThreads) {
    return Error{ErrorCode::kInvalidArgument, fmt::format("{} threads, at most {} allowed", n_threads, kMaxThreads)};
  }
  auto shared = std::make_unique<Shared>();
  shared->n_threads = n_threads != 0 ? n_threads : std::min(default_thread_count(), kMaxThreads);
  // With more threads than processors, one that spins keeps the one it waits for from running.
  if (shared->n_threads > max_running_threads()) shared->spin_for_region = shared->spin_at_barrier = {};
  shared->workers.reserve(shared->n_threads - 1);
  std::unique_ptr<ThreadPool> pool(new ThreadPool(std::move(shared)));  // NOLINT: the constructor is private
  for (std::size_t thread = 1; thread < pool->size(); ++thread) {
    try {
      pool->shared_->workers.emplace_back([&pool = *pool, thread] { pool.work(thread); });
    } catch (const std::exception& e) {  // the destructor joins those that have started
      return Error{ErrorCode::kLimitExceeded,
                   fmt::format("cannot start thread {} of {}: {}", thread + 1, pool->size(), e.what())};
    }
  }
  return pool;
}

ThreadPool::~ThreadPool() {
  shared_->is_stopping = true;
  shared_->regions.advance();
  for (std::thread& worker : shared_->workers) worker.join();
}

std::size_t ThreadPool::size() const noexcept { return shared_->n_threads; }

void ThreadPool::work(std::size_t thread) noexcept {
  for (std::uint32_t seen = 0;;) {
    shared_->regions.wait_past(seen, shared_->spin_for_region);
    seen = shared_->regions.number();  // cannot advance again before this thread has arrived at the barrier below
    if (shared_->is_stopping) return;
    shared_->region(shared_->context, thread);
    barrier();
  }
}

void ThreadPool::run_region(Region region, void* context) noexcept {
  if (shared_->n_threads == 1) return region(context, 0);
  shared_->region = region;
  shared_->context = context;
  shared_->regions.advance();
  region(context, 0);
  barrier();
}

void ThreadPool::barrier() noexcept {
  if (shared_->n_threads == 1) return;
  // The number cannot advance before this thread has arrived.
  const std::uint32_t seen = shared_->phases.number();
  if (shared_->n_arrived.fetch_add(1, std::memory_order_acq_rel) + 1 < shared_->n_threads) {
    return shared_->phases.wait_past(seen, shared_->spin_at_barrier);
  }
  shared_->n_arrived.store(0, std::memory_order_relaxed);
  shared_->phases.advance();
}

void ThreadPool::reset_claim() noexcept { shared_->claimed.store(0, std::memory_order_relaxed); }

std::size_t ThreadPool::claim(std::size_t grain) noexcept {
  return shared_->claimed.fetch_add(grain, std::memory_order_relaxed);
}

}  // namespace woolly::os
