// How much the columns of matrices count: an importance matrix, as llama.cpp's llama-imatrix writes it. For each matrix it
// has the sum of the squares of what each column is multiplied by, over many tokens. The expected squared error of an output
// is then about Σ w (x - x')², with w the mean of the squares.
#pragma once

#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gguf/gguf.h"
#include "os/tensor_source.h"
#include "woolly/error.h"

namespace woolly::quantize {

class Importance {
 public:
  /// Nothing is known: all columns count the same.
  Importance() = default;

  /// From a GGUF file that has two tensors for a matrix NAME: NAME.in_sum2, [matrices of a stack, columns], and
  /// NAME.counts, [matrices], the tokens that each has seen. kInvalidFile names the tensor that is not so.
  static Result<Importance> read(const os::TensorSource& source);

  [[nodiscard]] bool is_empty() const noexcept { return of_.empty(); }

  /// The weights of the columns of each matrix of `tensor`, one matrix of a stack after the other, 1 on average; empty where
  /// nothing is known of it. kInvalidArgument where they are of another shape.
  [[nodiscard]] Result<std::span<const float>> find(const gguf::TensorView& tensor) const;

 private:
  std::map<std::string, std::vector<float>, std::less<>> of_;
};

}  // namespace woolly::quantize
