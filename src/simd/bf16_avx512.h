// Products of bfloat16 (AVX-512 BF16). Beside vec_avx512.h, whose types it uses.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "simd/vec.h"

namespace woolly::simd::WOOLLY_ISA {
namespace {

/// acc + the products of both bfloat16 of a lane, the second first: fma(a0, b0, fma(a1, b1, acc)), with numbers below the
/// normal ones taken and given as zeros.
inline F32 dot_bf16(F32 acc, Bytes a, I32 b) {
  return {_mm512_dpbf16_ps(acc.v, __builtin_bit_cast(__m512bh, a.v), __builtin_bit_cast(__m512bh, b.v))};
}

/// 32 floats to bfloat16, to nearest and even; numbers below the normal ones become zero. x becomes what was stored.
inline void round_to_bf16(F32 (&x)[2], std::uint16_t* p) {
  const __m512i rounded = __builtin_bit_cast(__m512i, _mm512_cvtne2ps_pbh(x[1].v, x[0].v));
  _mm512_storeu_si512(p, rounded);
  for (int i = 0; i < 2; ++i) {
    const __m256i half = i == 0 ? _mm512_castsi512_si256(rounded) : _mm512_extracti64x4_epi64(rounded, 1);
    x[i].v = _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
  }
}

/// 2^x for x <= 0, to 2^-17 of it, exactly 1 at 0: a polynomial of what x is above the whole number below it, fitted to
/// the smallest largest relative error, 2^-18.4.
inline F32 exp2_to_16_bits(F32 x) {
  const __m512 r = _mm512_reduce_ps(x.v, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
  __m512 p = _mm512_set1_ps(0.0134266854F);
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.0522424716F));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.2412802066F));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.6930448445F));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0F));
  return {_mm512_scalef_ps(p, x.v)};
}

}  // namespace
}  // namespace woolly::simd::WOOLLY_ISA
