// Qwen3-Next and Qwen3.5: of every four layers three have the gated delta rule (https://arxiv.org/abs/2412.06464) in place of
// attention, which has gates on what it gives.
#include <fmt/format.h>

#include <utility>

#include "arch/recipes.h"
#include "arch/state_space.h"
#include "arch/transformer.h"

namespace woolly::arch {
namespace {

using plan::BufferId;
using plan::Epilogue;
using plan::ProjectionSpec;
using plan::ScaleOrder;

/// The steps of one layer with the delta rule.
class DeltaRule {
 public:
  DeltaRule(plan::GraphBuilder& graph, const std::string& layer)
      : graph_(graph),
        spec_(graph.spec()),
        heads_(spec_.recurrent),
        layer_(layer),
        key_width_(std::uint64_t{heads_.n_key_heads} * heads_.key_dim),
        value_width_(std::uint64_t{heads_.n} * heads_.value_dim) {}

  Mixed mix(BufferId x, plan::Norm norm) {
    const std::uint64_t width = 2 * key_width_ + value_width_, n_heads = heads_.n;
    const BufferId in = graph_.buffer("delta_in", width + value_width_ + 2 * n_heads);
    std::vector<ProjectionSpec> parts;
    if (graph_.has_tensor(layer_ + "ssm_in.weight")) {
      parts = parts_of_key_heads();
    } else {
      parts = {part("attn_qkv", width), part("attn_gate", value_width_)};
    }
    // Weights and steps: those of all heads, or in Qwen3-Next those of the heads of each key head together.
    const std::uint64_t weights = width + value_width_;
    const bool are_grouped = !heads_.key_heads_repeat;
    const std::uint64_t of_group = are_grouped ? n_heads / heads_.n_key_heads : n_heads;
    const auto put = [&](ProjectionSpec of, std::uint64_t column) {
      of.column = column;
      parts.push_back(of);
    };
    if (are_grouped) {
      put(part("ssm_ba", 2 * n_heads), weights);
    } else {
      put(part("ssm_beta", n_heads), weights);
      put(part("ssm_alpha", n_heads), weights + n_heads);
    }
    graph_.linear(layer_ + "delta_in", x, norm, parts, Epilogue::kStore, in);

    const BufferId convolved = graph_.buffer("delta_conv", width), out = graph_.buffer("delta", value_width_);
    graph_.convolve(layer_ + "conv", graph_.part(in, 0, width), convolved, plan::Convolution::kSilu, layer_ + "ssm_conv1d");
    graph_.recur(layer_ + "delta",
                 {.rule = plan::Recurrence::kDeltaRule,
                  .n_heads = n_heads,
                  .key_dim = heads_.key_dim,
                  .keys = graph_.part(convolved, key_width_, key_width_),
                  .queries = graph_.part(convolved, 0, key_width_),
                  .values = graph_.part(convolved, 2 * key_width_, value_width_),
                  .gates = graph_.part(in, width, value_width_),
                  .out = out,
                  .steps = graph_.part(in, weights + of_group, n_heads),
                  .weights = graph_.part(in, weights, n_heads),
                  .heads_of_group = of_group,
                  .group_stride = 2 * of_group,
                  .key_heads_repeat = heads_.key_heads_repeat,
                  .step_bias = graph_.vector(layer_ + "ssm_dt.bias", n_heads),
                  .rates = graph_.vector(layer_ + "ssm_a", n_heads),
                  .norm = plan::Norm{graph_.vector(layer_ + "ssm_norm.weight", heads_.value_dim), spec_.norm_eps},
                  .length_eps = spec_.norm_eps});
    return {out, "ssm_out"};
  }

 private:
  [[nodiscard]] ProjectionSpec part(std::string_view name, std::uint64_t n_rows) const {
    return {.name = fmt::format("{}{}", layer_, name), .n_rows = n_rows, .scale = ScaleOrder::kBeforeBias};
  }

