#include "bench/blas/blas.h"

#if WOOLLY_BENCH_BLAS
#include "bench/blas/libraries.h"
#endif

namespace woolly::bench {

std::span<const BlasLibrary> blas_libraries() {
#if WOOLLY_BENCH_BLAS
  static const BlasLibrary libraries[] = {kOpenBlas, kOneDnn};
  return libraries;
#else
  return {};
#endif
}

}  // namespace woolly::bench
