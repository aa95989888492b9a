// Mapped files that are cut, or cannot be read, while somebody computes from them.
#pragma once

#include <atomic>
#include <cstddef>

namespace woolly::os {

/// Watches the pages of one mapping. Where one cannot be read any more, all from it to the end of the mapping become zeros,
/// `any` is true from then on, and the thread that read goes on: the system would otherwise end the process (SIGBUS). The
/// first one installs a handler, for the life of the process, that hands signals on from all other places to the handler
/// that was there before. Made and destroyed on any thread; at most kMax at a time.
class LostPages {
 public:
  static constexpr std::size_t kMax = 1024;

  /// `begin` is the begin of a mapping of `size` bytes, which outlives this.
  LostPages(void* begin, std::size_t size) noexcept;
  ~LostPages();
  LostPages(const LostPages&) = delete;
  LostPages& operator=(const LostPages&) = delete;

  /// False where there were kMax already.
  [[nodiscard]] bool is_watching() const noexcept { return slot_ != nullptr; }
  [[nodiscard]] bool any() const noexcept;

  struct Slot;

 private:
  Slot* slot_ = nullptr;
};

}  // namespace woolly::os
