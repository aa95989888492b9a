#include "exec/bound.h"

namespace woolly::exec {
namespace {

class Binder {
 public:
  Binder(const plan::Plan& plan, const pack::Weights& weights, const plan::WorkspaceLayout& layout,
         std::byte* workspace)
      : plan_(plan), weights_(weights), layout_(layout), workspace_(workspace) {}

  BoundStep operator()(const plan::Embed& op) const {
    return BoundEmbed{&plan_.matrices[op.table.index], op.scale, buffer(op.out)};
  }

  BoundStep operator()(const plan::Linear& op) const {
    BoundLinear bound{{buffer(op.in), norm(op.norm), plan::act_formats(plan_, op)}, {}, op.epilogue, buffer(op.out), op.soft_cap};
    for (const plan::Projection& projection : op.projections) {
      const float scale = projection.scale ? *vector(*projection.scale) : 1.0F;
      bound.projections.push_back({matrix(projection.matrix), scale * projection.factor, vector(projection.bias),
                                   projection.out_column, buffer(projection.gate)});
    }
    return bound;
  }

  BoundStep operator()(const plan::LinearHeads& op) const {
    return BoundLinearHeads{{buffer(op.in), {}, plan::act_formats(plan_, op)},
                            matrix(op.matrices),
                            static_cast<std::size_t>(plan_.matrices[op.matrices.index].n),
                            buffer(op.out)};
  }

  BoundStep operator()(const plan::Attend& op) const {
    return BoundAttend{buffer(op.queries), buffer(op.keys), buffer(op.values), buffer(op.out), op.layer, norm(op.query_norm), norm(op.key_norm), op.rotation,
                       op.window == 0 ? 0xFFFFFFFF : op.window, vector(op.sinks),
                       buffer(op.shared_key), op.has_gates};
  }

  BoundStep operator()(const plan::Convolve& op) const {
    return BoundConvolve{buffer(op.in), buffer(op.out), op.form, vector(op.taps), vector(op.bias), op.n_taps,
                         static_cast<std::size_t>(op.state)};
  }

  BoundStep operator()(const plan::Recur& op) const {
    return BoundRecur{op.rule, op.n_heads, op.key_dim, buffer(op.keys), buffer(op.queries), buffer(op.values), buffer(op.gates),
                      buffer(op.out), buffer(op.steps), buffer(op.weights), op.heads_of_group, op.group_stride,
                      op.key_heads_repeat, vector(op.step_bias), vector(op.rates), vector(op.skips), norm(op.norm),
                      op.length_eps, static_cast<std::size_t>(op.state)};
  }

  BoundStep operator()(const plan::Normalize& op) const {
    return BoundNormalize{buffer(op.in), buffer(op.out), *norm(op.norm), op.adds, op.n_groups};
  }

  BoundStep operator()(const plan::Route& op) const {
    return BoundRoute{{buffer(op.in), norm(op.norm), plan::act_formats(plan_, op)}, matrix(op.router), vector(op.bias),
                      vector(op.selection_bias),
                      op.shared_gate ? std::optional(matrix(*op.shared_gate)) : std::nullopt, buffer(op.out)};
  }

  BoundStep operator()(const plan::ExpertsUp& op) const {
    return BoundExpertsUp{buffer(op.logits), vector(op.selection_bias), plan::act_formats(plan_, op), experts(op.gate), experts(op.up),
                          op.epilogue, buffer(op.out)};
  }

  BoundStep operator()(const plan::ExpertsDown& op) const {
    return BoundExpertsDown{{buffer(op.in), {}, plan::act_formats(plan_, op)}, experts(op.down), buffer(op.out)};
  }

  BoundStep operator()(const plan::SelectRows& op) const {
    BoundSelectRows bound;
    for (const plan::BufferId id : op.buffers) bound.buffers.push_back(buffer(id));
    return bound;
  }

 private:
  [[nodiscard]] BoundMatrix matrix(plan::MatrixId id) const {
    const plan::PackedMatrix& matrix = plan_.matrices[id.index];
    return {matrix.kernel, weights_.matrix(matrix), matrix.n_panels(), static_cast<std::size_t>(matrix.n_rows),
            static_cast<std::size_t>(matrix.n_cols)};
  }
  [[nodiscard]] BoundExperts experts(const plan::ExpertMatrix& experts) const {
    return {matrix(experts.matrix), vector(experts.scale), vector(experts.bias)};
  }
  [[nodiscard]] BoundBuffer buffer(plan::BufferId id) const {
    const plan::Buffer& buffer = plan_.buffers[id.index];
    return {reinterpret_cast<float*>(workspace_ + layout_.offsets[id.index]), static_cast<std::size_t>(buffer.width),
            static_cast<std::size_t>(buffer.stride())};
  }
  [[nodiscard]] std::optional<BoundBuffer> buffer(const std::optional<plan::BufferId>& id) const {
    return id ? std::optional(buffer(*id)) : std::nullopt;
  }
  [[nodiscard]] const float* vector(plan::VectorId id) const { return weights_.vector(plan_.vectors[id.index]); }
  [[nodiscard]] const float* vector(const std::optional<plan::VectorId>& id) const {
    return id ? vector(*id) : nullptr;
  }
  [[nodiscard]] std::optional<BoundNorm> norm(const std::optional<plan::Norm>& norm) const {
    if (!norm) return std::nullopt;
    return BoundNorm{vector(norm->weight), norm->eps};
  }

  const plan::Plan& plan_;
  const pack::Weights& weights_;
  const plan::WorkspaceLayout& layout_;
  std::byte* workspace_;
};

}  // namespace

std::vector<BoundStep> bind(const plan::Plan& plan, const pack::Weights& weights, const plan::WorkspaceLayout& layout,
                            std::byte* workspace) {
  const Binder binder(plan, weights, layout, workspace);
  std::vector<BoundStep> steps;
  steps.reserve(plan.steps.size());
  for (const plan::Step& step : plan.steps) steps.push_back(std::visit(binder, step.op));
  return steps;
}

}  // namespace woolly::exec
