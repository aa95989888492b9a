// Mamba-2: layers of a state space alone, without attention and without feed-forward network.
#include "arch/recipes.h"
#include "arch/state_space.h"
#include "arch/transformer.h"

namespace woolly::arch {

Mixed state_space(plan::GraphBuilder& graph, const std::string& layer, plan::BufferId x, plan::Norm norm) {
  const std::uint64_t width = state_space_width(graph.spec());
  const plan::BufferId in = graph.buffer("ssm_in", width);
  graph.linear(layer + "ssm_in", x, norm,
               {{.name = layer + "ssm_in", .n_rows = width, .scale = plan::ScaleOrder::kBeforeBias}}, plan::Epilogue::kStore, in);
  return {write_state_space(graph, layer, in), "ssm_out"};
}

Result<model::Spec> read_mamba2_spec(const gguf::Metadata& metadata) {
  WOOLLY_TRY(model::Spec spec, model::read_recurrent_spec(metadata, "mamba2"));
  WOOLLY_CHECK(read_state_space(metadata, spec));
  return spec;
}

void build_mamba2(plan::GraphBuilder& graph) { build_transformer(graph, {.has_ffn = false, .mix = state_space}); }

}  // namespace woolly::arch
