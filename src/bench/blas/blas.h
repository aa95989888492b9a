// The matrix products of other libraries, to be measured beside ours, in builds with -DWOOLLY_BENCH_BLAS=ON. Nothing
// else of Woolly uses them.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "quant/dtype.h"
#include "woolly/error.h"

namespace woolly::bench {

/// What is multiplied: y[n_columns, n_rows] = x[n_columns, k] · wᵀ.
struct BlasInput {
  quant::DType type;
  std::size_t n_rows, k, n_columns;
  const std::byte* weights;  ///< [n_rows, k] as files have them; outlives the product.
  const float* x;            ///< [n_columns, k], dense; outlives the product.
  std::size_t n_threads;
};

/// One product of a library, which has brought weights and activations into the form that it likes.
class BlasProduct {
 public:
  virtual ~BlasProduct() = default;
  virtual void run() = 0;
  /// [n_columns, n_rows] of the last run.
  [[nodiscard]] virtual const float* result() const = 0;
};

struct BlasLibrary {
  const char* name;
  bool (*knows)(quant::DType type);
  /// Of a type that it knows. Errors are those of the library and of memory.
  Result<std::unique_ptr<BlasProduct>> (*create)(const BlasInput& input);
};

/// Those of this build; none without the option.
std::span<const BlasLibrary> blas_libraries();

}  // namespace woolly::bench
