#include "quantize/quantize.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string_view>
#include <vector>

#include "gguf/printable.h"
#include "gguf/write.h"
#include "quant/encode.h"

namespace woolly::quantize {
namespace {

using quant::DType;
using quant::DTypeInfo;

/// Weights that are read, encoded and written at once.
constexpr std::uint64_t kPieceWeights = 4U << 20U;

bool is_float(DType type) { return type == DType::kF32 || type == DType::kF16 || type == DType::kBF16; }

struct Squares {
  double errors = 0, weights = 0;
};

class Rewriter {
 public:
  Rewriter(const os::TensorSource& source, os::ThreadPool& pool, const Sink& sink)
      : source_(source), pool_(pool), sink_(sink) {}

  /// `importance` is that of the columns of each matrix, or empty.
  Status rewrite(const gguf::TensorView& tensor, DType type, std::span<const float> importance) {
    importance_ = importance;
    ones_.assign(importance.empty() ? tensor.n_cols() : 0, 1.0F);
    const std::uint64_t n_cols = tensor.n_cols(), at_once = std::max<std::uint64_t>(1, kPieceWeights / n_cols);
    for (std::uint64_t row = 0; row < tensor.n_rows(); row += at_once) {
      const std::uint64_t n = std::min(at_once, tensor.n_rows() - row), stride = tensor.size / tensor.n_rows();
      in_.resize(n * stride);
      WOOLLY_CHECK(source_.read(tensor.file, tensor.offset + row * stride, in_));
      if (type == tensor.type) {
        WOOLLY_CHECK(sink_(in_));
      } else {
        WOOLLY_CHECK(encode_rows(tensor, type, row, n));
        WOOLLY_CHECK(sink_(out_));
      }
    }
    return {};
  }

  [[nodiscard]] double relative_error() const { return all_.weights > 0 ? std::sqrt(all_.errors / all_.weights) : 0.0; }

 private:
  /// The rows in `in_` to `out_`.
  Status encode_rows(const gguf::TensorView& tensor, DType type, std::uint64_t first_row, std::uint64_t n_rows) {
    const DTypeInfo& from = quant::info(tensor.type);
    const DTypeInfo& to = quant::info(type);
    const quant::Encode encode = quant::find_encoder(type);
    const std::uint64_t n_cols = tensor.n_cols();
    const std::size_t in_stride = n_cols / from.block_k * from.block_bytes, out_stride = n_cols / to.block_k * to.block_bytes;
    out_.resize(n_rows * out_stride);
    weights_.resize(n_rows * n_cols);
    decoded_.resize(n_rows * n_cols);
    rows_.assign(n_rows, {});
    pool_.parallel_for(n_rows, 1, [&](std::size_t begin, std::size_t end) {
      for (std::size_t row = begin; row < end; ++row) {
        float* x = weights_.data() + row * n_cols;
        float* back = decoded_.data() + row * n_cols;
        from.decode(in_.data() + row * in_stride, n_cols / from.block_k, x);
        for (std::size_t i = 0; i < n_cols; ++i) rows_[row].weights += static_cast<double>(x[i]) * static_cast<double>(x[i]);
        if (!std::isfinite(rows_[row].weights)) continue;
        const std::uint64_t matrix = (first_row + row) / tensor.shape[1];
        const float* w = importance_.empty() ? ones_.data() : importance_.data() + matrix * n_cols;
        encode(x, w, n_cols / to.block_k, out_.data() + row * out_stride);
        to.decode(out_.data() + row * out_stride, n_cols / to.block_k, back);
        for (std::size_t i = 0; i < n_cols; ++i) {
          const double error = static_cast<double>(x[i]) - static_cast<double>(back[i]);
          rows_[row].errors += error * error;
        }
      }
    });
    for (std::size_t row = 0; row < n_rows; ++row) {
      const auto fail = [&](ErrorCode code, std::string_view what) {
        return Error{code, fmt::format("tensor {}, row {}: {}", gguf::printable(tensor.name), first_row + row, what)};
      };
      if (!std::isfinite(rows_[row].weights)) return fail(ErrorCode::kInvalidFile, "a weight that is not finite");
      if (!std::isfinite(rows_[row].errors)) {
        return fail(ErrorCode::kInvalidArgument, fmt::format("a weight too large for {}", to.name));
      }
      all_.errors += rows_[row].errors;
      all_.weights += rows_[row].weights;
    }
    return {};
  }

