// SmolLM3 (https://huggingface.co/blog/smollm3): a llama without rotary embedding in every fourth layer
// (https://arxiv.org/abs/2501.18795).
#include "arch/recipes.h"
#include "arch/transformer.h"

namespace woolly::arch {

Result<model::Spec> read_smollm3_spec(const gguf::Metadata& metadata) {
  WOOLLY_TRY(model::Spec spec, model::read_transformer_spec(metadata, "smollm3", model::RopePairs::kAdjacent));
  spec.layers_per_unrotated = 4;
  return spec;
}

void build_smollm3(plan::GraphBuilder& graph) { build_transformer(graph, {}); }

}  // namespace woolly::arch
