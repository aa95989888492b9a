// Matrix kernels of floats. Compiled once for each instruction set.
#include "kernels/impl/kernel.inl.h"
#include "kernels/impl/parts.h"

namespace woolly::kernels::WOOLLY_ISA {

namespace {
constexpr MatmulKernel kRows[] = {kernel<DType::kF32>(), kernel<DType::kF16>(), kernel<DType::kBF16>()};
}  // namespace

const MatmulKernels kMatmulsOfFloats = {kRows, sizeof kRows / sizeof kRows[0]};

}  // namespace woolly::kernels::WOOLLY_ISA
