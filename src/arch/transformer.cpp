#include "arch/transformer.h"

#include <fmt/format.h>

#include <string>

namespace woolly::arch {
namespace {

using plan::BufferId;
using plan::Epilogue;
using plan::Norm;
using plan::ScaleOrder;

std::string name(std::uint32_t layer, std::string_view part) { return fmt::format("blk.{}.{}", layer, part); }

/// Norm, projections to queries, keys and values, attention. Returns its output, before the output projection.
BufferId attention(plan::GraphBuilder& graph, const TransformerTraits& traits, std::uint32_t layer, BufferId x) {
  const model::Spec& spec = graph.spec();
  const std::uint64_t q_rows = std::uint64_t{spec.n_heads} * spec.head_dim;
  const std::uint64_t kv_rows = std::uint64_t{spec.n_kv_heads} * spec.head_dim;
  const Norm norm{graph.vector(name(layer, "attn_norm.weight"), spec.hidden_dim), spec.norm_eps};
  const BufferId qkv = graph.buffer("qkv", q_rows + 2 * kv_rows);
  graph.linear(name(layer, "qkv"), x, norm,
               {{name(layer, "attn_q"), q_rows, traits.has_qkv_bias, ScaleOrder::kBeforeBias},
                {name(layer, "attn_k"), kv_rows, traits.has_qkv_bias, ScaleOrder::kBeforeBias},
                {name(layer, "attn_v"), kv_rows, traits.has_qkv_bias, ScaleOrder::kBeforeBias}},
               Epilogue::kStore, qkv);
  plan::Attend attend{qkv, graph.buffer("attn", q_rows), layer, {}, {}};
  if (traits.has_qk_norm) {
    attend.query_norm = Norm{graph.vector(name(layer, "attn_q_norm.weight"), spec.head_dim), spec.norm_eps};
    attend.key_norm = Norm{graph.vector(name(layer, "attn_k_norm.weight"), spec.head_dim), spec.norm_eps};
  }
  graph.attend(name(layer, "attend"), attend);
  return attend.out;
}

void feed_forward(plan::GraphBuilder& graph, const TransformerTraits& traits, std::uint32_t layer, BufferId x) {
  const model::Spec& spec = graph.spec();
  const ScaleOrder scale = traits.has_ffn_scale ? ScaleOrder::kAfterBias : ScaleOrder::kIgnore;
  const Norm norm{graph.vector(name(layer, "ffn_norm.weight"), spec.hidden_dim), spec.norm_eps};
  const BufferId hidden = graph.buffer("ffn", spec.ffn_dim);
  graph.linear(name(layer, "gate_up"), x, norm,
               {{name(layer, "ffn_gate"), spec.ffn_dim, traits.has_ffn_bias, scale},
                {name(layer, "ffn_up"), spec.ffn_dim, traits.has_ffn_bias, scale}},
               Epilogue::kSwiGlu, hidden);
  graph.linear(name(layer, "down"), hidden, {}, {{name(layer, "ffn_down"), spec.hidden_dim, traits.has_ffn_bias, scale}},
               Epilogue::kAdd, x);
}

void experts(plan::GraphBuilder& graph, const TransformerTraits& traits, std::uint32_t layer, BufferId x) {
  const Norm norm{graph.vector(name(layer, "ffn_norm.weight"), graph.spec().hidden_dim), graph.spec().norm_eps};
  graph.experts({.steps = name(layer, ""),
                 .router = name(layer, "ffn_gate_inp"),
                 .gate = name(layer, "ffn_gate_exps"),
                 .up = name(layer, "ffn_up_exps"),
                 .down = name(layer, "ffn_down_exps"),
                 .may_have_scale = traits.has_ffn_scale},
                x, norm);
}

}  // namespace

void build_transformer(plan::GraphBuilder& graph, const TransformerTraits& traits) {
  const model::Spec& spec = graph.spec();
  const BufferId x = graph.buffer("x", spec.hidden_dim);
  if (!spec.rope.factors_tensor.empty()) graph.rope_factors(std::string(spec.rope.factors_tensor));
  graph.embed("token_embd.weight", x);
  for (std::uint32_t layer = 0; layer < spec.n_layers; ++layer) {
    const BufferId attended = attention(graph, traits, layer, x);
    if (layer + 1 == spec.n_layers) graph.select_rows({x, attended});
    graph.linear(name(layer, "attn_output"), attended, {},
                 {{name(layer, "attn_output"), spec.hidden_dim, traits.has_output_bias, ScaleOrder::kBeforeBias}},
                 Epilogue::kAdd, x);
    if (spec.experts.n > 0) {
      experts(graph, traits, layer, x);
    } else {
      feed_forward(graph, traits, layer, x);
    }
  }
  const Norm norm{graph.vector("output_norm.weight", spec.hidden_dim), spec.norm_eps};
  graph.logits(x, norm, traits.has_logit_bias);
}

}  // namespace woolly::arch
