// Arithmetic on sizes that come from files: overflow is a value, not a wrap.
#pragma once

#include <concepts>
#include <cstdint>
#include <optional>
#include <type_traits>

#include "base/assert.h"

namespace woolly::base {

/// a * b, or nothing if the product does not fit.
constexpr std::optional<std::uint64_t> checked_mul(std::uint64_t a, std::uint64_t b) noexcept {
  std::uint64_t product = 0;
  if (__builtin_mul_overflow(a, b, &product)) return std::nullopt;
  return product;
}

/// a + b, or nothing if the sum does not fit.
constexpr std::optional<std::uint64_t> checked_add(std::uint64_t a, std::uint64_t b) noexcept {
  std::uint64_t sum = 0;
  if (__builtin_add_overflow(a, b, &sum)) return std::nullopt;
  return sum;
}

/// The smallest multiple of `unit` (> 0) that is >= `n`; `n` must be so small that it fits.
constexpr std::uint64_t round_up(std::uint64_t n, std::uint64_t unit) noexcept { return (n + unit - 1) / unit * unit; }

constexpr std::uint64_t ceil_div(std::uint64_t n, std::uint64_t unit) noexcept { return (n + unit - 1) / unit; }

/// Converts between integer types; a value that does not fit is a broken invariant.
template <std::integral To, std::integral From>
constexpr To narrow(From value) noexcept {
  const To converted = static_cast<To>(value);
  WOOLLY_ASSERT(static_cast<From>(converted) == value && ((converted < To{}) == (value < From{})));
  return converted;
}

}  // namespace woolly::base
