// Runs of floats of any length, sixteen at a time.
#pragma once

#include <cstddef>

#include "simd/vec.h"

namespace woolly::kernels::WOOLLY_ISA {
namespace simd = woolly::simd::WOOLLY_ISA;
namespace {

/// Calls `body(i, n)` for i = 0, 16, ... with n = 16, or fewer at the end.
template <typename Body>
inline void for_lanes(std::size_t n, Body body) {
  std::size_t i = 0;
#ifdef __clang__
#pragma clang loop unroll_count(2)  // a panel's row at once; by more, 16 elements take longer than plain code
#endif
  for (; i + 16 <= n; i += 16) body(i, std::size_t{16});
  if (i < n) body(i, n - i);
}

/// n (1 to 16) floats; the lanes beyond are zero.
inline simd::F32 load_some(const float* p, std::size_t n) { return n == 16 ? simd::load(p) : simd::load_first(p, n); }

inline void store_some(float* p, simd::F32 a, std::size_t n) {
  if (n == 16) return simd::store(p, a);
  simd::store_first(p, a, n);
}

}  // namespace
}  // namespace woolly::kernels::WOOLLY_ISA
