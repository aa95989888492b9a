// Attention over each type of the key-value cache.
#include "kernels/impl/attention.inl.h"
#include "kernels/impl/parts.h"

namespace woolly::kernels::WOOLLY_ISA {

const KvKernels kKvs[kKvTypes] = {kv_kernels<KvF32, FloatProducts>(), kv_kernels<KvF16>(), kv_kernels<KvBF16>(), kv_kernels<KvQ8>()};

}  // namespace woolly::kernels::WOOLLY_ISA
