// OpenBLAS: float32. Debian's has no products of bfloat16.
#include <cblas.h>

#include <vector>

#include "base/checked.h"
#include "bench/blas/libraries.h"

namespace woolly::bench {
namespace {

class OpenBlasProduct : public BlasProduct {
 public:
  explicit OpenBlasProduct(const BlasInput& input)
      : weights_(reinterpret_cast<const float*>(input.weights)),
        x_(input.x),
        n_rows_(base::narrow<blasint>(input.n_rows)),
        k_(base::narrow<blasint>(input.k)),
        n_columns_(base::narrow<blasint>(input.n_columns)),
        y_(input.n_columns * input.n_rows) {
    openblas_set_num_threads(base::narrow<int>(input.n_threads));
  }

  void run() override {
    if (n_columns_ == 1) {
      cblas_sgemv(CblasRowMajor, CblasNoTrans, n_rows_, k_, 1.0F, weights_, k_, x_, 1, 0.0F, y_.data(), 1);
    } else {
      cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, n_columns_, n_rows_, k_, 1.0F, x_, k_, weights_, k_, 0.0F,
                  y_.data(), n_rows_);
    }
  }
  [[nodiscard]] const float* result() const override { return y_.data(); }

 private:
  const float* weights_;
  const float* x_;
  blasint n_rows_, k_, n_columns_;
  std::vector<float> y_;
};

}  // namespace

const BlasLibrary kOpenBlas = {
    "OpenBLAS", [](quant::DType type) { return type == quant::DType::kF32; },
    [](const BlasInput& input) -> Result<std::unique_ptr<BlasProduct>> {
      return std::unique_ptr<BlasProduct>(new OpenBlasProduct(input));
    }};

}  // namespace woolly::bench
