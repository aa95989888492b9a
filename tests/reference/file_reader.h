// Keys and tensors of a file, as the readers of the reference want them.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "gguf/gguf.h"
#include "os/tensor_source.h"
#include "quant/dtype.h"
#include "reference/reference_model.h"

namespace woolly::reference {

class FileReader {
 public:
  FileReader(const gguf::File& file, const os::TensorSource& source) : file_(file), source_(source) {}

  [[nodiscard]] bool is_one_of(std::initializer_list<std::string_view> names) const {
    return std::find(names.begin(), names.end(), architecture_) != names.end();
  }
  std::string key(std::string_view name) const { return fmt::format("{}.{}", architecture_, name); }

  /// 0 means "not set" for all numbers that are read by these.
  Result<std::size_t> find_uint(std::string_view name, std::size_t unset) const {
    WOOLLY_TRY(const auto value, file_.metadata.find_uint(key(name)));
    return value.value_or(0) != 0 ? static_cast<std::size_t>(*value) : unset;
  }
  Result<double> find_float(std::string_view name, double unset) const {
    WOOLLY_TRY(const auto value, file_.metadata.find_float(key(name)));
    return value.value_or(0) != 0 ? static_cast<double>(*value) : unset;
  }

  [[nodiscard]] bool has(const std::string& tensor) const { return file_.find_tensor(tensor) != nullptr; }

  /// What an architecture lets stand beside a matrix; a file may leave out each, and more than that is not read.
  struct Optional {
    bool has_bias = false;
    bool has_scale = false;
    bool scales_bias = false;
  };

  Result<Linear> read_linear(const std::string& name, std::size_t n_cols, std::size_t n_rows, Optional optional) {
    Linear linear{.n_rows = n_rows, .n_cols = n_cols, .weight = {}, .bias = {}};
    linear.scales_bias = optional.scales_bias;
    WOOLLY_TRY(linear.weight, read(name + ".weight", n_cols, n_rows));
    if (optional.has_bias) {
      WOOLLY_TRY(linear.bias, read_optional(name + ".bias", n_rows));
    }
    if (optional.has_scale) {
      WOOLLY_TRY(const std::vector<float> scale, read_optional(name + ".scale", 1));
      if (!scale.empty()) linear.scale = static_cast<double>(scale[0]);
    }
    return linear;
  }

  /// A vector, or an empty one where the file has none of that name.
  Result<std::vector<float>> read_optional(const std::string& name, std::size_t n) {
    if (file_.find_tensor(name) == nullptr) return std::vector<float>{};
    return read(name, n, 1);
  }

  Result<std::vector<float>> read(const std::string& name, std::size_t n_cols, std::size_t n_rows) {
    const gguf::TensorView* tensor = file_.find_tensor(name);
    if (tensor == nullptr) return Error{ErrorCode::kInvalidFile, fmt::format("{}: missing", name)};
    if (tensor->n_cols() != n_cols || tensor->n_rows() != n_rows) {
      return Error{ErrorCode::kInvalidFile, fmt::format("{}: {} rows of {}, expected {} of {}", name, tensor->n_rows(),
                                                        tensor->n_cols(), n_rows, n_cols)};
    }
    std::vector<std::byte> bytes(tensor->size);
    WOOLLY_CHECK(source_.read(tensor->file, tensor->offset, bytes));
    std::vector<float> values(n_rows * n_cols);
    const quant::DTypeInfo& type = quant::info(tensor->type);
    type.decode(bytes.data(), values.size() / type.block_k, values.data());
    return values;
  }

 protected:
  const gguf::File& file_;
  const os::TensorSource& source_;
  std::string_view architecture_;
};

}  // namespace woolly::reference
