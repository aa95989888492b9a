// The parts of one instruction set's table, each from its own translation unit.
#pragma once

#include "kernels/kernel_table.h"

namespace woolly::kernels::WOOLLY_ISA {

extern const MatmulKernels kMatmulsOf32;   ///< Floats and types with blocks of 32.
extern const MatmulKernels kMatmulsOf256;  ///< Types with blocks of 256.
extern const KernelTable kTable;

}  // namespace woolly::kernels::WOOLLY_ISA
