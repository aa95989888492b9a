#include "quantize/importance.h"

#include <fmt/format.h>

#include <cmath>

#include "gguf/load.h"
#include "gguf/printable.h"
#include "quant/dtype.h"

namespace woolly::quantize {
namespace {

constexpr std::string_view kSums = ".in_sum2", kCounts = ".counts";
/// Of the mean: no column counts for nothing, if only because the tokens that were seen are few.
constexpr double kLeast = 1e-3;

Error invalid(std::string_view tensor, std::string_view what) {
  return {ErrorCode::kInvalidFile, fmt::format("importance matrix, tensor {}: {}", gguf::printable(tensor), what)};
}

Result<std::vector<float>> read_floats(const os::TensorSource& source, const gguf::TensorView& tensor) {
  if (tensor.type != quant::DType::kF32) {
    return invalid(tensor.name, fmt::format("of type {}, expected F32", quant::info(tensor.type).name));
  }
  std::vector<float> values(tensor.n_cols() * tensor.n_rows());
  WOOLLY_CHECK(source.read(tensor.file, tensor.offset, std::as_writable_bytes(std::span(values))));
  for (const float value : values) {
    if (!(value >= 0) || !std::isfinite(value)) return invalid(tensor.name, fmt::format("has {}, expected 0 or more", value));
  }
  return values;
}

/// Sums to weights of 1 on average; those of a matrix that has seen no token are all 1.
void normalize(std::span<float> sums) {
  double total = 0;
  for (const float sum : sums) total += static_cast<double>(sum);
  const double mean = total / static_cast<double>(sums.size());
  for (float& sum : sums) {
    sum = mean > 0 ? static_cast<float>((static_cast<double>(sum) / mean + kLeast) / (1 + kLeast)) : 1.0F;
  }
}

}  // namespace

Result<Importance> Importance::read(const os::TensorSource& source) {
  WOOLLY_TRY(const gguf::File file, gguf::load(source));
  Importance importance;
  for (const gguf::TensorView& tensor : file.tensors()) {
    if (!tensor.name.ends_with(kSums)) continue;
    const std::string name(tensor.name.substr(0, tensor.name.size() - kSums.size()));
    const gguf::TensorView* counts = file.find_tensor(name + std::string(kCounts));
    if (counts == nullptr) return invalid(tensor.name, fmt::format("without its {}", kCounts));
    const std::uint64_t n_matrices = counts->n_cols() * counts->n_rows();
    if (n_matrices != tensor.n_rows()) {
      return invalid(counts->name, fmt::format("{} counts, expected {}", n_matrices, tensor.n_rows()));
    }
    WOOLLY_TRY(std::vector<float> sums, read_floats(source, tensor));
    for (std::uint64_t m = 0; m < n_matrices; ++m) {
      normalize(std::span(sums).subspan(m * tensor.n_cols(), tensor.n_cols()));
    }
    importance.of_.emplace(name, std::move(sums));
  }
  if (importance.is_empty()) {
    return Error{ErrorCode::kInvalidFile, fmt::format("{}: no tensors NAME{}, expected an importance matrix",
                                                      source.path(0).string(), kSums)};
  }
  return importance;
}

Result<std::span<const float>> Importance::find(const gguf::TensorView& tensor) const {
  const auto found = of_.find(tensor.name);
  if (found == of_.end()) return std::span<const float>{};
  const std::uint64_t expected = tensor.n_cols() * tensor.shape[2] * tensor.shape[3];
  if (found->second.size() != expected) {
    return Error{ErrorCode::kInvalidArgument, fmt::format("importance matrix, tensor {}: {} columns, expected {}",
                                                          gguf::printable(tensor.name), found->second.size(), expected)};
  }
  return std::span<const float>(found->second);
}

}  // namespace woolly::quantize
