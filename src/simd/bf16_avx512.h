// Products of bfloat16 (AVX-512 BF16). Beside vec_avx512.h, whose types it uses.
#pragma once

#include <immintrin.h>

#include "simd/vec.h"

namespace woolly::simd::WOOLLY_ISA {
namespace {

/// acc + the products of both bfloat16 of a lane, the second first: fma(a0, b0, fma(a1, b1, acc)), with numbers below the
/// normal ones taken and given as zeros.
inline F32 dot_bf16(F32 acc, Bytes a, I32 b) {
  return {_mm512_dpbf16_ps(acc.v, __builtin_bit_cast(__m512bh, a.v), __builtin_bit_cast(__m512bh, b.v))};
}

}  // namespace
}  // namespace woolly::simd::WOOLLY_ISA
