// The exponential function of sampling and scoring. Our own, so that a seed gives the same text on every machine: only
// additions, multiplications and bit operations in double, which IEEE 754 fixes to the last bit (the project is
// compiled with -ffp-contract=off).
#pragma once

#include <bit>
#include <cstdint>
#include <limits>

namespace woolly::sample {

/// e to the power of x, within 2 units of the last place. Results below the smallest normal number are 0; NaN stays
/// NaN.
inline double exp(double x) noexcept {
  if (x != x) return x;
  if (x < -708.0) return 0.0;
  if (x > 709.0) return std::numeric_limits<double>::infinity();
  // x = n ln 2 + r with |r| <= ln(2) / 2. ln 2 in two parts (fdlibm, e_exp.c): the high one has 21 trailing zero bits,
  // so that n * kLn2High is exact.
  constexpr double kLog2E = 0x1.71547652b82fep+0;
  constexpr double kLn2High = 0x1.62e42feep-1;
  constexpr double kLn2Low = 0x1.a39ef35793c76p-33;
  const double halves = x < 0.0 ? -0.5 : 0.5;
  const auto n = static_cast<std::int64_t>(x * kLog2E + halves);
  const auto n_real = static_cast<double>(n);
  const double r = (x - n_real * kLn2High) - n_real * kLn2Low;
  // The Taylor series up to r^13 / 13!; what is left out is below 0.3466^14 / 14! < 2^-57.
  double sum = 1.0 / 6227020800.0;
  sum = sum * r + 1.0 / 479001600.0;
  sum = sum * r + 1.0 / 39916800.0;
  sum = sum * r + 1.0 / 3628800.0;
  sum = sum * r + 1.0 / 362880.0;
  sum = sum * r + 1.0 / 40320.0;
  sum = sum * r + 1.0 / 5040.0;
  sum = sum * r + 1.0 / 720.0;
  sum = sum * r + 1.0 / 120.0;
  sum = sum * r + 1.0 / 24.0;
  sum = sum * r + 1.0 / 6.0;
  sum = sum * r + 0.5;
  sum = sum * r + 1.0;
  sum = sum * r + 1.0;
  return sum * std::bit_cast<double>(static_cast<std::uint64_t>(n + 1023) << 52);
}

}  // namespace woolly::sample