  /// Of older files, whose matrix has for each key head the rows of its query, its key, its values and their gates.
  [[nodiscard]] std::vector<ProjectionSpec> parts_of_key_heads() const {
    const std::uint64_t key_dim = heads_.key_dim, values = value_width_ / heads_.n_key_heads;
    const std::uint64_t widths[] = {key_dim, key_dim, values, values};
    std::vector<ProjectionSpec> parts;
    std::uint64_t row = 0;
    for (std::uint64_t head = 0; head < heads_.n_key_heads; ++head) {
      std::uint64_t column = 0;
      for (const std::uint64_t width : widths) {
        ProjectionSpec of = part("ssm_in", width);
        of.first_row = std::exchange(row, row + width);
        of.of_rows = 2 * key_width_ + 2 * value_width_;
        of.column = column + head * width;
        column += heads_.n_key_heads * width;
        parts.push_back(of);
      }
    }
    return parts;
  }

  plan::GraphBuilder& graph_;
  const model::Spec& spec_;
  const model::RecurrentHeads& heads_;
  const std::string& layer_;
  std::uint64_t key_width_, value_width_;
};

Mixed delta_rule(plan::GraphBuilder& graph, const std::string& layer, BufferId x, plan::Norm norm) {
  return DeltaRule(graph, layer).mix(x, norm);
}

/// The last of every so many layers attends, unless the file says for each which do.
Status read_recurrent_layers(const gguf::Metadata& metadata, model::Spec& spec) {
  const std::string key = spec.architecture + ".attention.recurrent_layers";
  if (metadata.find(key) != nullptr) {
    WOOLLY_TRY(const std::vector<std::int64_t> flags, metadata.ints(key));
    if (flags.size() < spec.n_layers) {
      return Error{ErrorCode::kInvalidFile,
                   fmt::format("{} has {} entries, allowed is one for each of {} layers", key, flags.size(), spec.n_layers)};
    }
    for (std::uint32_t layer = 0; layer < spec.n_layers; ++layer) spec.is_recurrent.push_back(flags[layer] != 0);
    return {};
  }
  WOOLLY_TRY(const std::uint32_t interval, model::read_number(metadata, spec, "full_attention_interval", 1, 1024, 4));
  for (std::uint32_t layer = 0; layer < spec.n_layers; ++layer) spec.is_recurrent.push_back((layer + 1) % interval != 0);
  return {};
}

Result<model::Spec> read_spec(const gguf::Metadata& metadata, std::string_view prefix) {
  WOOLLY_TRY(model::Spec spec, model::read_transformer_spec(metadata, prefix, model::RopePairs::kHalves));
  // Layers behind these predict more than one token.
  WOOLLY_TRY(const std::uint32_t n_more, model::read_number(metadata, spec, "nextn_predict_layers", 0, spec.n_layers - 1, 0));
  spec.n_layers -= n_more;
  WOOLLY_CHECK(read_recurrent_layers(metadata, spec));
  WOOLLY_CHECK(read_state_space(metadata, spec));
  spec.recurrent.key_heads_repeat = prefix != "qwen3next";
  return spec;
}

Result<model::Spec> read_spec_with_experts(const gguf::Metadata& metadata, std::string_view prefix) {
  WOOLLY_TRY(model::Spec spec, read_spec(metadata, prefix));
  WOOLLY_TRY(spec.experts, model::read_experts(metadata, spec));
  if (spec.experts.shared_ffn_dim == 0) spec.experts.shared_ffn_dim = spec.ffn_dim;
  return spec;
}

}  // namespace

Result<model::Spec> read_qwen35_spec(const gguf::Metadata& metadata) { return read_spec(metadata, "qwen35"); }

Result<model::Spec> read_qwen35moe_spec(const gguf::Metadata& metadata) {
  return read_spec_with_experts(metadata, "qwen35moe");
}

Result<model::Spec> read_qwen3next_spec(const gguf::Metadata& metadata) {
  return read_spec_with_experts(metadata, "qwen3next");
}

void build_qwen3next(plan::GraphBuilder& graph) {
  build_transformer(graph, {.has_ffn_scale = true,
                            .qk_norm = QkNorm::kHeads,
                            .ffn_norm = "post_attention_norm",
                            .has_attention_gates = true,
                            .has_shared_expert = true,
                            .has_shared_expert_gate = true,
                            .may_have_gate_and_up = true,
                            .mix = delta_rule});
}

}  // namespace woolly::arch
