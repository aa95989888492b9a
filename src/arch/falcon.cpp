// Falcon-H1 (https://arxiv.org/abs/2507.22448): attention and a state space beside it in every layer, of the same input.
#include <vector>

#include "arch/recipes.h"
#include "arch/state_space.h"
#include "arch/transformer.h"

namespace woolly::arch {
namespace {

using plan::BufferId;

Mixed attention_and_state_space(plan::GraphBuilder& graph, const std::string& layer, BufferId x, plan::Norm norm) {
  const model::Spec& spec = graph.spec();
  const std::uint64_t q = std::uint64_t{spec.n_heads} * spec.head_dim, k = std::uint64_t{spec.n_kv_heads} * spec.head_dim;
  const std::uint64_t v = std::uint64_t{spec.n_kv_heads} * spec.value_dim, width = state_space_width(spec);
  const auto part = [&](const char* name, std::uint64_t n_rows, bool may_have_bias) {
    return plan::ProjectionSpec{.name = layer + name,
                                .n_rows = n_rows,
                                .may_have_bias = may_have_bias,
                                .scale = plan::ScaleOrder::kBeforeBias};
  };
  const BufferId in = graph.buffer("qkv_ssm", q + k + v + width);
  std::vector<plan::ProjectionSpec> parts{part("attn_q", q, true), part("attn_k", k, true), part("attn_v", v, true)};
  if (graph.has_tensor(layer + "attn_qkv.weight")) parts = {part("attn_qkv", q + k + v, true)};
  parts.push_back(part("ssm_in", width, false));
  graph.linear(layer + "qkv_ssm", x, norm, parts, plan::Epilogue::kStore, in);
  const BufferId out = write_state_space(graph, layer, graph.part(in, q + k + v, width));
  graph.linear(layer + "ssm_out", out, {}, {part("ssm_out", spec.hidden_dim, false)}, plan::Epilogue::kAdd, x);
  const BufferId attended = graph.buffer("attn", std::uint64_t{spec.n_heads} * spec.value_dim);
  graph.attend(layer + "attend", {.queries = graph.part(in, 0, q),
                                  .keys = graph.part(in, q, k),
                                  .values = graph.part(in, q + k, v),
                                  .out = attended});
  return {attended, "attn_output"};
}

}  // namespace

Result<model::Spec> read_falcon_h1_spec(const gguf::Metadata& metadata) {
  WOOLLY_TRY(model::Spec spec, model::read_transformer_spec(metadata, "falcon-h1", model::RopePairs::kHalves));
  WOOLLY_CHECK(read_state_space(metadata, spec));
  return spec;
}

void build_falcon_h1(plan::GraphBuilder& graph) {
  build_transformer(graph, {.has_ffn_bias = true, .mix = attention_and_state_space});
}

}  // namespace woolly::arch
