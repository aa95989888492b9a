// Matrix kernels of ternary types and of those with codebooks. Compiled once for each instruction set.
#include "kernels/impl/kernel.inl.h"
#include "kernels/impl/parts.h"

namespace woolly::kernels::WOOLLY_ISA {

namespace {
constexpr MatmulKernel kRows[] = {
    kernel<DType::kIQ1_S>(),
    kernel<DType::kIQ1_M>(),
    kernel<DType::kIQ2_XXS>(),
    kernel<DType::kIQ2_XS>(),
    kernel<DType::kIQ2_S, DType::kIQ2_XS>(),
    kernel<DType::kIQ3_XXS>(),
    kernel<DType::kIQ3_S>(),
    kernel<DType::kTQ1_0, DType::kTQ2_0>(),
    kernel<DType::kTQ2_0>(),
};
}  // namespace

const MatmulKernels kMatmulsOfFlat = {kRows, sizeof kRows / sizeof kRows[0]};

}  // namespace woolly::kernels::WOOLLY_ISA
