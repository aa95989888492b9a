// OLMo 2 (https://arxiv.org/abs/2501.00656) and 3: norms after attention and feed-forward network, not before, and of whole
// rows of queries and keys; OLMo 3 with windows, whose layers do not stretch the rotary embedding.
#include "arch/recipes.h"
#include "arch/transformer.h"

namespace woolly::arch {

Result<model::Spec> read_olmo2_spec(const gguf::Metadata& metadata) {
  WOOLLY_TRY(model::Spec spec, model::read_transformer_spec(metadata, "olmo2", model::RopePairs::kHalves));
  WOOLLY_CHECK(model::read_windows(metadata, 0, 4, spec));
  spec.window_rope = model::Rope{.pairs = spec.rope.pairs, .n_rot = spec.rope.n_rot, .base = spec.rope.base};
  return spec;
}

void build_olmo2(plan::GraphBuilder& graph) {
  build_transformer(graph, {.qk_norm = QkNorm::kRows, .has_pre_norms = false, .has_post_norms = true});
}

}  // namespace woolly::arch
