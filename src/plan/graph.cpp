#include "plan/graph.h"

#include <fmt/format.h>

#include <utility>

#include "base/checked.h"
#include "kernels/recurrence_kernel.h"

namespace woolly::plan {
namespace {

std::string shape_of(const gguf::TensorView& tensor) {
  std::string text;
  for (std::uint32_t i = 0; i < tensor.n_dims; ++i) text += fmt::format("{}{}", i == 0 ? "" : " x ", tensor.shape[i]);
  return text;
}

}  // namespace

GraphBuilder::GraphBuilder(model::Spec spec, const gguf::File& file) : file_(file) { graph_.spec = std::move(spec); }

void GraphBuilder::fail(Error error) {
  if (!error_) error_ = std::move(error);
}

const gguf::TensorView* GraphBuilder::require(const std::string& name, std::uint64_t n_cols, std::uint64_t n_rows,
                                              std::uint64_t n) {
  const gguf::TensorView* tensor = file_.find_tensor(name);
  if (tensor == nullptr) {
    fail({ErrorCode::kInvalidFile, fmt::format("tensor {} is missing", name)});
    return nullptr;
  }
  const bool is_stack = n > 0;
  const bool has_dims = tensor->n_dims <= 2 || (is_stack && tensor->n_dims == 3);
  const std::array<std::uint64_t, 4> shape{n_cols, n_rows, is_stack ? n : 1, 1};
  if (!has_dims || tensor->shape != shape) {
    std::string expected = fmt::format("{}", n_cols);
    if (n_rows != 1 || is_stack) expected += fmt::format(" x {}", n_rows);
    if (is_stack) expected += fmt::format(" x {}", n);
    fail({ErrorCode::kInvalidFile,
          fmt::format("tensor {} has shape {}, expected {}", name, shape_of(*tensor), expected)});
    return nullptr;
  }
  return tensor;
}

BufferId GraphBuilder::buffer(std::string name, std::uint64_t width) {
  graph_.buffers.push_back({.name = std::move(name), .width = width});
  return {static_cast<std::uint32_t>(graph_.buffers.size() - 1)};
}

BufferId GraphBuilder::part(BufferId of, std::uint64_t column, std::uint64_t width) {
  const Buffer& whole = graph_.buffers[of.index];
  graph_.buffers.push_back({.name = whole.name,
                            .width = width,
                            .has_only_logit_rows = whole.has_only_logit_rows,
                            .whole = whole.whole.value_or(of),
                            .column = whole.column + column,
                            .whole_width = whole.whole_width});
  return {static_cast<std::uint32_t>(graph_.buffers.size() - 1)};
}

VectorId GraphBuilder::vector(const std::string& name, std::uint64_t n) { return table(name, n, 1); }

VectorId GraphBuilder::table(const std::string& name, std::uint64_t n_cols, std::uint64_t n_rows) {
  graph_.vectors.push_back({require(name, n_cols, n_rows), n_cols * n_rows});
  return {static_cast<std::uint32_t>(graph_.vectors.size() - 1)};
}

std::optional<VectorId> GraphBuilder::optional_vector(const std::string& name, std::uint64_t n) {
  if (file_.find_tensor(name) == nullptr) return std::nullopt;
  return vector(name, n);
}

MatrixId GraphBuilder::matrix(const gguf::TensorView* tensor, std::uint64_t n_rows, std::uint64_t n,
                              std::uint64_t first_row) {
  for (std::size_t i = 0; i < graph_.matrices.size(); ++i) {  // a tied embedding is packed once
    const Matrix& other = graph_.matrices[i];
    if (other.tensor == tensor && other.first_row == first_row && other.n_rows == n_rows) {
      return {static_cast<std::uint32_t>(i)};
    }
  }
  graph_.matrices.push_back({tensor, n, first_row, n_rows});
  return {static_cast<std::uint32_t>(graph_.matrices.size() - 1)};
}

void GraphBuilder::embed(const std::string& tensor, BufferId out) {
  const gguf::TensorView* table = require(tensor, graph_.spec.hidden_dim, graph_.spec.vocab_size);
  graph_.steps.push_back({"embed", Embed{matrix(table, graph_.spec.vocab_size), graph_.spec.embedding_scale, out}});
}

void GraphBuilder::linear(std::string step, BufferId in, std::optional<Norm> norm,
                          const std::vector<ProjectionSpec>& projections, Epilogue epilogue, BufferId out) {
  Linear op{in, norm, {}, epilogue, out};
  const std::uint64_t n_cols = graph_.buffers[in.index].width;
  std::size_t column = 0;
  for (const ProjectionSpec& spec : projections) {
    const gguf::TensorView* tensor =
        require(spec.name + ".weight", n_cols, spec.of_rows == 0 ? spec.n_rows : spec.of_rows);
    Projection projection{matrix(tensor, spec.n_rows, 1, spec.first_row), spec.factor, {}, {}, spec.column.value_or(column), spec.gate};
    const gguf::TensorView* scale = spec.scale == ScaleOrder::kIgnore ? nullptr : file_.find_tensor(spec.name + ".scale");
    if (scale != nullptr) projection.scale = vector(spec.name + ".scale", 1);
    if (spec.may_have_bias) projection.bias = optional_vector(spec.name + ".bias", spec.n_rows);
    if (projection.bias) graph_.vectors[projection.bias->index].factor = spec.factor;
    if (projection.bias && scale != nullptr && spec.scale == ScaleOrder::kAfterBias) {
      graph_.vectors[projection.bias->index].multiplier = scale;  // (y + b) * s = y * s + b * s
    }
    op.projections.push_back(projection);
    if (!is_gated(epilogue)) column += spec.n_rows;
  }
  graph_.steps.push_back({std::move(step), std::move(op)});
}

void GraphBuilder::linear_heads(std::string step, BufferId in, std::uint64_t n_heads, std::uint64_t n_cols,
                                const std::string& name, std::uint64_t n_rows, BufferId out) {
  const MatrixId matrices = matrix(require(name + ".weight", n_cols, n_rows, n_heads), n_rows, n_heads);
  graph_.steps.push_back({std::move(step), LinearHeads{in, matrices, out}});
}

void GraphBuilder::attend(std::string step, Attend op) {
  op.layer = graph_.n_kv_layers++;
  graph_.steps.push_back({std::move(step), op});
}

void GraphBuilder::convolve(std::string step, BufferId in, BufferId out, Convolution form, const std::string& taps,
                            bool has_bias) {
  const std::uint64_t width = graph_.buffers[out.index].width;
  const std::uint32_t n_taps = graph_.spec.conv_taps;
  const VectorId of_taps = table(taps + ".weight", n_taps, width);
  std::optional<VectorId> bias;
  if (has_bias) bias = vector(taps + ".bias", width);
  graph_.steps.push_back({std::move(step), Convolve{in, out, form, of_taps, bias, n_taps, place_state((n_taps - 1) * width)}});
}

void GraphBuilder::recur(std::string step, Recur op) {
  const std::uint64_t value_dim = graph_.buffers[op.out.index].width / op.n_heads;
  op.state = place_state(op.n_heads * op.key_dim * base::round_up(value_dim, kernels::kStateColumns));
  graph_.steps.push_back({std::move(step), op});
}

std::uint64_t GraphBuilder::place_state(std::uint64_t n_floats) {
  return std::exchange(graph_.state_floats, graph_.state_floats + base::round_up(n_floats, 16));  // whole lines
}

void GraphBuilder::normalize(std::string step, Normalize op) { graph_.steps.push_back({std::move(step), op}); }

ExpertMatrix GraphBuilder::expert_matrix(const ExpertsSpec& names, const std::string& name, std::uint64_t n_cols,
                                         std::uint64_t n_rows, std::uint64_t of_rows, std::uint64_t first_row) {
  const std::uint64_t n = graph_.spec.experts.n;
  ExpertMatrix experts{matrix(require(name + ".weight", n_cols, of_rows, n), n_rows, n, first_row), {}};
  if (names.may_have_scale) experts.scale = optional_vector(name + ".scale", n);
  if (names.may_have_bias && has_tensor(name + ".bias")) {
    experts.bias = table(name + ".bias", n_rows, n);
  }
  return experts;
}

BufferId GraphBuilder::experts(const ExpertsSpec& names, BufferId x, Norm norm) {
  const model::Experts& experts = graph_.spec.experts;
  const std::uint64_t hidden_dim = graph_.spec.hidden_dim;
  const MatrixId router = matrix(require(names.router + ".weight", hidden_dim, experts.n), experts.n);
  std::optional<VectorId> router_bias;
  if (names.may_have_bias) router_bias = optional_vector(names.router + ".bias", experts.n);
  std::optional<VectorId> selection_bias;
  if (!names.selection_bias.empty()) selection_bias = optional_vector(names.selection_bias + ".bias", experts.n);
  const std::uint64_t ffn_dim = experts.ffn_dim;
  const bool is_one = !names.gate_and_up.empty() && has_tensor(names.gate_and_up + ".weight");
  const auto half = [&](const std::string& name, std::uint64_t first_row) {
    if (is_one) return expert_matrix(names, names.gate_and_up, hidden_dim, ffn_dim, 2 * ffn_dim, first_row);
    return expert_matrix(names, name, hidden_dim, ffn_dim, ffn_dim, 0);
  };
  const ExpertMatrix gate = half(names.gate, 0), up = half(names.up, ffn_dim);
  const ExpertMatrix down = expert_matrix(names, names.down, ffn_dim, hidden_dim, hidden_dim, 0);
  std::optional<MatrixId> shared_gate;
  if (!names.shared_gate.empty()) shared_gate = matrix(require(names.shared_gate + ".weight", hidden_dim, 1), 1);
  const BufferId with_gate = buffer("router", experts.n + (shared_gate ? 1 : 0)), logits = part(with_gate, 0, experts.n);
  const BufferId hidden = buffer("ffn", std::uint64_t{experts.n_used} * experts.ffn_dim);
  graph_.steps.push_back({names.steps + "route", Route{x, norm, router, router_bias, selection_bias, shared_gate, gate.matrix, up.matrix, logits}});
  graph_.steps.push_back({names.steps + "experts_up", ExpertsUp{logits, selection_bias, gate, up, names.epilogue, hidden}});
  graph_.steps.push_back({names.steps + "experts_down", ExpertsDown{hidden, down, x}});
  return part(with_gate, shared_gate ? experts.n : 0, 1);
}

void GraphBuilder::select_rows(std::vector<BufferId> buffers) {
  graph_.steps.push_back({"select_rows", SelectRows{std::move(buffers)}});
}

void GraphBuilder::logits(BufferId in, Norm norm, bool may_have_bias) {
  const model::Spec& spec = graph_.spec;
  const bool is_tied = file_.find_tensor("output.weight") == nullptr;
  Linear op{in, norm, {}, Epilogue::kStore, buffer("logits", spec.vocab_size), spec.logit_soft_cap};
  if (spec.logit_soft_cap != 0.0F) op.epilogue = Epilogue::kSoftCap;
  const auto* tensor = require(is_tied ? "token_embd.weight" : "output.weight", spec.hidden_dim, spec.vocab_size);
  Projection projection{matrix(tensor, spec.vocab_size), spec.logit_scale, {}, {}, 0};
  if (may_have_bias) projection.bias = optional_vector("output.bias", spec.vocab_size);
  if (projection.bias) graph_.vectors[projection.bias->index].factor = spec.logit_scale;
  op.projections.push_back(projection);
  graph_.logits = op.out;
  graph_.buffers[op.out.index].has_only_logit_rows = true;
  graph_.steps.push_back({"logits", std::move(op)});
}

void GraphBuilder::rope_factors() {
  const model::Rope& rope = graph_.spec.rope;
  const auto find = [&](std::string_view tensor) {
    return tensor.empty() ? std::nullopt : optional_vector(std::string(tensor), rope.n_rot / 2);
  };
  graph_.rope_factors = find(rope.factors_tensor);
  graph_.long_rope_factors = find(rope.long_factors_tensor);
}

Result<Graph> GraphBuilder::finish() {
  if (error_) return std::move(*error_);
  return std::move(graph_);
}

}  // namespace woolly::plan
