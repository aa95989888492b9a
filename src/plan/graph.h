// What an architecture's recipe writes: steps over named tensors, checked against the file as they are written.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gguf/gguf.h"
#include "model/spec.h"
#include "plan/op.h"
#include "woolly/error.h"

namespace woolly::plan {

/// A matrix of the file, [n_rows, n_cols]: a stack of `n` of them, or some rows of a tensor or of each matrix of its stack.
/// The view's owner is the gguf::File.
struct Matrix {
  const gguf::TensorView* tensor;
  std::uint64_t n = 1;
  std::uint64_t first_row = 0;  ///< Where it begins in the tensor, or in the matrix of the stack.
  std::uint64_t n_rows = 0;     ///< Of one matrix.
};

/// A vector of the file as float32, times a factor and a number of the file if there is one.
struct Vector {
  const gguf::TensorView* tensor;
  std::uint64_t n = 0;  ///< Elements.
  const gguf::TensorView* multiplier = nullptr;  ///< One element; nullptr: 1.
  float factor = 1.0F;
};

/// A buffer of activations, [rows, width] float32, rows `stride()` floats apart, or some columns of another.
struct Buffer {
  std::string name;
  std::uint64_t width;
  bool has_only_logit_rows = false;  ///< Rows are those whose logits are wanted.
  std::optional<BufferId> whole{};   ///< Of which it is the columns from `column` on, ...
  std::uint64_t column = 0;
  std::uint64_t whole_width = width; ///< ... and the width of that.

  /// An odd number of lines of 64 bytes. What a panel writes is a line or two of every row, and rows a power of two apart
  /// share a few sets of every cache, where they evict each other before they are read.
  [[nodiscard]] std::uint64_t stride() const { return (whole_width + 15) / 16 * 16 | 16U; }
};

/// Everything between facts and kernels.
struct Graph {
  model::Spec spec;
  std::vector<Matrix> matrices;
  std::vector<Vector> vectors;
  std::vector<Buffer> buffers;
  std::vector<Step> steps;
  std::optional<VectorId> rope_factors, long_rope_factors;
  BufferId logits;
  std::uint32_t n_kv_layers = 0;   ///< Layers of the cache.
  std::uint64_t state_floats = 0;  ///< Of each sequence: what recurrent layers keep, zero at the beginning.
};

/// How the per-tensor scale of a projection (`<name>.scale`) combines with its bias.
enum class ScaleOrder : std::uint8_t {
  kIgnore,      ///< There is no such scale in this architecture.
  kBeforeBias,  ///< (W x) * scale + bias.
  kAfterBias,   ///< (W x + bias) * scale.
};

/// Where a projection's parts are looked for: `<name>.weight` (required), `<name>.bias` and `<name>.scale` (optional).
struct ProjectionSpec {
  std::string name;
  std::uint64_t n_rows;
  bool may_have_bias = false;
  ScaleOrder scale = ScaleOrder::kIgnore;
  float factor = 1.0F;         ///< Multiplies what comes out, the bias too.
  std::uint64_t first_row = 0; ///< Where the file has it as some rows of a larger matrix: ...
  std::uint64_t of_rows = 0;   ///< ... of so many; 0: all are its own.
  std::optional<BufferId> gate{};         ///< Projection::gate.
  std::optional<std::uint64_t> column{};  ///< Of `out`, with which its rows begin; none: the one behind those before.
};

/// Where the parts of a layer's experts are looked for: `<name>.weight`, and `<name>.scale` but for the router.
struct ExpertsSpec {
  std::string steps;  ///< What the names of the steps begin with.
  std::string router, gate, up, down;
  std::string gate_and_up{};  ///< Where the file has this, the experts' rows of the gate and then those of up are one tensor.
  std::string shared_gate{};     ///< The matrix of one row whose result stands behind the router's; empty: none.
  std::string selection_bias{};  ///< `<name>.bias`, if the file has it: Route::selection_bias.
  bool may_have_scale = false;
  bool may_have_bias = false;
  Epilogue epilogue = Epilogue::kSwiGlu;
};

/// Writes a Graph. The first error sticks, so that recipes stay straight; `finish` returns it.
class GraphBuilder {
 public:
  /// Borrows `file`, which must outlive the Graph.
  GraphBuilder(model::Spec spec, const gguf::File& file);

  [[nodiscard]] const model::Spec& spec() const { return graph_.spec; }

  /// A buffer of activations.
  BufferId buffer(std::string name, std::uint64_t width);
  /// The columns [column, column + width) of a buffer.
  BufferId part(BufferId of, std::uint64_t column, std::uint64_t width);
  /// `<name>` as float32, exactly `n` elements; an error if it is missing.
  VectorId vector(const std::string& name, std::uint64_t n);
  std::optional<VectorId> optional_vector(const std::string& name, std::uint64_t n);
  /// The same of a tensor [n_rows, n_cols], row after row.
  VectorId table(const std::string& name, std::uint64_t n_cols, std::uint64_t n_rows);

  [[nodiscard]] bool has_tensor(const std::string& name) const { return file_.find_tensor(name) != nullptr; }

  void embed(const std::string& tensor, BufferId out);
  /// All `projections` of one input; their rows go to consecutive columns of `out`.
  void linear(std::string step, BufferId in, std::optional<Norm> norm, const std::vector<ProjectionSpec>& projections,
              Epilogue epilogue, BufferId out);
  /// A matrix of each head, in `<name>.weight` one after the other: of `n_heads` heads of `in`, whose first `n_cols` columns
  /// it multiplies, to `n_rows` columns of those of `out`; what is left of a head is carried over.
  void linear_heads(std::string step, BufferId in, std::uint64_t n_heads, std::uint64_t n_cols, const std::string& name,
                    std::uint64_t n_rows, BufferId out);
  void attend(std::string step, Attend op);
  /// The taps are `<taps>.weight`, [out's width, spec().conv_taps], the bias `<taps>.bias`.
  void convolve(std::string step, BufferId in, BufferId out, Convolution form, const std::string& taps, bool has_bias = false);
  void recur(std::string step, Recur op);
  void normalize(std::string step, Normalize op);
  /// Router and experts (spec().experts) of the norm of `x`, added to it. Gives what `shared_gate` makes of each row, if there
  /// is one.
  BufferId experts(const ExpertsSpec& names, BufferId x, Norm norm);
  void select_rows(std::vector<BufferId> buffers);
  /// Norm and output matrix: `tensor`, or the embedding table where the file has none; `<output>.bias` if allowed.
  void logits(BufferId in, Norm norm, bool may_have_bias);
  /// The tensors that divide the angles of the rotary embedding, where the spec names them and the file has them.
  void rope_factors();

  Result<Graph> finish();

 private:
  /// `n`: of a stack of matrices, 0 for one matrix.
  const gguf::TensorView* require(const std::string& name, std::uint64_t n_cols, std::uint64_t n_rows,
                                  std::uint64_t n = 0);
  MatrixId matrix(const gguf::TensorView* tensor, std::uint64_t n_rows, std::uint64_t n = 1, std::uint64_t first_row = 0);
  /// `of_rows`: of a matrix of the tensor, where those of the experts are some of its rows, from `first_row` on.
  ExpertMatrix expert_matrix(const ExpertsSpec& names, const std::string& name, std::uint64_t n_cols,
                             std::uint64_t n_rows, std::uint64_t of_rows, std::uint64_t first_row);
  void fail(Error error);
  /// Room in the state of a sequence.
  std::uint64_t place_state(std::uint64_t n_floats);

  const gguf::File& file_;
  Graph graph_;
  std::optional<Error> error_;
};

}  // namespace woolly::plan
