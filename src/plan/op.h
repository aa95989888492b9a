// The closed set of operations that a plan is made of. Each is a fused step: what a thread does between two barriers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace woolly::plan {

/// Indexes into the plan's tables.
struct BufferId { std::uint32_t index = 0; };
struct MatrixId { std::uint32_t index = 0; };
struct VectorId { std::uint32_t index = 0; };

/// out[row] = table[token of row] * scale.
struct Embed {
  MatrixId table;
  float scale;
  BufferId out;
};

/// Root-mean-square norm of a step's input.
struct Norm {
  VectorId weight;
  float eps;
};

/// One matrix of a linear step: y = (W x) * scale * factor + bias.
struct Projection {
  MatrixId matrix;
  float factor = 1.0F;
  std::optional<VectorId> scale;  ///< One number.
  std::optional<VectorId> bias;
  std::size_t out_column = 0;     ///< Where its rows begin in the output's columns.
  std::optional<BufferId> gate{}; ///< [rows, 1]: its sigmoid multiplies y (kAdd).
};

enum class Epilogue : std::uint8_t {
  kStore,          ///< out = y.
  kAdd,            ///< out += y: the residual.
  kSoftCap,        ///< out = soft_cap * tanh(y / soft_cap).
  kSwiGlu,         ///< out = silu(y of the first projection) * y of the second.
  kGeGlu,          ///< out = gelu(y of the first projection) * y of the second.
  kClampedSwiGlu,  ///< SwiGLU of gpt-oss: kernels::KernelTable::clamped_swiglu.
};

/// Whether two projections of the same shape become one result.
constexpr bool is_gated(Epilogue epilogue) { return epilogue >= Epilogue::kSwiGlu; }

/// Norm (if any) and quantization of the input once, then all matrices that read it, then the epilogue.
struct Linear {
  BufferId in;
  std::optional<Norm> norm;
  std::vector<Projection> projections;  ///< kAdd: one; gated: two of the same shape.
  Epilogue epilogue;
  BufferId out;
  float soft_cap = 0.0F;  ///< kSoftCap.
};

/// A matrix of each head, multiplied by the first columns of the head in `in`: out[row][head] = W of the head · in[row][head].
/// What is left of the head stands behind in `out` too.
struct LinearHeads {
  BufferId in;
  MatrixId matrices;  ///< A stack, a matrix of each head.
  BufferId out;
};

/// Which angles a layer's queries and keys are turned by.
enum class Rotation : std::uint8_t {
  kRope,        ///< Those of Spec::rope.
  kWindowRope,  ///< Those of Spec::window_rope.
  kNone,
};

/// Query and key norm (if any), rotary embedding, append to the cache, attention.
struct Attend {
  BufferId queries, keys;  ///< [rows, n_heads * head_dim], with gates twice as much, and [rows, n_kv_heads * head_dim].
  BufferId values;         ///< [rows, n_kv_heads * value_dim]; may be columns of the keys.
  BufferId out;            ///< [rows, n_heads * value_dim].
  std::uint32_t layer = 0;  ///< Of the cache; GraphBuilder counts.
  std::optional<Norm> query_norm{}, key_norm{};  ///< Per head.
  Rotation rotation = Rotation::kRope;
  std::uint32_t window = 0;           ///< Positions that a query sees, its own included; 0: all.
  std::optional<VectorId> sinks{};    ///< [n_heads]: logits of one more key without a value.
  std::optional<BufferId> shared_key{};  ///< What every head's key ends with, before its rotary embedding.
  bool has_gates = false;  ///< Behind each head's query are as many elements, whose sigmoid multiplies what comes out.
};

enum class Convolution : std::uint8_t {
  kGated,  ///< in [rows, 3 width] is b, c and x; out = c * (convolution of b * x). What is convolved takes the place of x.
  kSilu,   ///< in [rows, width] is x; out = silu(convolution of x + bias).
};

/// Convolution over positions, each column by itself: of the position's own and those before it, as many as there are
/// taps. The inputs of the last positions are state, [n_taps - 1, width].
struct Convolve {
  BufferId in, out;  ///< `out` [rows, width].
  Convolution form;
  VectorId taps;     ///< [width, n_taps], that of the position's own last.
  std::optional<VectorId> bias;  ///< [width]; kSilu.
  std::uint32_t n_taps = 0;      ///< At most kMaxConvolutionTaps.
  std::uint64_t state = 0;       ///< Where it is in the state of a sequence, in floats; GraphBuilder places it.
};
inline constexpr std::uint32_t kMaxConvolutionTaps = 16;

