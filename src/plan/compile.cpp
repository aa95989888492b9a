#include "plan/compile.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/checked.h"
#include "kernels/panel_format.h"

namespace woolly::plan {
namespace {

/// A line of the cache, and of a vector load.
constexpr std::uint64_t kAlignment = 64;

/// Gives the panels of `matrices` (which have equally many) alternating places from `offset` on, of stacks one matrix
/// after the other; returns the end.
std::uint64_t place_panels(Plan& plan, const std::vector<MatrixId>& matrices, std::uint64_t offset) {
  std::uint64_t stride = 0;
  for (const MatrixId id : matrices) {
    PackedMatrix& matrix = plan.matrices[id.index];
    matrix.offset = offset + stride;
    stride += base::round_up(kernels::panel_bytes(matrix.tensor->type, matrix.n_cols), kAlignment);
  }
  for (const MatrixId id : matrices) {
    PackedMatrix& matrix = plan.matrices[id.index];
    matrix.panel_stride = stride;
    matrix.stride = stride * matrix.n_panels();
  }
  const PackedMatrix& first = plan.matrices[matrices.front().index];
  return offset + first.stride * first.n;
}

/// Matrices in the order in which steps read them, gate and up interleaved; returns the end.
std::uint64_t place_matrices(Plan& plan) {
  std::vector<bool> is_placed(plan.matrices.size(), false);
  std::uint64_t offset = 0;
  const auto place = [&](const std::vector<MatrixId>& matrices) {
    const bool is_free = std::none_of(matrices.begin(), matrices.end(), [&](MatrixId id) { return is_placed[id.index]; });
    if (!is_free) return false;
    for (const MatrixId id : matrices) is_placed[id.index] = true;
    offset = place_panels(plan, matrices, offset);
    return true;
  };
  for (const Step& step : plan.steps) {
    if (const auto* embed = std::get_if<Embed>(&step.op)) place({embed->table});
    if (const auto* heads = std::get_if<LinearHeads>(&step.op)) place({heads->matrices});
    if (const auto* route = std::get_if<Route>(&step.op)) {
      place({route->router});
      if (route->shared_gate) place({*route->shared_gate});
    }
    if (const auto* experts = std::get_if<ExpertsUp>(&step.op)) place({experts->gate.matrix, experts->up.matrix});
    if (const auto* experts = std::get_if<ExpertsDown>(&step.op)) place({experts->down.matrix});
    const auto* linear = std::get_if<Linear>(&step.op);
    if (linear == nullptr) continue;
    if (is_gated(linear->epilogue) &&
        linear->projections[0].matrix.index != linear->projections[1].matrix.index) {
      place({linear->projections[0].matrix, linear->projections[1].matrix});
    }
    for (const Projection& projection : linear->projections) place({projection.matrix});
  }
  return offset;
}

/// Panels, if there are to be any, then the vectors.
void place_weights(Plan& plan) {
  std::uint64_t offset = 0;
  if (plan.matrix_place == MatrixPlace::kPanels) {
    offset = place_matrices(plan);
  } else {
    for (const PackedMatrix& matrix : plan.matrices) plan.mapped_bytes += matrix.bytes();
  }
  for (PackedVector& vector : plan.vectors) {
    vector.offset = offset;
    offset += base::round_up(vector.n * sizeof(float), kAlignment);
  }
  plan.weight_bytes = offset;
}

}  // namespace

Result<Plan> compile(Graph graph, const kernels::KernelTable& table, MatrixPlace place) {
  Plan plan;
  plan.matrix_place = place;
  plan.kernels = &table;
  for (const Matrix& matrix : graph.matrices) {
    const kernels::MatmulKernel* kernel = table.matmul(matrix.tensor->type);
    if (kernel == nullptr) {
      return Error{ErrorCode::kUnsupported, fmt::format("tensor {}: no {} kernel for type {}", matrix.tensor->name,
                                                        table.name, quant::info(matrix.tensor->type).name)};
    }
    plan.matrices.push_back(
        {matrix.tensor, kernel, matrix.n, matrix.first_row, matrix.n_rows, matrix.tensor->n_cols()});
  }
  for (const Vector& vector : graph.vectors) {
    plan.vectors.push_back({vector.tensor, vector.multiplier, vector.factor, vector.n, 0});
  }
  plan.spec = std::move(graph.spec);
  plan.steps = std::move(graph.steps);
  plan.buffers = std::move(graph.buffers);
  plan.rope_factors = graph.rope_factors;
  plan.long_rope_factors = graph.long_rope_factors;
  plan.logits = graph.logits;
  plan.n_kv_layers = graph.n_kv_layers;
  plan.state_floats = graph.state_floats;
  place_weights(plan);
  return plan;
}

namespace {
unsigned act_format(const Plan& plan, MatrixId id) {
  return 1U << static_cast<unsigned>(plan.matrices[id.index].kernel->act);
}
}  // namespace

unsigned act_formats(const Plan& plan, const Linear& op) {
  unsigned formats = 0;
  for (const Projection& projection : op.projections) formats |= act_format(plan, projection.matrix);
  return formats;
}

unsigned act_formats(const Plan& plan, const LinearHeads& op) { return act_format(plan, op.matrices); }

unsigned act_formats(const Plan& plan, const Route& op) {
  const unsigned formats = act_format(plan, op.router) | act_format(plan, op.gate) | act_format(plan, op.up);
  return op.shared_gate ? formats | act_format(plan, *op.shared_gate) : formats;
}

unsigned act_formats(const Plan& plan, const ExpertsUp& op) {
  return act_format(plan, op.gate.matrix) | act_format(plan, op.up.matrix);
}

unsigned act_formats(const Plan& plan, const ExpertsDown& op) { return act_format(plan, op.down.matrix); }

WorkspaceLayout lay_out(const Plan& plan, const Limits& limits) {
  struct Life {
    std::size_t first = SIZE_MAX, last = 0;
    void touch(std::size_t step) {
      first = std::min(first, step);
      last = std::max(last, step);
    }
  };
  std::vector<Life> lives(plan.buffers.size());
  for (std::size_t i = 0; i < plan.steps.size(); ++i) {
    const auto touch = [&](BufferId id) { lives[plan.buffers[id.index].whole.value_or(id).index].touch(i); };
    const Op& op = plan.steps[i].op;
    if (const auto* embed = std::get_if<Embed>(&op)) touch(embed->out);
    if (const auto* linear = std::get_if<Linear>(&op)) {
      touch(linear->in), touch(linear->out);
      for (const Projection& projection : linear->projections) {
        if (projection.gate) touch(*projection.gate);
      }
    }
    if (const auto* heads = std::get_if<LinearHeads>(&op)) touch(heads->in), touch(heads->out);
    if (const auto* attend = std::get_if<Attend>(&op)) {
      for (const BufferId id : {attend->queries, attend->keys, attend->values, attend->out}) touch(id);
      if (attend->shared_key) touch(*attend->shared_key);
    }
    if (const auto* recur = std::get_if<Recur>(&op)) {
      for (const BufferId id : {recur->keys, recur->queries, recur->values, recur->gates, recur->steps, recur->out}) touch(id);
      if (recur->weights) touch(*recur->weights);
    }
    if (const auto* convolve = std::get_if<Convolve>(&op)) touch(convolve->in), touch(convolve->out);
    if (const auto* normalize = std::get_if<Normalize>(&op)) touch(normalize->in), touch(normalize->out);
    if (const auto* route = std::get_if<Route>(&op)) touch(route->in), touch(route->out);
    if (const auto* experts = std::get_if<ExpertsUp>(&op)) touch(experts->logits), touch(experts->out);
    if (const auto* experts = std::get_if<ExpertsDown>(&op)) touch(experts->in), touch(experts->out);
    if (const auto* select = std::get_if<SelectRows>(&op)) {
      for (const BufferId id : select->buffers) touch(id);
    }
  }
  WorkspaceLayout layout;
  layout.offsets.resize(plan.buffers.size());
  std::vector<std::uint64_t> sizes(plan.buffers.size());
  for (std::size_t i = 0; i < plan.buffers.size(); ++i) {
    const Buffer& buffer = plan.buffers[i];
    if (buffer.whole) {
      layout.offsets[i] = layout.offsets[buffer.whole->index] + buffer.column * sizeof(float);
      continue;
    }
    const std::size_t n_rows = buffer.has_only_logit_rows ? limits.max_logit_rows : limits.max_rows;
    sizes[i] = base::round_up(buffer.stride() * n_rows * sizeof(float), kAlignment);
    // First fit: the lowest place that meets no living buffer.
    std::uint64_t at = 0;
    for (bool moved = true; moved;) {
      moved = false;
      for (std::size_t j = 0; j < i; ++j) {
        const bool lives_meet = lives[i].first <= lives[j].last && lives[j].first <= lives[i].last;
        const bool places_meet = at < layout.offsets[j] + sizes[j] && layout.offsets[j] < at + sizes[i];
        if (lives_meet && places_meet) {
          at = layout.offsets[j] + sizes[j];
          moved = true;
        }
      }
    }
    layout.offsets[i] = at;
    layout.bytes = std::max(layout.bytes, at + sizes[i]);
  }
  return layout;
}

}  // namespace woolly::plan
