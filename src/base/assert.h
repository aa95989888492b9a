// WOOLLY_ASSERT: an invariant of our own. Aborts with the condition, in every build. Input must never reach one.
#pragma once

namespace woolly::base {

[[noreturn]] void assertion_failed(const char* condition, const char* file, int line) noexcept;

}  // namespace woolly::base

#define WOOLLY_ASSERT(condition) \
  ((condition) ? static_cast<void>(0) : ::woolly::base::assertion_failed(#condition, __FILE__, __LINE__))
