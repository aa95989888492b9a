// GLM-4 (https://arxiv.org/abs/2406.12793, the models of 2025): norms before and after, gate and up in one matrix, and a
// rotary embedding of a part of each head. Where the file has sections of it, for images, its pairs are halves, and all
// sections of a text have the same position.
#include "arch/recipes.h"
#include "arch/transformer.h"

namespace woolly::arch {

Result<model::Spec> read_glm4_spec(const gguf::Metadata& metadata) {
  WOOLLY_TRY(const std::vector<std::int64_t> sections, metadata.ints("glm4.rope.dimension_sections"));
  const bool has_sections = sections.size() >= 2 && sections[0] > 0 && sections[1] > 0;
  return model::read_transformer_spec(metadata, "glm4",
                                      has_sections ? model::RopePairs::kHalves : model::RopePairs::kAdjacent);
}

void build_glm4(plan::GraphBuilder& graph) {
  build_transformer(graph, {.has_post_norms = true, .has_gate_in_up = true});
}

}  // namespace woolly::arch
