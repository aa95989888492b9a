// Stage 5: the weights of a model, one copy in memory: packed, or as a mapped file has them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>

#include "gguf/gguf.h"
#include "os/memory.h"
#include "os/tensor_source.h"
#include "os/thread_pool.h"
#include "plan/compile.h"
#include "woolly/error.h"

namespace woolly::pack {

/// The bytes of a matrix, as panels (kernels/panel_format.h) or as rows of the file.
struct MatrixBytes {
  const std::uint8_t* data;  ///< Rows have any alignment.
  std::size_t panel_stride;  ///< From what belongs to one panel to what belongs to the next.
  std::size_t row_stride;    ///< From one row of the file to the next; 0: these are panels.
  std::size_t stride;        ///< From one matrix of a stack to the next.
};

/// Owns the packed bytes of a plan's vectors and of its matrices, or the mapping of the file that they stay in.
/// Immutable: any thread may read. What it gives lives as long as it; moving it leaves that where it is.
class Weights {
 public:
  explicit Weights(os::Memory memory, std::optional<os::TensorSource> mapped = std::nullopt)
      : memory_(std::move(memory)), mapped_(std::move(mapped)) {}

  [[nodiscard]] MatrixBytes matrix(const plan::PackedMatrix& matrix) const noexcept;
  [[nodiscard]] const float* vector(const plan::PackedVector& vector) const {
    return reinterpret_cast<const float*>(memory_.data() + vector.offset);
  }

  /// Row `row` of a matrix, counted on through a stack, as `n_cols` floats; `scratch` holds row_scratch_bytes(matrix).
  void decode_row(const plan::PackedMatrix& matrix, std::size_t row, std::byte* scratch, float* out) const noexcept;
  static std::size_t row_scratch_bytes(const plan::PackedMatrix& matrix) noexcept;

  /// kIo once something of the mapped file could not be read, so that what was computed from it is wrong.
  [[nodiscard]] Status check() const { return mapped_ ? mapped_->check_mapped() : Status{}; }

 private:
  os::Memory memory_;
  std::optional<os::TensorSource> mapped_;
};

/// Reads every tensor that `plan` wants, in pieces, and packs it, on all threads of `pool`. Where matrices stay in the
/// file, `source` must be mapped, and only vectors are read. Errors are those of reading (naming the file) and of memory.
Result<Weights> fulfil(const plan::Plan& plan, os::TensorSource source, os::ThreadPool& pool);

}  // namespace woolly::pack
