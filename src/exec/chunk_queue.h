// Hands the pieces of a step to threads. Each thread owns a contiguous share and takes from it first, for locality; one
// that is done takes from the share that has most left, so that a slow core does not stall a step.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

namespace woolly::exec {

/// How many of the `n_panels` panels of a matrix a thread takes at once, for `n_rows` rows of activations.
inline std::size_t panels_per_chunk(std::size_t panel_bytes, std::size_t n_panels, std::size_t n_rows,
                                    std::size_t n_threads) {
  // With few rows a chunk is at least this large, so that streaming it outweighs claiming it...
  constexpr std::size_t kChunkBytes = 64U << 10U;
  // ... but every thread should find this many chunks, so that they come out even.
  constexpr std::size_t kChunksPerThread = 4;
  const std::size_t by_size = kChunkBytes / std::max<std::size_t>(1, n_rows) / panel_bytes;
  const std::size_t by_count = n_panels / (kChunksPerThread * n_threads);
  return std::max<std::size_t>(1, std::min(by_size, by_count));
}

/// Counters for three consecutive rounds. A round is what lies between two barriers: while round r runs, every thread
/// clears its own counter of round r + 2, which no thread touches any more (that of r - 1) or yet. Rounds count in 64
/// bits: 2^32 is no multiple of three, so that a shorter count would wrap to counters in use (after a day of tokens).
class ChunkQueue {
  struct alignas(64) Counter {  // a line of its own: threads count without disturbing each other
    std::atomic<std::size_t> taken{0};
  };

 public:
  explicit ChunkQueue(std::size_t n_threads)
      : n_threads_(n_threads), counters_(std::make_unique<Counter[]>(kRounds * n_threads)) {}

  /// One thread's view of one round.
  class Round {
   public:
    Round(ChunkQueue& queue, std::uint64_t round, std::size_t thread, std::size_t n_chunks) noexcept
        : counters_(&queue.counters_[round % kRounds * queue.n_threads_]),
          n_threads_(queue.n_threads_),
          thread_(thread),
          n_chunks_(n_chunks) {
      queue.counters_[(round + 2) % kRounds * queue.n_threads_ + thread].taken.store(0, std::memory_order_relaxed);
    }

    /// The next chunk, or n_chunks when none is left.
    std::size_t next() noexcept {
      if (const std::size_t chunk = take_from(thread_); chunk < n_chunks_) return chunk;
      for (;;) {
        std::size_t victim = thread_, most = 0;
        for (std::size_t other = 0; other < n_threads_; ++other) {
          const std::size_t size = share_end(other) - share_begin(other);
          const std::size_t taken = counters_[other].taken.load(std::memory_order_relaxed);
          if (taken < size && size - taken > most) {
            most = size - taken;
            victim = other;
          }
        }
        if (most == 0) return n_chunks_;
        if (const std::size_t chunk = take_from(victim); chunk < n_chunks_) return chunk;
      }
    }

   private:
    [[nodiscard]] std::size_t share_begin(std::size_t thread) const noexcept { return n_chunks_ * thread / n_threads_; }
    [[nodiscard]] std::size_t share_end(std::size_t thread) const noexcept { return share_begin(thread + 1); }
    std::size_t take_from(std::size_t owner) noexcept {
      const std::size_t size = share_end(owner) - share_begin(owner);
      if (counters_[owner].taken.load(std::memory_order_relaxed) >= size) return n_chunks_;
      const std::size_t taken = counters_[owner].taken.fetch_add(1, std::memory_order_relaxed);
      return taken < size ? share_begin(owner) + taken : n_chunks_;
    }

    Counter* counters_;
    std::size_t n_threads_, thread_, n_chunks_;
  };

 private:
  static constexpr std::size_t kRounds = 3;
  std::size_t n_threads_;
  std::unique_ptr<Counter[]> counters_;
};

}  // namespace woolly::exec
