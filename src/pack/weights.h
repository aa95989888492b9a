// Stage 5: the packed weights of a model, one copy in memory.
#pragma once

#include <cstddef>
#include <cstdint>

#include "gguf/gguf.h"
#include "os/memory.h"
#include "os/tensor_source.h"
#include "os/thread_pool.h"
#include "plan/compile.h"
#include "woolly/error.h"

namespace woolly::pack {

/// Owns the packed bytes of a plan's matrices and vectors. Immutable: any thread may read.
class Weights {
 public:
  explicit Weights(os::Memory memory) : memory_(std::move(memory)) {}

  [[nodiscard]] const std::uint8_t* panel(const plan::PackedMatrix& matrix, std::size_t panel) const {
    return reinterpret_cast<const std::uint8_t*>(memory_.data()) + matrix.offset + panel * matrix.panel_stride;
  }
  [[nodiscard]] const float* vector(const plan::PackedVector& vector) const {
    return reinterpret_cast<const float*>(memory_.data() + vector.offset);
  }
  [[nodiscard]] std::uint64_t bytes() const noexcept { return memory_.size(); }

  /// Row `row` of a matrix as `n_cols` floats; `scratch` holds row_scratch_bytes(matrix).
  void decode_row(const plan::PackedMatrix& matrix, std::size_t row, std::byte* scratch, float* out) const noexcept;
  static std::size_t row_scratch_bytes(const plan::PackedMatrix& matrix) noexcept;

 private:
  os::Memory memory_;
};

/// Reads every tensor that `plan` wants, in pieces, and packs it, on all threads of `pool`. Errors are those of
/// reading (naming the file) and of memory.
Result<Weights> fulfil(const plan::Plan& plan, const os::TensorSource& source, os::ThreadPool& pool);

}  // namespace woolly::pack
