// Matrix kernels of the types with blocks of 256. Compiled once for each instruction set.
#include "kernels/impl/kernel.inl.h"
#include "kernels/impl/parts.h"

namespace woolly::kernels::WOOLLY_ISA {

namespace {
constexpr MatmulKernel kRows[] = {
    kernel<DType::kQ2_K>(), kernel<DType::kQ3_K>(), kernel<DType::kQ4_K>(),
    kernel<DType::kQ5_K>(), kernel<DType::kQ6_K>(), kernel<DType::kIQ4_XS>(),
};
}  // namespace

const MatmulKernels kMatmulsOf256 = {kRows, sizeof kRows / sizeof kRows[0]};

}  // namespace woolly::kernels::WOOLLY_ISA
