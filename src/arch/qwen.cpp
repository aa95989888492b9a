// Qwen2 and Qwen2.5 (biases on queries, keys and values; https://arxiv.org/abs/2407.10671) and Qwen3 (norms on query
// and key heads instead; https://arxiv.org/abs/2505.09388), the latter also with experts.
#include "arch/recipes.h"
#include "arch/transformer.h"

namespace woolly::arch {

Result<model::Spec> read_qwen2_spec(const gguf::Metadata& metadata) {
  return model::read_transformer_spec(metadata, "qwen2", model::RopePairs::kHalves);
}

void build_qwen2(plan::GraphBuilder& graph) {
  build_transformer(graph, {.has_logit_bias = true});
}

Result<model::Spec> read_qwen3_spec(const gguf::Metadata& metadata) {
  return model::read_transformer_spec(metadata, "qwen3", model::RopePairs::kHalves);
}

Result<model::Spec> read_qwen3moe_spec(const gguf::Metadata& metadata) {
  WOOLLY_TRY(model::Spec spec, model::read_transformer_spec(metadata, "qwen3moe", model::RopePairs::kHalves));
  WOOLLY_TRY(spec.experts, model::read_experts(metadata, spec));
  return spec;
}

void build_qwen3(plan::GraphBuilder& graph) {
  build_transformer(graph, {.has_ffn_scale = true, .qk_norm = QkNorm::kHeads});
}

}  // namespace woolly::arch
