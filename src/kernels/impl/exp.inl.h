// e^x and 2^x in lanes: our own, so that results do not depend on a maths library. At most 2 ulp; exact zero for -inf
// and infinity above the range; NaN stays NaN. Results below the smallest normal number are rounded correctly enough
// to be monotone.
#pragma once

#include "simd/vec.h"

namespace woolly::kernels::WOOLLY_ISA {
namespace simd = woolly::simd::WOOLLY_ISA;
namespace {

/// e^r for |r| <= ln(2) / 2: the Taylor polynomial of degree 7, whose first missing term is below 6e-9.
inline simd::F32 exp_reduced(simd::F32 r) {
  simd::F32 p = simd::splat(1.0F / 5040);
  p = simd::fma(p, r, simd::splat(1.0F / 720));
  p = simd::fma(p, r, simd::splat(1.0F / 120));
  p = simd::fma(p, r, simd::splat(1.0F / 24));
  p = simd::fma(p, r, simd::splat(1.0F / 6));
  p = simd::fma(p, r, simd::splat(0.5F));
  p = simd::fma(p, r, simd::splat(1.0F));
  return simd::fma(p, r, simd::splat(1.0F));
}

/// p * 2^n for integral n in [-151, 130], in two steps so that neither factor leaves the normal range.
inline simd::F32 scale_by_power(simd::F32 p, simd::F32 n) {
  const simd::I32 whole = simd::to_i32(n);
  const simd::I32 biased = simd::add(whole, simd::splat_i32(256));  // positive, so that the shift halves it
  const simd::I32 first = simd::sub(simd::shift_right<1>(biased), simd::splat_i32(128));
  const simd::I32 second = simd::sub(whole, first);
  const auto power = [](simd::I32 e) {
    return simd::as_f32(simd::shift_left<23>(simd::add(e, simd::splat_i32(127))));
  };
  return simd::mul(simd::mul(p, power(first)), power(second));
}

/// e^x.
inline simd::F32 exp(simd::F32 x) {
  x = simd::min(simd::splat(90.0F), simd::max(simd::splat(-104.0F), x));  // NaN is the second operand: it stays
  const simd::F32 n = simd::round_even(simd::mul(x, simd::splat(1.44269504F)));
  // ln 2 = 0.693359375 - 2.12194440e-4: the first factor has 9 bits, so n times it is exact.
  simd::F32 r = simd::fma(n, simd::splat(-0.693359375F), x);
  r = simd::fma(n, simd::splat(2.12194440e-4F), r);
  return scale_by_power(exp_reduced(r), n);
}

/// soft_cap * tanh(x / soft_cap), lane by lane.
inline simd::F32 capped(simd::F32 x, float soft_cap) {
  const simd::F32 e = exp(simd::mul(x, simd::splat(2.0F / soft_cap)));
  const simd::F32 one = simd::splat(1.0F);
  const simd::F32 tanh = simd::sub(one, simd::div(simd::splat(2.0F), simd::add(e, one)));
  return simd::mul(tanh, simd::splat(soft_cap));
}

/// 2^x for x <= 0, exactly 1 at 0; zero below 2^-125.5, so that no result is below the normal numbers. The polynomial is
/// that of exp2f in the Cephes library (S. Moshier), twice.
inline simd::F32 exp2_of_negative(simd::F32 x) {
  x = simd::max(simd::splat(-126.0F), x);
  const simd::F32 rounder = simd::splat(0x1.8p23F);  // a float of this size has no bits behind the point
  const simd::F32 rounded = simd::add(x, rounder);
  const simd::F32 r = simd::sub(x, simd::sub(rounded, rounder));
  simd::F32 p = simd::splat(2 * 1.535336188319500e-4F);
  p = simd::fma(p, r, simd::splat(2 * 1.339887440266574e-3F));
  p = simd::fma(p, r, simd::splat(2 * 9.618437357674640e-3F));
  p = simd::fma(p, r, simd::splat(2 * 5.550332471162809e-2F));
  p = simd::fma(p, r, simd::splat(2 * 2.402264791363012e-1F));
  p = simd::fma(p, r, simd::splat(2 * 6.931472028550421e-1F));
  p = simd::fma(p, r, simd::splat(2.0F));
  // The low bits of `rounded` are the exponent, -126 to 0; half of the power, which is zero for the lowest.
  return simd::mul(p, simd::as_f32(simd::shift_left<23>(simd::add(simd::as_i32(rounded), simd::splat_i32(126)))));
}

}  // namespace
}  // namespace woolly::kernels::WOOLLY_ISA
