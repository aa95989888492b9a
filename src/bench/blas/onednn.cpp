// oneDNN: float32 and bfloat16, with weights reordered once into the layout that its kernel wants.
#include <cstdint>
#include <cstring>
#include <oneapi/dnnl/dnnl.hpp>
#include <unordered_map>
#include <vector>

#include "base/checked.h"
#include "base/float16.h"
#include "bench/blas/libraries.h"

/// Of libgomp, on which Debian's oneDNN runs; its header comes with g++ only.
extern "C" void omp_set_num_threads(int n_threads);

namespace woolly::bench {
namespace {

using dnnl::memory;

class OneDnnProduct : public BlasProduct {
 public:
  explicit OneDnnProduct(const BlasInput& input) : engine_(dnnl::engine::kind::cpu, 0), stream_(engine_) {
    omp_set_num_threads(base::narrow<int>(input.n_threads));
    const auto type = input.type == quant::DType::kF32 ? memory::data_type::f32 : memory::data_type::bf16;
    const auto m = base::narrow<memory::dim>(input.n_columns), n = base::narrow<memory::dim>(input.n_rows),
               k = base::narrow<memory::dim>(input.k);
    const memory::desc x_form({m, k}, type, memory::format_tag::ab), y_form({m, n}, memory::data_type::f32,
                                                                            memory::format_tag::ab);
    const dnnl::matmul::desc wanted(x_form, memory::desc({k, n}, type, memory::format_tag::any), y_form);
    const dnnl::matmul::primitive_desc chosen(wanted, engine_);
    product_ = dnnl::matmul(chosen);

    // [n_rows, k] row by row is [k, n_rows] column by column.
    memory plain({{k, n}, type, memory::format_tag::ba}, engine_,
                 const_cast<void*>(static_cast<const void*>(input.weights)));
    memory weights(chosen.weights_desc(), engine_);
    dnnl::reorder(plain, weights).execute(stream_, plain, weights);
    memory x(x_form, engine_);
    fill(input, x);
    y_ = memory(y_form, engine_);
    arguments_ = {{DNNL_ARG_SRC, x}, {DNNL_ARG_WEIGHTS, weights}, {DNNL_ARG_DST, y_}};
    stream_.wait();
  }

  void run() override {
    product_.execute(stream_, arguments_);
    stream_.wait();
  }
  [[nodiscard]] const float* result() const override { return static_cast<const float*>(y_.get_data_handle()); }

 private:
  static void fill(const BlasInput& input, const memory& x) {
    const std::size_t n = input.n_columns * input.k;
    if (input.type == quant::DType::kF32) {
      std::memcpy(x.get_data_handle(), input.x, n * sizeof(float));
      return;
    }
    auto* to = static_cast<std::uint16_t*>(x.get_data_handle());
    for (std::size_t i = 0; i < n; ++i) to[i] = base::f32_to_bf16(input.x[i]);
  }

  dnnl::engine engine_;
  dnnl::stream stream_;
  dnnl::matmul product_;
  memory y_;
  std::unordered_map<int, memory> arguments_;
};

}  // namespace

const BlasLibrary kOneDnn = {
    "oneDNN", [](quant::DType type) { return type == quant::DType::kF32 || type == quant::DType::kBF16; },
    [](const BlasInput& input) -> Result<std::unique_ptr<BlasProduct>> {
      try {
        return std::unique_ptr<BlasProduct>(new OneDnnProduct(input));
      } catch (const dnnl::error& error) {
        return Error{ErrorCode::kInternal, std::string("oneDNN: ") + error.what()};
      }
    }};

}  // namespace woolly::bench
