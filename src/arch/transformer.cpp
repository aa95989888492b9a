#include "arch/transformer.h"

#include <fmt/format.h>

#include <string>
#include <vector>

namespace woolly::arch {
namespace {

using plan::BufferId;
using plan::Epilogue;
using plan::Norm;
using plan::ProjectionSpec;
using plan::ScaleOrder;

/// Writes the steps of one layer.
class Layer {
 public:
  /// `x` is the residual, `branch` where what is normed before it is added stands.
  Layer(plan::GraphBuilder& graph, const TransformerTraits& traits, std::uint32_t index, BufferId x, BufferId branch)
      : graph_(graph), spec_(graph.spec()), traits_(traits), index_(index), x_(x), branch_(branch) {}

  void mix() {
    const bool attends = traits_.mix == nullptr || (!spec_.is_recurrent.empty() && !spec_.is_recurrent[index_]);
    const Mixed mixed = attends ? attention() : traits_.mix(graph_, name(""), x_, *pre_norm("attn_norm"));
    if (index_ + 1 == spec_.n_layers) graph_.select_rows({x_, mixed.out});
    add_to_residual(mixed.projection, mixed.out, "post_attention_norm",
                    {.name = name(mixed.projection),
                     .n_rows = spec_.hidden_dim,
                     .may_have_bias = attends && traits_.has_output_bias,
                     .scale = ScaleOrder::kBeforeBias});
  }

  void feed_forward() {
    if (spec_.experts.n > 0 && index_ >= spec_.experts.first_layer) return experts();
    const BufferId hidden = gate_and_up("", spec_.ffn_dim);
    add_to_residual("down", hidden, "post_ffw_norm", down(""));
  }

 private:
  Mixed attention() {
    const BufferId qkv = project_qkv();
    const BufferId queries = graph_.part(qkv, 0, q_columns()), keys = graph_.part(qkv, q_columns(), k_rows());
    plan::Attend attend{.queries = queries,
                        .keys = keys,
                        .values = graph_.part(qkv, q_columns() + k_rows(), v_rows()),
                        .out = graph_.buffer("attn", std::uint64_t{spec_.n_heads} * spec_.value_dim)};
    if (traits_.qk_norm == QkNorm::kHeads) {
      attend.query_norm = norm("attn_q_norm", spec_.head_dim);
      attend.key_norm = norm("attn_k_norm", spec_.head_dim);
    } else if (traits_.qk_norm == QkNorm::kRows) {
      graph_.normalize(name("attn_q_norm"), {queries, queries, norm("attn_q_norm", q_rows())});
      graph_.normalize(name("attn_k_norm"), {keys, keys, norm("attn_k_norm", k_rows())});
    }
    const bool is_windowed = !spec_.is_windowed.empty() && spec_.is_windowed[index_];
    if (is_windowed) attend.window = spec_.window;
    if (is_windowed && spec_.window_rope) attend.rotation = plan::Rotation::kWindowRope;
    const std::uint32_t unrotated = spec_.layers_per_unrotated;
    if (unrotated != 0 && (index_ + 1) % unrotated == 0) attend.rotation = plan::Rotation::kNone;
    attend.has_gates = traits_.has_attention_gates;
    if (traits_.has_sinks) attend.sinks = graph_.vector(name("attn_sinks.weight"), spec_.n_heads);
    graph_.attend(name("attend"), attend);
    return {attend.out, "attn_output"};
  }

  /// All experts read the same residual, so the shared one reads before the others add to it.
  void experts() {
    const bool has_shared = traits_.has_shared_expert && spec_.experts.shared_ffn_dim > 0;
    BufferId shared{};
    if (has_shared) shared = gate_and_up("_shexp", spec_.experts.shared_ffn_dim);
    const bool has_gate = has_shared && traits_.has_shared_expert_gate;
    const BufferId gate = graph_.experts({.steps = name(""),
                    .router = name("ffn_gate_inp"),
                    .gate = name("ffn_gate_exps"),
                    .up = name("ffn_up_exps"),
                    .down = name("ffn_down_exps"),
                    .gate_and_up = traits_.may_have_gate_and_up ? name("ffn_gate_up_exps") : "",
                    .shared_gate = has_gate ? name("ffn_gate_inp_shexp") : "",
                    .selection_bias = traits_.has_selection_bias ? name("exp_probs_b") : "",
                    .may_have_scale = traits_.has_ffn_scale,
                    .may_have_bias = traits_.has_expert_bias,
                    .epilogue = traits_.gate},
                   x_, *pre_norm(traits_.ffn_norm));
    if (!has_shared) return;
    ProjectionSpec projection = down("_shexp");
    if (has_gate) projection.gate = gate;
    add_to_residual("down_shexp", shared, {}, projection);
  }

