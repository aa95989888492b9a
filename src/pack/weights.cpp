#include "pack/weights.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <optional>
#include <vector>

#include "base/checked.h"
#include "kernels/panel_format.h"
#include "quant/dtype.h"

namespace woolly::pack {
namespace {

/// Bytes that a thread reads and packs at once: large enough that the system call costs nothing, small enough that
/// what was read is still in the cache when it is packed.
constexpr std::uint64_t kPieceBytes = 1U << 20U;

/// Consecutive panels of one matrix.
struct Piece {
  const plan::PackedMatrix* matrix;
  std::size_t first_panel, n_panels;
};

std::uint64_t row_bytes(const plan::PackedMatrix& matrix) { return matrix.tensor->size / matrix.n_rows; }

std::vector<Piece> cut(const plan::Plan& plan, std::uint64_t* largest) {
  std::vector<Piece> pieces;
  *largest = 1;
  for (const plan::PackedMatrix& matrix : plan.matrices) {
    const std::uint64_t panel_bytes = row_bytes(matrix) * kernels::kPanelRows;
    const auto at_once = static_cast<std::size_t>(std::max<std::uint64_t>(1, kPieceBytes / panel_bytes));
    for (std::size_t panel = 0; panel < matrix.n_panels(); panel += at_once) {
      pieces.push_back({&matrix, panel, std::min(at_once, matrix.n_panels() - panel)});
    }
    *largest = std::max(*largest, panel_bytes * std::min(at_once, matrix.n_panels()));
  }
  return pieces;
}

/// The file bytes of rows of a matrix: mapped, or read to `buffer`.
Result<const std::byte*> fetch(const os::TensorSource& source, const gguf::TensorView& tensor, std::uint64_t offset,
                               std::uint64_t bytes, std::byte* buffer) {
  const std::span<const std::byte> mapped = source.mapped(tensor.file);
  if (!mapped.empty()) return mapped.data() + tensor.offset + offset;
  WOOLLY_CHECK(source.read(tensor.file, tensor.offset + offset, {buffer, static_cast<std::size_t>(bytes)}));
  return buffer;
}

Status pack_piece(const os::TensorSource& source, const Piece& piece, std::byte* buffer, std::byte* out) {
  const plan::PackedMatrix& matrix = *piece.matrix;
  const std::uint64_t stride = row_bytes(matrix);
  const std::size_t first_row = piece.first_panel * kernels::kPanelRows;
  const auto n_rows = static_cast<std::size_t>(
      std::min<std::uint64_t>(piece.n_panels * kernels::kPanelRows, matrix.n_rows - first_row));
  WOOLLY_TRY(const std::byte* rows, fetch(source, *matrix.tensor, first_row * stride, n_rows * stride, buffer));
  for (std::size_t i = 0; i < piece.n_panels; ++i) {
    const std::size_t row = i * kernels::kPanelRows;
    auto* panel = reinterpret_cast<std::uint8_t*>(out + matrix.offset + (piece.first_panel + i) * matrix.panel_stride);
    kernels::pack_panel(matrix.tensor->type, rows + row * stride, stride, std::min(kernels::kPanelRows, n_rows - row),
                        matrix.n_cols, panel);
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
    if (vector.multiplier == nullptr) continue;
    float multiplier = 1.0F;
    WOOLLY_CHECK(read_floats(source, *vector.multiplier, &multiplier));
    for (std::uint64_t i = 0; i < vector.n; ++i) values[i] *= multiplier;
  }
  return {};
}

}  // namespace

Result<Weights> fulfil(const plan::Plan& plan, const os::TensorSource& source, os::ThreadPool& pool) {
  WOOLLY_TRY(os::Memory memory, os::Memory::reserve(plan.weight_bytes, "weights"));
  std::uint64_t largest = 0;
  const std::vector<Piece> pieces = cut(plan, &largest);
  const std::uint64_t buffer_bytes = base::round_up(largest, 4096);
  WOOLLY_TRY(os::Memory buffers, os::Memory::reserve(buffer_bytes * pool.size(), "reading weights"));

  std::atomic<std::size_t> next{0};
  std::mutex error_mutex;
  std::optional<Error> error;
  pool.run([&](std::size_t thread) {
    for (std::size_t i = next.fetch_add(1); i < pieces.size(); i = next.fetch_add(1)) {
      Status status = pack_piece(source, pieces[i], buffers.data() + thread * buffer_bytes, memory.data());
      if (status) continue;
      const std::scoped_lock lock(error_mutex);
      if (!error) error = std::move(status).error();
      next.store(pieces.size());
    }
  });
  if (error) return std::move(*error);
  WOOLLY_CHECK(pack_vectors(plan, source, memory.data()));
  return Weights(std::move(memory));
}

std::size_t Weights::row_scratch_bytes(const plan::PackedMatrix& matrix) noexcept {
  return static_cast<std::size_t>(row_bytes(matrix));
}

void Weights::decode_row(const plan::PackedMatrix& matrix, std::size_t row, std::byte* scratch,
                         float* out) const noexcept {
  const auto n_cols = static_cast<std::size_t>(matrix.n_cols);
  const quant::DTypeInfo& info = quant::info(matrix.tensor->type);
  kernels::unpack_row(info.type, panel(matrix, row / kernels::kPanelRows), row % kernels::kPanelRows, n_cols, scratch);
  info.decode(scratch, n_cols / info.block_k, out);
}

}  // namespace woolly::pack
