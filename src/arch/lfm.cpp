// LFM2 (https://arxiv.org/abs/2511.23404), also with experts: of most layers short convolutions over positions, gated before and after, take the
// place of attention, which has norms of query and key heads. The file calls the last norm that of the embedding.
#include "arch/recipes.h"
#include "arch/transformer.h"

namespace woolly::arch {
namespace {

/// "shortconv.in_proj" has the rows of both gates, then those of what is convolved.
Mixed convolution(plan::GraphBuilder& graph, const std::string& layer, plan::BufferId x, plan::Norm norm) {
  const std::uint64_t width = graph.spec().hidden_dim;
  const plan::BufferId gates_and_input = graph.buffer("conv_in", 3 * width), out = graph.buffer("conv", width);
  graph.linear(layer + "shortconv.in_proj", x, norm, {{.name = layer + "shortconv.in_proj", .n_rows = 3 * width}},
               plan::Epilogue::kStore, gates_and_input);
  graph.convolve(layer + "shortconv.conv", gates_and_input, out, plan::Convolution::kGated, layer + "shortconv.conv");
  return {out, "shortconv.out_proj"};
}

Result<model::Spec> read_spec(const gguf::Metadata& metadata, std::string_view prefix) {
  WOOLLY_TRY(model::Spec spec, model::read_transformer_spec(metadata, prefix, model::RopePairs::kHalves,
                                                            model::Heads::kOfSomeLayers));
  WOOLLY_TRY(spec.conv_taps, model::read_number(metadata, spec, "shortconv.l_cache", 2, plan::kMaxConvolutionTaps));
  return spec;
}

}  // namespace

Result<model::Spec> read_lfm2_spec(const gguf::Metadata& metadata) {
  WOOLLY_TRY(model::Spec spec, read_spec(metadata, "lfm2"));
  WOOLLY_TRY(spec.window, model::read_number(metadata, spec, "attention.sliding_window", 0, 1U << 30U, 0));
  if (spec.window != 0) spec.is_windowed.assign(spec.n_layers, true);
  return spec;
}

Result<model::Spec> read_lfm2moe_spec(const gguf::Metadata& metadata) {
  WOOLLY_TRY(model::Spec spec, read_spec(metadata, "lfm2moe"));
  WOOLLY_TRY(spec.experts, model::read_experts(metadata, spec));
  WOOLLY_CHECK(model::read_gating(metadata, spec, spec.experts));
  spec.experts.normalizes = true;
  WOOLLY_TRY(spec.experts.first_layer, model::read_number(metadata, spec, "leading_dense_block_count", 0, spec.n_layers, 0));
  return spec;
}

void build_lfm2(plan::GraphBuilder& graph) {
  build_transformer(graph, {.qk_norm = QkNorm::kHeads, .has_selection_bias = true, .mix = convolution, .output_norm = "token_embd_norm"});
}

}  // namespace woolly::arch
