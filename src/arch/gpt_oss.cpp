// gpt-oss (https://arxiv.org/abs/2508.10925): attention with sinks and alternating windows, experts with biases and a clamped
// SwiGLU.
#include "arch/recipes.h"
#include "arch/transformer.h"

namespace woolly::arch {

Result<model::Spec> read_gpt_oss_spec(const gguf::Metadata& metadata) {
  WOOLLY_TRY(model::Spec spec, model::read_transformer_spec(metadata, "gpt-oss", model::RopePairs::kHalves));
  WOOLLY_CHECK(model::read_windows(metadata, 128, 2, spec));
  spec.window_rope = spec.rope;
  WOOLLY_TRY(spec.window_rope->base, model::read_factor(metadata, spec, "rope.freq_base_swa", spec.rope.base));
  WOOLLY_TRY(spec.experts, model::read_experts(metadata, spec));
  return spec;
}

void build_gpt_oss(plan::GraphBuilder& graph) {
  build_transformer(graph, {.has_output_bias = true,
                            .ffn_norm = "post_attention_norm",
                            .gate = plan::Epilogue::kClampedSwiGlu,
                            .has_sinks = true,
                            .has_expert_bias = true});
}

}  // namespace woolly::arch
