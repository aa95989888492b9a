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

/// out[row] = table[token of row].
struct Embed {
  MatrixId table;
  BufferId out;
};

/// Root-mean-square norm of a step's input.
struct Norm {
  VectorId weight;
  float eps;
};

/// One matrix of a linear step: y = (W x) * scale + bias.
struct Projection {
  MatrixId matrix;
  std::optional<VectorId> scale;  ///< One number.
  std::optional<VectorId> bias;
  std::size_t out_column = 0;     ///< Where its rows begin in the output's columns.
};

enum class Epilogue : std::uint8_t {
  kStore,   ///< out = y.
  kAdd,     ///< out += y: the residual.
  kSwiGlu,  ///< out = silu(y of the first projection) * y of the second.
};

/// Norm (if any) and quantization of the input once, then all matrices that read it, then the epilogue.
struct Linear {
  BufferId in;
  std::optional<Norm> norm;
  std::vector<Projection> projections;  ///< kAdd: one; kSwiGlu: two of the same shape.
  Epilogue epilogue;
  BufferId out;
};

/// Query and key norm (if any), rotary embedding, append to the cache, attention.
struct Attend {
  BufferId qkv;  ///< [rows, (n_heads + 2 n_kv_heads) * head_dim]: queries, keys, values.
  BufferId out;  ///< [rows, n_heads * head_dim].
  std::uint32_t layer;
  std::optional<Norm> query_norm, key_norm;  ///< Per head.
};

/// The matrices of all experts, in one tensor of the file: y = (W of the expert x) * (scale of the expert).
struct ExpertMatrix {
  MatrixId matrix;
  std::optional<VectorId> scale;  ///< One number for each expert.
};

/// Norm and quantization of the input once, for all that read it; then the router's logits of the experts.
struct Route {
  BufferId in;
  Norm norm;
  MatrixId router;
  MatrixId gate, up;  ///< Of the ExpertsUp that follows: it reads the same input.
  BufferId out;       ///< [rows, experts.n].
};

/// Chooses the experts of each row; then out[row][rank] = silu(gate x) * (up x), of the row's expert of that rank.
struct ExpertsUp {
  BufferId logits;  ///< Of the Route before.
  ExpertMatrix gate, up;
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

using Op = std::variant<Embed, Linear, Attend, Route, ExpertsUp, ExpertsDown, SelectRows>;

struct Step {
  std::string name;  ///< As in "blk.3.qkv".
  Op op;
};

}  // namespace woolly::plan
