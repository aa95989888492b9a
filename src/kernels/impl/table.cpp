// The table of one instruction set. Compiled once for each.
#include "kernels/impl/elementwise.inl.h"
#include "kernels/impl/parts.h"
#include "kernels/impl/roof.inl.h"

#define WOOLLY_STRING_(name) #name
#define WOOLLY_STRING(name) WOOLLY_STRING_(name)

namespace woolly::kernels::WOOLLY_ISA {

const KernelTable kTable = {
    .name = WOOLLY_STRING(WOOLLY_ISA),
    .matmuls = {&kMatmulsOfFloats, &WOOLLY_INTEGER_ISA::kMatmulsOf32, &WOOLLY_INTEGER_ISA::kMatmulsOf256,
                &WOOLLY_INTEGER_ISA::kMatmulsOfFlat},
    .rms_norm = rms_norm,
    .quantize_a32 = quantize_a32,
    .quantize_a256 = quantize_a256,
    .round_bf16 = round_bf16,
    .affine = affine,
    .add = add,
    .add_weighted = add_weighted,
    .softmax = softmax,
    .sigmoid = sigmoid,
    .swiglu = swiglu,
    .geglu = geglu,
    .clamped_swiglu = clamped_swiglu,
    .soft_cap = soft_cap,
    .multiply = multiply,
    .softplus = softplus,
    .exp = exp,
    .convolve = convolve,
    .recur = recur,
    .rope_adjacent = rope_adjacent,
    .rope_halves = rope_halves,
    .kvs = kKvs,
    .read_stream = read_stream,
    .integer_loop = integer_loop,
    .float_loop = float_loop,
    .bf16_loop = bf16_loop,
};

}  // namespace woolly::kernels::WOOLLY_ISA