enum class Recurrence : std::uint8_t {
  kDeltaRule,   ///< Gated DeltaNet (https://arxiv.org/abs/2412.06464): keys and queries have length one.
  kStateSpace,  ///< Mamba-2 (https://arxiv.org/abs/2405.21060).
};

/// A matrix S [key_dim, value_dim] of each head, from position to position (kernels::RecurrenceTask):
///
///   s = softplus(step + step_bias), decay = e^(rate * s)
///   kDeltaRule:  S = decay * S + k (sigmoid(weight) * (v - decay * Sᵀk))ᵀ, y = norm(Sᵀq / sqrt(key_dim))
///   kStateSpace: S = decay * S + k (s * v)ᵀ, y = Sᵀq + skip * v
///   out = silu(gate) * y
struct Recur {
  Recurrence rule;
  std::size_t n_heads, key_dim;
  BufferId keys, queries;           ///< [rows, key heads * key_dim].
  BufferId values, gates, out;      ///< [rows, n_heads * value_dim].
  BufferId steps;                   ///< Of each head a column: of `heads_of_group` heads consecutive ones, groups ...
  std::optional<BufferId> weights;  ///< ... `group_stride` apart.
  std::size_t heads_of_group, group_stride;
  bool key_heads_repeat;            ///< Head i has key head i modulo their number; else consecutive heads share one.
  VectorId step_bias, rates;        ///< [n_heads].
  std::optional<VectorId> skips{};  ///< [n_heads].
  std::optional<Norm> norm{};       ///< Of each head: [value_dim].
  float length_eps = 0.0F;          ///< kDeltaRule: k = key / sqrt(|key|² + length_eps).
  std::uint64_t state = 0;          ///< As that of Convolve: [n_heads, columns / kStateColumns, key_dim, kStateColumns].
};

/// Root-mean-square norm of a row, by itself: out = norm(in), or out += norm(in).
struct Normalize {
  BufferId in, out;  ///< Of one width.
  Norm norm;         ///< Its weight is of the whole row.
  bool adds = false;
  std::size_t n_groups = 1;  ///< So many equal parts of a row are normed each by itself.
};

/// The matrices of all experts, in one tensor of the file: y = (W of the expert x) * (scale of the expert) + its bias.
struct ExpertMatrix {
  MatrixId matrix;
  std::optional<VectorId> scale;   ///< One number for each expert.
  std::optional<VectorId> bias{};  ///< [experts.n, n_rows].
};

/// Norm and quantization of the input once, for all that read it; then the router's logits of the experts.
struct Route {
  BufferId in;
  Norm norm;
  MatrixId router;
  std::optional<VectorId> bias;            ///< [experts.n].
  std::optional<VectorId> selection_bias;  ///< [experts.n]; see model::Experts.
  std::optional<MatrixId> shared_gate{};   ///< One row: what it gives stands behind the logits.
  MatrixId gate, up;  ///< Of the ExpertsUp that follows: it reads the same input.
  BufferId out;       ///< [rows, experts.n], and one more column with `shared_gate`.
};

/// Chooses the experts of each row; then out[row][rank] is the epilogue of gate x and up x, of the row's expert of that rank.
struct ExpertsUp {
  BufferId logits;  ///< Of the Route before, ...
  std::optional<VectorId> selection_bias;  ///< ... and so is this.
  ExpertMatrix gate, up;
  Epilogue epilogue;  ///< A gated one.
  BufferId out;  ///< [rows, experts.n_used * experts.ffn_dim].
};

/// out[row] += Σ_rank weight[row][rank] * (down in[row][rank]), in order of rank.
struct ExpertsDown {
  BufferId in;
  ExpertMatrix down;
  BufferId out;
};

/// Keeps only the rows whose logits are wanted, in all buffers that live on.
struct SelectRows {
  std::vector<BufferId> buffers;
};

using Op = std::variant<Embed, Linear, LinearHeads, Attend, Convolve, Recur, Normalize, Route, ExpertsUp, ExpertsDown, SelectRows>;

struct Step {
  std::string name;  ///< As in "blk.3.qkv".
  Op op;
};

}  // namespace woolly::plan
