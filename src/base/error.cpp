#include "woolly/error.h"

#include <cstdio>
#include <cstdlib>

#include "base/assert.h"

namespace woolly {

std::string_view to_string(ErrorCode code) noexcept {
  switch (code) {
    case ErrorCode::kInvalidArgument: return "invalid_argument";
    case ErrorCode::kNotFound: return "not_found";
    case ErrorCode::kInvalidFile: return "invalid_file";
    case ErrorCode::kUnsupported: return "unsupported";
    case ErrorCode::kLimitExceeded: return "limit_exceeded";
    case ErrorCode::kOverloaded: return "overloaded";
    case ErrorCode::kIo: return "io";
    case ErrorCode::kInternal: return "internal";
  }
  return "unknown";
}

namespace base {

void assertion_failed(const char* condition, const char* file, int line) noexcept {
  std::fprintf(stderr, "woolly: broken invariant: %s (%s:%d)\n", condition, file, line);
  std::abort();
}

}  // namespace base
}  // namespace woolly
