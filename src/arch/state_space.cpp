#include "arch/state_space.h"

#include <fmt/format.h>

namespace woolly::arch {
namespace {

using plan::BufferId;

struct Widths {
  std::uint64_t values, keys;
};

Widths widths_of(const model::RecurrentHeads& heads) {
  return {std::uint64_t{heads.n} * heads.value_dim, std::uint64_t{heads.n_key_heads} * heads.key_dim};
}

}  // namespace

Status read_state_space(const gguf::Metadata& metadata, model::Spec& spec) {
  model::RecurrentHeads& heads = spec.recurrent;
  WOOLLY_TRY(spec.conv_taps, model::read_number(metadata, spec, "ssm.conv_kernel", 2, plan::kMaxConvolutionTaps));
  WOOLLY_TRY(heads.n, model::read_number(metadata, spec, "ssm.time_step_rank", 1, 4096));
  WOOLLY_TRY(heads.n_key_heads, model::read_number(metadata, spec, "ssm.group_count", 1, heads.n));
  WOOLLY_TRY(heads.key_dim, model::read_number(metadata, spec, "ssm.state_size", 1, 1024));
  WOOLLY_TRY(const std::uint32_t width, model::read_number(metadata, spec, "ssm.inner_size", 1, 1U << 22U));
  heads.value_dim = width / heads.n;
  const auto refuse = [&](std::string_view name, std::uint32_t found, std::string_view divisor, std::uint32_t by) {
    return Error{ErrorCode::kInvalidFile,
                 fmt::format("{0}.ssm.{1} is {2}, it must be a multiple of {0}.ssm.{3}, {4}", spec.architecture, name, found, divisor, by)};
  };
  if (heads.n % heads.n_key_heads != 0) return refuse("time_step_rank", heads.n, "group_count", heads.n_key_heads);
  if (width % heads.n != 0) return refuse("inner_size", width, "time_step_rank", heads.n);
  return {};
}

std::uint64_t state_space_width(const model::Spec& spec) {
  const auto [values, keys] = widths_of(spec.recurrent);
  return 2 * values + 2 * keys + spec.recurrent.n;
}

BufferId write_state_space(plan::GraphBuilder& graph, const std::string& layer, BufferId in) {
  const model::RecurrentHeads& heads = graph.spec().recurrent;
  const auto [values, keys] = widths_of(heads);
  const std::uint64_t width = values + 2 * keys;
  const BufferId convolved = graph.buffer("ssm_conv", width), out = graph.buffer("ssm", values);
  graph.convolve(layer + "conv", graph.part(in, values, width), convolved, plan::Convolution::kSilu, layer + "ssm_conv1d",
                 graph.has_tensor(layer + "ssm_conv1d.bias"));
  graph.recur(layer + "ssm", {.rule = plan::Recurrence::kStateSpace,
                              .n_heads = heads.n,
                              .key_dim = heads.key_dim,
                              .keys = graph.part(convolved, values, keys),
                              .queries = graph.part(convolved, values + keys, keys),
                              .values = graph.part(convolved, 0, values),
                              .gates = graph.part(in, 0, values),
                              .out = out,
                              .steps = graph.part(in, values + width, heads.n),
                              .weights = {},
                              .heads_of_group = heads.n,
                              .group_stride = heads.n,
                              .key_heads_repeat = false,
                              .step_bias = graph.vector(layer + "ssm_dt.bias", heads.n),
                              .rates = graph.table(layer + "ssm_a", 1, heads.n),
                              .skips = graph.table(layer + "ssm_d", 1, heads.n)});
  if (graph.has_tensor(layer + "ssm_norm.weight")) {
    const std::uint64_t n_groups = heads.n_key_heads;
    const plan::Norm norm{graph.table(layer + "ssm_norm.weight", values / n_groups, n_groups), graph.spec().norm_eps};
    graph.normalize(layer + "ssm_norm", {.in = out, .out = out, .norm = norm, .n_groups = n_groups});
  }
  return out;
}

}  // namespace woolly::arch
