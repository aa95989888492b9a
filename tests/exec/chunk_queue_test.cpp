#include "exec/chunk_queue.h"

#include <gtest/gtest.h>

#include <atomic>
#include <vector>

#include "os/thread_pool.h"

namespace woolly::test {
namespace {

TEST(ChunkQueue, HandsOutEveryChunkOfEveryRoundOnce) {
  for (const std::size_t n_threads : {1U, 2U, 3U, 5U}) {
    const auto pool = os::ThreadPool::create(n_threads);
    ASSERT_TRUE(pool);
    constexpr std::size_t kRounds = 200;
    std::vector<std::vector<std::atomic<int>>> taken(kRounds);
    for (std::size_t r = 0; r < kRounds; ++r) taken[r] = std::vector<std::atomic<int>>(r % 23);
    exec::ChunkQueue queue(n_threads);
    (*pool)->run([&](std::size_t thread) {
      for (std::uint32_t r = 0; r < kRounds; ++r) {
        exec::ChunkQueue::Round round(queue, r, thread, taken[r].size());
        for (std::size_t i = round.next(); i < taken[r].size(); i = round.next()) ++taken[r][i];
        (*pool)->barrier();
      }
    });
    for (const auto& round : taken) {
      for (const auto& count : round) ASSERT_EQ(count.load(), 1) << n_threads << " threads";
    }
  }
}

TEST(ChunkQueue, HandsOutEveryChunkPast32BitsOfRounds) {
  constexpr std::size_t kChunks = 4;
  constexpr std::uint64_t kFirst = (std::uint64_t{1} << 32U) - 3;
  exec::ChunkQueue queue(1);
  for (std::uint64_t r = kFirst; r < kFirst + 6; ++r) {
    exec::ChunkQueue::Round round(queue, r, 0, kChunks);
    for (std::size_t i = 0; i < kChunks; ++i) ASSERT_EQ(round.next(), i) << "round " << r;
    ASSERT_EQ(round.next(), kChunks);
  }
}

}  // namespace
}  // namespace woolly::test
