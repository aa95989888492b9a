// The parts of one instruction set's table, each from its own translation unit.
#pragma once

#include "kernels/attention_kernel.h"
#include "kernels/matmul_kernel.h"

namespace woolly::kernels {
struct ConvolutionTask;
struct KernelTable;
struct RecurrenceTask;
}

/// The set whose kernels of integers this one takes: as a rule its own.
namespace woolly::kernels::WOOLLY_INTEGER_ISA {

extern const MatmulKernels kMatmulsOf32;   ///< Types with blocks of 32.
extern const MatmulKernels kMatmulsOf256;  ///< Types with blocks of 256.
extern const MatmulKernels kMatmulsOfFlat; ///< Ternary types and those with codebooks.

}  // namespace woolly::kernels::WOOLLY_INTEGER_ISA

namespace woolly::kernels::WOOLLY_ISA {

extern const MatmulKernels kMatmulsOfFloats;
extern const KvKernels kKvs[kKvTypes];
extern const KernelTable kTable;
void recur(const RecurrenceTask& task) noexcept;
void convolve(const ConvolutionTask& task) noexcept;

}  // namespace woolly::kernels::WOOLLY_ISA
