// Errors as values. A function that can fail because the world is wrong (a file, a request, a limit) returns
// Result<T>; its message names the thing, the value found and the value allowed. Our code does not throw; a broken
// invariant of our own aborts through WOOLLY_ASSERT (base/assert.h) and input never reaches one.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace woolly {

enum class ErrorCode : std::uint8_t {
  kInvalidArgument,  ///< The caller asked for something outside the allowed range.
  kNotFound,         ///< A file or a model of that name does not exist.
  kInvalidFile,      ///< A file is not what it claims to be: truncated, inconsistent, out of range.
  kUnsupported,      ///< Well-formed, but this build does not know it.
  kLimitExceeded,    ///< A limit (context length, memory) would be passed.
  kOverloaded,       ///< There is too much to do at the moment; it may work later.
  kIo,               ///< The operating system refused or failed.
  kInternal,         ///< Reported by a library where no better code fits.
};

/// The stable lower-case name of a code, e.g. "invalid_file".
std::string_view to_string(ErrorCode code) noexcept;

struct Error {
  ErrorCode code;
  std::string message;  ///< One line, without a trailing newline.
};

/// A value or an Error. Has the interface of std::expected as far as it is used here, so that the swap is mechanical.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}  // NOLINT: implicit by design
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT: implicit by design

  [[nodiscard]] bool has_value() const noexcept { return state_.index() == 0; }
  explicit operator bool() const noexcept { return has_value(); }

  /// The value; only if has_value().
  T& value() & { return *std::get_if<0>(&state_); }
  const T& value() const& { return *std::get_if<0>(&state_); }
  T&& value() && { return std::move(*std::get_if<0>(&state_)); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  /// The error; only if !has_value().
  Error& error() & { return *std::get_if<1>(&state_); }
  const Error& error() const& { return *std::get_if<1>(&state_); }
  Error&& error() && { return std::move(*std::get_if<1>(&state_)); }

  /// Says that a failure does not matter here, and why.
  void ignore(std::string_view /*reason*/) const noexcept {}

 private:
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)) {}  // NOLINT: implicit by design
  [[nodiscard]] bool has_value() const noexcept { return !error_.has_value(); }
  explicit operator bool() const noexcept { return has_value(); }
  Error& error() & { return *error_; }
  const Error& error() const& { return *error_; }
  Error&& error() && { return std::move(*error_); }
  void ignore(std::string_view /*reason*/) const noexcept {}

 private:
  std::optional<Error> error_;
};

using Status = Result<void>;

}  // namespace woolly

#define WOOLLY_CONCAT_(a, b) a##b
#define WOOLLY_CONCAT(a, b) WOOLLY_CONCAT_(a, b)

/// `WOOLLY_TRY(declaration, expression)`: declares from the value, or returns the error to the caller.
#define WOOLLY_TRY(declaration, ...)                                      \
  auto WOOLLY_CONCAT(result_, __LINE__) = (__VA_ARGS__);                  \
  if (!WOOLLY_CONCAT(result_, __LINE__)) {                                \
    return std::move(WOOLLY_CONCAT(result_, __LINE__)).error();           \
  }                                                                       \
  declaration = std::move(WOOLLY_CONCAT(result_, __LINE__)).value()

/// `WOOLLY_CHECK(expression)`: returns the error of a Result<void> (or of a Result whose value is not wanted).
#define WOOLLY_CHECK(...)                                                 \
  do {                                                                    \
    if (auto woolly_status = (__VA_ARGS__); !woolly_status) {             \
      return std::move(woolly_status).error();                            \
    }                                                                     \
  } while (false)
