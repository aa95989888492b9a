// The vector vocabulary: sixteen float or int32 lanes and sixty-four bytes, with the same names for each instruction
// set. A kernel is written once over it (kernels/impl) and compiled once per set; cmake/kernels.cmake defines
// WOOLLY_ISA, the namespace of the set, and WOOLLY_ISA_<NAME>. Everything here has internal linkage, so that no copy
// compiled for one processor can be linked into the code of another.
//
// Lane-wise float operations are IEEE single operations (fma rounds once), so they agree on all sets; reductions add in
// one fixed tree: lane i with i+8, then i+4, i+2, i+1.
#pragma once

/// Before a loop with a constant number of turns: unroll it fully, so that arrays of vectors stay in registers. The
/// scalar set has no registers for them, and loops over sixteen lanes inside, which is enough to unroll.
#if defined(WOOLLY_ISA_SCALAR)
#define WOOLLY_UNROLL
#elif defined(__clang__)
#define WOOLLY_UNROLL _Pragma("clang loop unroll(full)")
#else
#define WOOLLY_UNROLL _Pragma("GCC unroll 64")
#endif

/// Whether the set has products of bfloat16 that are worth it: their own numbers for BF16 weights (ADR 1).
#if defined(WOOLLY_ISA_AVX512_BF16) || defined(WOOLLY_ISA_AMX)
#define WOOLLY_HAS_BF16 1
#else
#define WOOLLY_HAS_BF16 0
#endif

/// Keeps the compiler from moving loads over this point: in a long unrolled body it would otherwise load early and spill.
#define WOOLLY_KEEP_LOADS_HERE asm volatile("" ::: "memory")

#if defined(WOOLLY_ISA_AVX512) || defined(WOOLLY_ISA_AVX512_BF16) || defined(WOOLLY_ISA_AMX)
#include "simd/vec_avx512.h"  // IWYU pragma: export
#elif defined(WOOLLY_ISA_SCALAR)
#include "simd/vec_scalar.h"  // IWYU pragma: export
#else
#include "simd/vec_avx2.h"  // IWYU pragma: export
#endif
