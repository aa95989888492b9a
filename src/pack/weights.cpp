#include "pack/weights.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <optional>
#include <vector>

#include "base/assert.h"
#include "base/checked.h"
#include "kernels/panel_format.h"
#include "quant/dtype.h"

namespace woolly::pack {
namespace {

/// Bytes that a thread reads and packs at once: enough that the system call costs nothing; and what was read and what it
/// becomes both stay in a second-level cache of 1 MiB.
constexpr std::uint64_t kPieceBytes = 256U << 10U;
/// Bytes that a thread packs before it takes its next share: several huge pages. Threads whose places were near each other
/// would come upon an untouched huge page at the same time, and each would clear one for it.
constexpr std::uint64_t kShareBytes = 8U << 20U;

/// Consecutive panels of one matrix; through a stack they are counted on.
struct Panels {
  const plan::PackedMatrix* matrix;
  std::size_t first, n;
};

std::uint64_t row_bytes(const plan::PackedMatrix& matrix) { return matrix.tensor->size / matrix.tensor->n_rows(); }
std::uint64_t panel_bytes(const plan::PackedMatrix& matrix) { return row_bytes(matrix) * kernels::kPanelRows; }

std::size_t n_panels_of_all(const plan::PackedMatrix& matrix) {
  return static_cast<std::size_t>(matrix.n) * matrix.n_panels();
}

/// Panels that have about `bytes` bytes together.
std::size_t panels_in(std::uint64_t bytes, const plan::PackedMatrix& matrix) {
  return static_cast<std::size_t>(std::max<std::uint64_t>(1, bytes / panel_bytes(matrix)));
}

std::vector<Panels> cut(const Panels& panels, std::uint64_t bytes) {
  const std::size_t at_once = panels_in(bytes, *panels.matrix);
  std::vector<Panels> pieces;
  for (std::size_t i = 0; i < panels.n; i += at_once) {
    pieces.push_back({panels.matrix, panels.first + i, std::min(at_once, panels.n - i)});
  }
  return pieces;
}

/// Panels of the matrix `index` of a stack, counted from its first.
Status pack_piece(const os::TensorSource& source, std::size_t index, const Panels& piece, std::byte* buffer,
                  std::byte* out) {
  const plan::PackedMatrix& matrix = *piece.matrix;
  const std::uint64_t stride = row_bytes(matrix);
  const std::size_t first_row = piece.first * kernels::kPanelRows;
  const auto n_rows =
      static_cast<std::size_t>(std::min<std::uint64_t>(piece.n * kernels::kPanelRows, matrix.n_rows - first_row));
  const std::uint64_t from = matrix.tensor->offset + (matrix.first_row + index * matrix.rows_apart() + first_row) * stride;
  WOOLLY_CHECK(source.read(matrix.tensor->file, from, {buffer, n_rows * stride}));
  out += matrix.offset + index * matrix.stride;
  for (std::size_t i = 0; i < piece.n; ++i) {
    const std::size_t row = i * kernels::kPanelRows;
    auto* panel = reinterpret_cast<std::uint8_t*>(out + (piece.first + i) * matrix.panel_stride);
    matrix.kernel->pack(reinterpret_cast<const std::uint8_t*>(buffer) + row * stride, stride,
                        std::min(kernels::kPanelRows, n_rows - row), static_cast<std::size_t>(matrix.n_cols), panel);
  }
  return {};
}

Status pack_share(const os::TensorSource& source, const Panels& share, std::byte* buffer, std::byte* out) {
  const std::size_t n = share.matrix->n_panels();
  for (std::size_t at = share.first; at < share.first + share.n;) {
    const std::size_t of_matrix = std::min(share.first + share.n - at, n - at % n);
    for (const Panels& piece : cut({share.matrix, at % n, of_matrix}, kPieceBytes)) {
      WOOLLY_CHECK(pack_piece(source, at / n, piece, buffer, out));
    }
    at += of_matrix;
  }
  return {};
}

/// Reads a small tensor as float32.
Status read_floats(const os::TensorSource& source, const gguf::TensorView& tensor, float* out) {
  std::vector<std::byte> bytes(static_cast<std::size_t>(tensor.size));
  WOOLLY_CHECK(source.read(tensor.file, tensor.offset, bytes));
  const quant::DTypeInfo& info = quant::info(tensor.type);
  info.decode(bytes.data(), bytes.size() / info.block_bytes, out);
  return {};
}

Status pack_vectors(const plan::Plan& plan, const os::TensorSource& source, std::byte* out) {
  for (const plan::PackedVector& vector : plan.vectors) {
    auto* values = reinterpret_cast<float*>(out + vector.offset);
    WOOLLY_CHECK(read_floats(source, *vector.tensor, values));
    if (vector.multiplier == nullptr && vector.factor == 1.0F) continue;
    float multiplier = 1.0F;
    if (vector.multiplier != nullptr) WOOLLY_CHECK(read_floats(source, *vector.multiplier, &multiplier));
    multiplier *= vector.factor;
    for (std::uint64_t i = 0; i < vector.n; ++i) values[i] *= multiplier;
  }
  return {};
}

/// Reads and packs all matrices, on all threads.
Status pack_matrices(const plan::Plan& plan, const os::TensorSource& source, os::ThreadPool& pool, std::byte* out) {
  std::vector<Panels> shares;
  std::uint64_t largest_piece = 1;
  for (const plan::PackedMatrix& matrix : plan.matrices) {
    for (const Panels& share : cut({&matrix, 0, n_panels_of_all(matrix)}, kShareBytes)) shares.push_back(share);
    largest_piece = std::max(largest_piece, panel_bytes(matrix) * panels_in(kPieceBytes, matrix));
  }
  const std::uint64_t buffer_bytes = base::round_up(largest_piece, 4096);
  WOOLLY_TRY(os::Memory buffers, os::Memory::reserve(buffer_bytes * pool.size(), "reading weights"));

  std::atomic<std::size_t> next{0};
  std::mutex error_mutex;
  std::optional<Error> error;
  pool.run([&](std::size_t thread) {
    for (std::size_t i = next.fetch_add(1); i < shares.size(); i = next.fetch_add(1)) {
      Status status = pack_share(source, shares[i], buffers.data() + thread * buffer_bytes, out);
      if (status) continue;
      const std::scoped_lock lock(error_mutex);
      if (!error) error = std::move(status).error();
      next.store(shares.size());
    }
  });
  if (error) return std::move(*error);
  return {};
}

}  // namespace

Result<Weights> fulfil(const plan::Plan& plan, os::TensorSource source, os::ThreadPool& pool) {
  WOOLLY_TRY(os::Memory memory, os::Memory::reserve(plan.weight_bytes, "weights"));
  WOOLLY_CHECK(pack_vectors(plan, source, memory.data()));
  if (plan.matrix_place == plan::MatrixPlace::kFile) {
    WOOLLY_ASSERT(!source.mapped(0).empty());
    return Weights(std::move(memory), std::move(source));
  }
  WOOLLY_CHECK(pack_matrices(plan, source, pool, memory.data()));
  return Weights(std::move(memory));
}

MatrixBytes Weights::matrix(const plan::PackedMatrix& matrix) const noexcept {
  if (!mapped_) {
    return {reinterpret_cast<const std::uint8_t*>(memory_.data() + matrix.offset),
            static_cast<std::size_t>(matrix.panel_stride), 0, static_cast<std::size_t>(matrix.stride)};
  }
  const auto stride = static_cast<std::size_t>(row_bytes(matrix));
  const std::byte* rows = mapped_->mapped(matrix.tensor->file).data() + matrix.tensor->offset + matrix.first_row * stride;
  return {reinterpret_cast<const std::uint8_t*>(rows), stride * kernels::kPanelRows, stride,
          stride * static_cast<std::size_t>(matrix.rows_apart())};
}

std::size_t Weights::row_scratch_bytes(const plan::PackedMatrix& matrix) noexcept {
  return kernels::panel_bytes(matrix.tensor->type, static_cast<std::size_t>(matrix.n_cols)) / kernels::kPanelRows;
}

void Weights::decode_row(const plan::PackedMatrix& matrix, std::size_t row, std::byte* scratch,
                         float* out) const noexcept {
  const auto n_cols = static_cast<std::size_t>(matrix.n_cols);
  const quant::DTypeInfo& info = quant::info(matrix.tensor->type);
  const MatrixBytes bytes = this->matrix(matrix);
  if (bytes.row_stride != 0) {
    const auto* from = reinterpret_cast<const std::byte*>(bytes.data + row * bytes.row_stride);
    return info.decode(from, n_cols / info.block_k, out);
  }
  const auto n_rows = static_cast<std::size_t>(matrix.n_rows);
  const std::uint8_t* panel =
      bytes.data + row / n_rows * bytes.stride + row % n_rows / kernels::kPanelRows * bytes.panel_stride;
  kernels::unpack_row(info.type, panel, row % n_rows % kernels::kPanelRows, n_cols, scratch);
  const auto decode = info.flat.block_bytes != 0 ? info.flat.decode : info.decode;
  decode(scratch, n_cols / info.block_k, out);
}

}  // namespace woolly::pack
