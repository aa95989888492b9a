#include "os/lost_pages.h"

#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <mutex>

namespace woolly::os {

/// What the handler may look at: it can run at any point of any thread.
struct LostPages::Slot {
  std::atomic<std::uintptr_t> begin = 0;  ///< Written last, and first set to 0 again: the rest is valid while it is not 0.
  std::atomic<std::uintptr_t> end = 0;
  std::atomic<bool> is_taken = false, any = false;
};

namespace {

static_assert(std::atomic<std::uintptr_t>::is_always_lock_free && std::atomic<bool>::is_always_lock_free);

std::array<LostPages::Slot, LostPages::kMax> slots;
struct sigaction previous;

/// The page of `address` and all behind it, to the end of its mapping, become zeros; false where nobody watches it.
bool replace(std::uintptr_t address) noexcept {
  for (LostPages::Slot& slot : slots) {
    const std::uintptr_t begin = slot.begin.load();
    const std::uintptr_t end = slot.end.load();
    if (begin == 0 || address < begin || address >= end) continue;
    const auto page_size = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
    void* page = reinterpret_cast<void*>(address / page_size * page_size);  // NOLINT: it came from a signal
    slot.any.store(true);
    const std::size_t size = end - address / page_size * page_size;
    return mmap(page, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0) != MAP_FAILED;
  }
  return false;
}

extern "C" void woolly_on_bus_error(int signal, siginfo_t* info, void* context) {
  const int saved_errno = errno;
  const bool is_of_memory = info->si_code == BUS_ADRERR || info->si_code == BUS_OBJERR;
  const bool is_mended = is_of_memory && replace(reinterpret_cast<std::uintptr_t>(info->si_addr));
  errno = saved_errno;
  if (is_mended) return;
  if ((previous.sa_flags & SA_SIGINFO) != 0) return previous.sa_sigaction(signal, info, context);
  if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN) return previous.sa_handler(signal);
  std::signal(signal, SIG_DFL);
  raise(signal);
}

void install() noexcept {
  struct sigaction action = {};
  action.sa_sigaction = woolly_on_bus_error;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigemptyset(&action.sa_mask);
  sigaction(SIGBUS, &action, &previous);
}

}  // namespace

LostPages::LostPages(void* begin, std::size_t size) noexcept {
  static std::once_flag installed;
  std::call_once(installed, install);
  for (Slot& slot : slots) {
    if (slot.is_taken.exchange(true)) continue;
    slot.any = false;
    slot.end = reinterpret_cast<std::uintptr_t>(begin) + size;
    slot.begin = reinterpret_cast<std::uintptr_t>(begin);
    slot_ = &slot;
    return;
  }
}

LostPages::~LostPages() {
  if (slot_ == nullptr) return;
  slot_->begin = 0;
  slot_->is_taken = false;
}

bool LostPages::any() const noexcept { return slot_ != nullptr && slot_->any.load(std::memory_order_relaxed); }

}  // namespace woolly::os
