// Matrix kernels of the types with blocks of 32. Compiled once for each instruction set.
#include "kernels/impl/kernel.inl.h"
#include "kernels/impl/parts.h"

namespace woolly::kernels::WOOLLY_ISA {

namespace {
constexpr MatmulKernel kRows[] = {
    kernel<DType::kQ4_0>(), kernel<DType::kQ4_1>(), kernel<DType::kQ5_0>(), kernel<DType::kQ5_1>(),
    kernel<DType::kQ8_0>(), kernel<DType::kIQ4_NL>(), kernel<DType::kMXFP4>(),
};
}  // namespace

const MatmulKernels kMatmulsOf32 = {kRows, sizeof kRows / sizeof kRows[0]};

}  // namespace woolly::kernels::WOOLLY_ISA
