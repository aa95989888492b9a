// Qwen2 and Qwen2.5 (biases on queries, keys and values; https://arxiv.org/abs/2407.10671) and Qwen3 (norms on query
// and key heads instead; https://arxiv.org/abs/2505.09388).
#include "arch/recipes.h"
#include "arch/transformer.h"

namespace woolly::arch {

Result<model::Spec> read_qwen2_spec(const gguf::Metadata& metadata) {
  return model::read_transformer_spec(metadata, "qwen2", model::RopePairs::kHalves);
}

void build_qwen2(plan::GraphBuilder& graph) {
  build_transformer(graph, {.has_qkv_bias = true, .has_logit_bias = true});
}

Result<model::Spec> read_qwen3_spec(const gguf::Metadata& metadata) {
  return model::read_transformer_spec(metadata, "qwen3", model::RopePairs::kHalves);
}

void build_qwen3(plan::GraphBuilder& graph) {
  build_transformer(graph, {.has_qkv_bias = true, .has_ffn_scale = true, .has_qk_norm = true});
}

}  // namespace woolly::arch
