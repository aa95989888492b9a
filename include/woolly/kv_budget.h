// A ceiling on the memory of keys and values that several families of sessions share.
#pragma once

#include <atomic>
#include <cstdint>

namespace woolly {

/// Any thread may call.
class KvBudget {
 public:
  explicit KvBudget(std::uint64_t bytes) : limit_(bytes) {}

  /// Takes `bytes` if the limit allows it.
  [[nodiscard]] bool take(std::uint64_t bytes) noexcept {
    std::uint64_t taken = taken_.load();
    do {
      if (bytes > limit_.load() || taken > limit_.load() - bytes) return false;
    } while (!taken_.compare_exchange_weak(taken, taken + bytes));
    return true;
  }
  void give_back(std::uint64_t bytes) noexcept { taken_.fetch_sub(bytes); }

  /// What is taken stays so where the new limit is below it.
  void set_limit(std::uint64_t bytes) noexcept { limit_.store(bytes); }
  [[nodiscard]] std::uint64_t limit() const noexcept { return limit_.load(); }
  [[nodiscard]] std::uint64_t taken() const noexcept { return taken_.load(); }

 private:
  std::atomic<std::uint64_t> limit_, taken_{0};
};

}  // namespace woolly
