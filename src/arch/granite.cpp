// Granite 3 (https://github.com/ibm-granite/granite-3.0-language-models) and with experts: a llama whose embeddings,
// attention scores, residuals and logits are scaled by numbers of the file.
#include "arch/recipes.h"
#include "arch/transformer.h"

namespace woolly::arch {
namespace {

Result<model::Spec> read_spec(const gguf::Metadata& metadata, std::string_view prefix) {
  WOOLLY_TRY(model::Spec spec, model::read_transformer_spec(metadata, prefix, model::RopePairs::kAdjacent));
  WOOLLY_TRY(const float logit_scale, model::read_factor(metadata, spec, "logit_scale", 1.0F));
  spec.logit_scale = 1.0F / logit_scale;
  WOOLLY_TRY(spec.residual_scale, model::read_factor(metadata, spec, "residual_scale", 1.0F));
  WOOLLY_TRY(spec.embedding_scale, model::read_factor(metadata, spec, "embedding_scale", 1.0F));
  WOOLLY_TRY(spec.attention_scale, model::read_factor(metadata, spec, "attention.scale", spec.attention_scale));
  spec.rope.factors_tensor = "rope_freqs.weight";
  return spec;
}

}  // namespace

/// "finetuned" says whether there is a rotary embedding at all.
Result<model::Spec> read_granite_spec(const gguf::Metadata& metadata) {
  WOOLLY_TRY(model::Spec spec, read_spec(metadata, "granite"));
  WOOLLY_TRY(const std::optional<bool> has_rope, metadata.find_bool("granite.rope.scaling.finetuned"));
  if (!has_rope.value_or(true)) spec.layers_per_unrotated = 1;
  return spec;
}

Result<model::Spec> read_granitemoe_spec(const gguf::Metadata& metadata) {
  WOOLLY_TRY(model::Spec spec, read_spec(metadata, "granitemoe"));
  WOOLLY_TRY(spec.experts, model::read_experts(metadata, spec));
  spec.experts.ffn_dim = spec.ffn_dim;
  spec.experts.weight_scale *= spec.residual_scale;
  return spec;
}

void build_granite(plan::GraphBuilder& graph) {
  build_transformer(graph, {.has_output_bias = true, .has_ffn_bias = true, .has_shared_expert = true});
}

}  // namespace woolly::arch
