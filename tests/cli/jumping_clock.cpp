// Loaded before a program: its time of day is years ahead and years behind in turn, as where a clock is set.
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>

extern "C" int clock_gettime(clockid_t clock, timespec* time) {
  static std::atomic<int> n_calls = 0;
  const auto status = static_cast<int>(syscall(SYS_clock_gettime, clock, time));
  constexpr time_t kYears = 10 * 365 * 86400;
  if (clock == CLOCK_REALTIME) time->tv_sec += n_calls.fetch_add(1) % 2 == 0 ? kYears : -kYears;
  return status;
}
