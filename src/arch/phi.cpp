// Phi-3, 3.5 and 4 (https://arxiv.org/abs/2404.14219): gate and up in one matrix, LongRoPE
// (https://arxiv.org/abs/2402.13753) in the models of long contexts.
#include "arch/recipes.h"
#include "arch/transformer.h"

namespace woolly::arch {

Result<model::Spec> read_phi3_spec(const gguf::Metadata& metadata) {
  WOOLLY_TRY(model::Spec spec, model::read_transformer_spec(metadata, "phi3", model::RopePairs::kHalves));
  spec.rope.factors_tensor = "rope_factors_short.weight";
  spec.rope.long_factors_tensor = "rope_factors_long.weight";
  return spec;
}

void build_phi3(plan::GraphBuilder& graph) { build_transformer(graph, {.has_gate_in_up = true}); }

}  // namespace woolly::arch
