#include "os/thread_pool.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <new>
#include <numeric>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "os/cpu.h"

#ifndef WOOLLY_SANITIZED  // the sanitizers have an operator new of their own
namespace {
std::atomic<std::size_t> n_allocations{0};

void* counted_allocation(std::size_t bytes) {
  n_allocations.fetch_add(1, std::memory_order_relaxed);
  void* memory = std::malloc(bytes != 0 ? bytes : 1);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
}  // namespace

void* operator new(std::size_t bytes) { return counted_allocation(bytes); }
void* operator new[](std::size_t bytes) { return counted_allocation(bytes); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }
#endif

namespace woolly::os {
namespace {

std::unique_ptr<ThreadPool> make_pool(std::size_t n_threads) {
  auto pool = ThreadPool::create(n_threads);
  EXPECT_TRUE(pool) << pool.error().message;
  return std::move(*pool);
}

class ThreadPoolOfSize : public ::testing::TestWithParam<std::size_t> {};

INSTANTIATE_TEST_SUITE_P(Sizes, ThreadPoolOfSize, ::testing::Values(1, 2, 3, 8),
                         [](const auto& size) { return std::to_string(size.param); });

TEST_P(ThreadPoolOfSize, RunCallsEveryThreadOnceAndReturnsAfterAll) {
  const auto pool = make_pool(GetParam());
  ASSERT_EQ(pool->size(), GetParam());
  const auto caller = std::this_thread::get_id();
  std::vector<int> n_calls(pool->size());  // plain: run's return must order the writes before the reads
  for (int region = 1; region <= 2000; ++region) {
    pool->run([&](std::size_t thread) {
      ++n_calls[thread];
      EXPECT_EQ(std::this_thread::get_id() == caller, thread == 0);
    });
    ASSERT_EQ(n_calls, std::vector<int>(pool->size(), region));
  }
}

TEST_P(ThreadPoolOfSize, BarrierShowsTheWritesOfAllOthers) {
  const auto pool = make_pool(GetParam());
  constexpr int kPhases = 3000;
  std::vector<int> written(pool->size());  // plain: only the barriers order the accesses
  std::vector<int> n_stale(pool->size());
  pool->run([&](std::size_t thread) {
    for (int phase = 1; phase <= kPhases; ++phase) {
      written[thread] = phase;
      pool->barrier();
      for (const int value : written) n_stale[thread] += value != phase;
      pool->barrier();
    }
  });
  EXPECT_EQ(n_stale, std::vector<int>(pool->size(), 0));
}

TEST_P(ThreadPoolOfSize, BarrierWaitsForALateThread) {
  const auto pool = make_pool(GetParam());
  std::vector<int> written(pool->size());
  std::atomic<int> n_stale{0};
  for (std::size_t late = 0; late < pool->size(); ++late) {
    for (const int delay_us : {20, 200, 3000}) {  // met by spinning, by yielding, asleep
      const int phase = written[0] + 1;
      pool->run([&](std::size_t thread) {
        if (thread == late) {
          const auto end = std::chrono::steady_clock::now() + std::chrono::microseconds(delay_us);
          while (std::chrono::steady_clock::now() < end) {
          }
        }
        written[thread] = phase;
        pool->barrier();
        for (const int value : written) n_stale += value != phase;
      });
    }
  }
  EXPECT_EQ(n_stale, 0);
}

TEST_P(ThreadPoolOfSize, ParallelForCoversEachIndexOnce) {
  const auto pool = make_pool(GetParam());
  for (const std::size_t n : {0u, 1u, 2u, 7u, 64u, 1000u}) {
    for (const std::size_t grain :
         {std::size_t{1}, std::size_t{3}, std::size_t{64}, std::size_t{5000}, ~std::size_t{0}}) {
      std::vector<int> n_visits(n);
      pool->parallel_for(n, grain, [&](std::size_t begin, std::size_t end) {
        EXPECT_LT(begin, end);
        EXPECT_LE(end - begin, grain);
        for (std::size_t i = begin; i < end; ++i) ++n_visits[i];
      });
      EXPECT_EQ(n_visits, std::vector<int>(n, 1)) << n << " by " << grain;
    }
  }
}

#ifndef WOOLLY_SANITIZED
TEST_P(ThreadPoolOfSize, RunAllocatesNothing) {
  const auto pool = make_pool(GetParam());
  std::vector<std::size_t> sums(pool->size());
  const std::size_t before = n_allocations;
  for (int region = 0; region < 100; ++region) {
    pool->run([&](std::size_t thread) {
      pool->barrier();
      sums[thread] += thread;
    });
    pool->parallel_for(100, 7, [&](std::size_t begin, std::size_t end) { static_cast<void>(end - begin); });
  }
  EXPECT_EQ(n_allocations, before);
}

/// Exits with 0 where a pool that does not fit into the address space is refused as it should be.
[[noreturn]] void create_in_a_small_address_space() {
  const rlimit limit{std::size_t{1} << 30, std::size_t{1} << 30};
  if (setrlimit(RLIMIT_AS, &limit) != 0) std::_Exit(2);
  const auto pool = ThreadPool::create(ThreadPool::kMaxThreads);  // stacks of 8 MiB each
  if (pool) std::_Exit(3);
  std::fprintf(stderr, "%s\n", pool.error().message.c_str());
  std::_Exit(pool.error().code == ErrorCode::kLimitExceeded ? 0 : 4);
}

TEST(ThreadPool, FailsCleanlyWhereAThreadCannotBeStarted) {
  EXPECT_EXIT(create_in_a_small_address_space(), ::testing::ExitedWithCode(0), "cannot start thread [0-9]+ of 512");
}
#endif

TEST(ThreadPool, UsesNoProcessorWhileIdle) {
  const auto pool = make_pool(4);
  std::size_t sum[4] = {};
  pool->run([&](std::size_t thread) { sum[thread] += thread; });
  const auto used = [] {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    return std::chrono::seconds(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           std::chrono::microseconds(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
  };
  const auto before = used();
  std::this_thread::sleep_for(std::chrono::milliseconds(200));  // the time over which idleness is measured
  EXPECT_LT(used() - before, std::chrono::milliseconds(40));    // one spinning thread would use 200 ms
  pool->run([&](std::size_t thread) { sum[thread] += thread; });
  EXPECT_EQ(std::accumulate(std::begin(sum), std::end(sum), std::size_t{0}), 12u);
}

/// Waiting by spinning alone, each of these barriers would cost several time slices of the scheduler, and the test its
/// time limit.
TEST(ThreadPool, MoreThreadsThanProcessorsStillMeetAtBarriers) {
  const auto pool = make_pool(4 * max_running_threads());
  constexpr std::size_t kPhases = 1000;
  std::atomic<std::size_t> n_arrived{0};
  std::atomic<bool> was_early{false};
  pool->run([&](std::size_t) {
    for (std::size_t phase = 1; phase <= kPhases; ++phase) {
      ++n_arrived;
      pool->barrier();
      if (n_arrived < phase * pool->size()) was_early = true;
    }
  });
  EXPECT_EQ(n_arrived, kPhases * pool->size());
  EXPECT_FALSE(was_early);
}

TEST(ThreadPool, ZeroMeansTheDefault) { EXPECT_EQ(make_pool(0)->size(), default_thread_count()); }

TEST(ThreadPool, RejectsTooManyThreads) {
  const auto pool = ThreadPool::create(ThreadPool::kMaxThreads + 1);
  ASSERT_FALSE(pool);
  EXPECT_EQ(pool.error().code, ErrorCode::kInvalidArgument);
}

TEST(ThreadPool, StartsAndStopsManyTimes) {
  for (int i = 0; i < 50; ++i) {
    const auto pool = make_pool(3);
    if (i % 2 == 0) pool->run([](std::size_t) {});
  }
}

}  // namespace
}  // namespace woolly::os