  const os::TensorSource& source_;
  os::ThreadPool& pool_;
  const Sink& sink_;
  std::vector<std::byte> in_, out_;
  std::vector<float> weights_, decoded_, ones_;
  std::span<const float> importance_;
  std::vector<Squares> rows_;
  Squares all_;
};

/// The metadata of a single file of another type. `file_type` must outlive it.
gguf::Metadata metadata_of(const gguf::File& file, const std::uint32_t& file_type) {
  gguf::Metadata metadata;
  for (const gguf::Metadata::Entry& entry : file.metadata.entries()) {
    if (entry.key == "general.file_type" || entry.key.starts_with("split.")) continue;
    metadata.add(entry.key, entry.value);
  }
  metadata.add("general.file_type", {gguf::ValueType::kU32, gguf::ValueType::kU32, 1, std::as_bytes(std::span(&file_type, 1)), {}});
  static constexpr std::uint32_t kVersion = 2;  // of the block formats: ggml.h GGML_QNT_VERSION
  if (!metadata.has("general.quantization_version")) {
    metadata.add("general.quantization_version",
                 {gguf::ValueType::kU32, gguf::ValueType::kU32, 1, std::as_bytes(std::span(&kVersion, 1)), {}});
  }
  return metadata;
}

}  // namespace

Result<Summary> quantize(const os::TensorSource& source, const gguf::File& file, const Mix& mix, const Options& options,
                         os::ThreadPool& pool, const Sink& sink) {
  const std::vector<DType> types = choose_types(file, mix);
  std::vector<gguf::TensorView> tensors(file.tensors().begin(), file.tensors().end());
  Summary summary;
  std::uint64_t n_weights = 0, n_bytes = 0;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const DTypeInfo& old = quant::info(tensors[i].type);
    if (types[i] != tensors[i].type && !is_float(tensors[i].type) && !options.allow_requantizing) {
      return Error{ErrorCode::kInvalidArgument, fmt::format("tensor {} is {}, expected F32, F16 or BF16: what is quantized "
                                                            "already gets worse (--requantize allows it)",
                                                            gguf::printable(tensors[i].name), old.name)};
    }
    tensors[i].type = types[i];
    const DTypeInfo& type = quant::info(types[i]);
    n_weights += tensors[i].n_cols() * tensors[i].n_rows();
    n_bytes += tensors[i].n_cols() / type.block_k * type.block_bytes * tensors[i].n_rows();
  }
  const gguf::Metadata metadata = metadata_of(file, mix.file_type);
  const gguf::Layout layout = gguf::lay_out(metadata, tensors);
  summary.file_bytes = layout.file_size;
  summary.bits_per_weight = n_weights > 0 ? 8 * static_cast<double>(n_bytes) / static_cast<double>(n_weights) : 0.0;

  WOOLLY_CHECK(sink(layout.header));
  Rewriter rewriter(source, pool, sink);
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    WOOLLY_TRY(const std::span<const float> importance, options.importance.find(tensors[i]));
    WOOLLY_CHECK(rewriter.rewrite(file.tensors()[i], types[i], importance));
    const DTypeInfo& type = quant::info(types[i]);
    const std::uint64_t end =
        layout.offsets[i] + tensors[i].n_cols() / type.block_k * type.block_bytes * tensors[i].n_rows();
    const std::uint64_t next = i + 1 < tensors.size() ? layout.offsets[i + 1] : layout.file_size;
    WOOLLY_CHECK(sink(std::vector<std::byte>(next - end)));
  }
  summary.relative_error = rewriter.relative_error();
  return summary;
}

}  // namespace woolly::quantize