  BufferId project_qkv() {
    const BufferId qkv = graph_.buffer("qkv", q_columns() + k_rows() + v_rows());
    const auto part = [&](std::string_view of, std::uint64_t n_rows) {
      return ProjectionSpec{.name = name(of), .n_rows = n_rows, .may_have_bias = true, .scale = ScaleOrder::kBeforeBias};
    };
    std::vector<ProjectionSpec> parts;
    if (graph_.has_tensor(name("attn_qkv.weight"))) {
      parts = {part("attn_qkv", q_columns() + k_rows() + v_rows())};
    } else {
      parts = {part("attn_q", q_columns()), part("attn_k", k_rows()), part("attn_v", v_rows())};
    }
    graph_.linear(name("qkv"), x_, pre_norm("attn_norm"), parts, Epilogue::kStore, qkv);
    return qkv;
  }

  BufferId gate_and_up(std::string_view suffix, std::uint64_t ffn_dim) {
    const BufferId hidden = graph_.buffer("ffn", ffn_dim);
    ProjectionSpec gate = ffn_part("ffn_gate", suffix, ffn_dim), up = ffn_part("ffn_up", suffix, ffn_dim);
    if (traits_.has_gate_in_up) {
      gate.name = up.name;
      gate.of_rows = up.of_rows = 2 * ffn_dim;
      up.first_row = ffn_dim;
    }
    graph_.linear(name(fmt::format("gate_up{}", suffix)), x_, pre_norm(traits_.ffn_norm), {gate, up}, traits_.gate, hidden);
    return hidden;
  }

  ProjectionSpec down(std::string_view suffix) { return ffn_part("ffn_down", suffix, spec_.hidden_dim); }

  ProjectionSpec ffn_part(std::string_view of, std::string_view suffix, std::uint64_t n_rows) {
    return {.name = name(fmt::format("{}{}", of, suffix)),
            .n_rows = n_rows,
            .may_have_bias = traits_.has_ffn_bias,
            .scale = traits_.has_ffn_scale ? ScaleOrder::kAfterBias : ScaleOrder::kIgnore};
  }

  void add_to_residual(std::string_view step, BufferId in, std::string_view post_norm, ProjectionSpec projection) {
    projection.factor = spec_.residual_scale;
    const bool has_norm = traits_.has_post_norms && !post_norm.empty();
    graph_.linear(name(step), in, {}, {projection}, has_norm ? Epilogue::kStore : Epilogue::kAdd, has_norm ? branch_ : x_);
    if (!has_norm) return;
    graph_.normalize(name(post_norm), {branch_, x_, norm(post_norm, spec_.hidden_dim), true});
  }

  [[nodiscard]] std::string name(std::string_view part) const { return fmt::format("blk.{}.{}", index_, part); }
  [[nodiscard]] std::uint64_t q_rows() const { return std::uint64_t{spec_.n_heads} * spec_.head_dim; }
  [[nodiscard]] std::uint64_t q_columns() const { return traits_.has_attention_gates ? 2 * q_rows() : q_rows(); }
  [[nodiscard]] std::uint64_t k_rows() const { return std::uint64_t{spec_.n_kv_heads} * spec_.head_dim; }
  [[nodiscard]] std::uint64_t v_rows() const { return std::uint64_t{spec_.n_kv_heads} * spec_.value_dim; }
  Norm norm(std::string_view of, std::uint64_t n) {
    const bool is_bare = graph_.has_tensor(name(of));  // Falcon-H1's files have one without the usual ending
    return {graph_.vector(name(of) + (is_bare ? "" : ".weight"), n), spec_.norm_eps};
  }
  std::optional<Norm> pre_norm(std::string_view of) {
    if (!traits_.has_pre_norms) return std::nullopt;
    return norm(of, spec_.hidden_dim);
  }

  plan::GraphBuilder& graph_;
  const model::Spec& spec_;
  const TransformerTraits& traits_;
  std::uint32_t index_;
  BufferId x_, branch_;
};

}  // namespace

void build_transformer(plan::GraphBuilder& graph, const TransformerTraits& traits) {
  const model::Spec& spec = graph.spec();
  const BufferId x = graph.buffer("x", spec.hidden_dim);
  const BufferId branch = traits.has_post_norms ? graph.buffer("branch", spec.hidden_dim) : x;
  graph.rope_factors();
  graph.embed("token_embd.weight", x);
  for (std::uint32_t index = 0; index < spec.n_layers; ++index) {
    Layer layer(graph, traits, index, x, branch);
    layer.mix();
    if (traits.has_ffn) layer.feed_forward();
  }
  const Norm norm{graph.vector(fmt::format("{}.weight", traits.output_norm), spec.hidden_dim), spec.norm_eps};
  graph.logits(x, norm, traits.has_logit_bias);
}

}  // namespace woolly::arch
