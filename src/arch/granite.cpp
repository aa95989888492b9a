// Granite 3 (https://github.com/ibm-granite/granite-3.0-language-models) and with experts: a llama whose embeddings,
// attention scores, residuals and logits are scaled by numbers of the file. Most layers of Granite 4's hybrids have a state
// space in place of attention.
#include "arch/recipes.h"
#include "arch/state_space.h"
#include "arch/transformer.h"

namespace woolly::arch {
namespace {

Result<model::Spec> read_spec(const gguf::Metadata& metadata, std::string_view prefix,
                              model::Heads heads = model::Heads::kOfAllLayers) {
  WOOLLY_TRY(model::Spec spec, model::read_transformer_spec(metadata, prefix, model::RopePairs::kAdjacent, heads));
  WOOLLY_TRY(const float logit_scale, model::read_factor(metadata, spec, "logit_scale", 1.0F));
  spec.logit_scale = 1.0F / logit_scale;
  WOOLLY_TRY(spec.residual_scale, model::read_factor(metadata, spec, "residual_scale", 1.0F));
  WOOLLY_TRY(spec.embedding_scale, model::read_factor(metadata, spec, "embedding_scale", 1.0F));
  WOOLLY_TRY(spec.attention_scale, model::read_factor(metadata, spec, "attention.scale", spec.attention_scale));
  spec.rope.factors_tensor = "rope_freqs.weight";
  return spec;
}

/// "finetuned" says whether there is a rotary embedding at all.
Status read_rotation(const gguf::Metadata& metadata, model::Spec& spec) {
  WOOLLY_TRY(const std::optional<bool> has_rope, metadata.find_bool(spec.architecture + ".rope.scaling.finetuned"));
  if (!has_rope.value_or(true)) spec.layers_per_unrotated = 1;
  return {};
}

Status read_experts(const gguf::Metadata& metadata, model::Spec& spec) {
  WOOLLY_TRY(spec.experts, model::read_experts(metadata, spec));
  spec.experts.ffn_dim = spec.ffn_dim;
  spec.experts.weight_scale *= spec.residual_scale;
  return {};
}

}  // namespace

Result<model::Spec> read_granite_spec(const gguf::Metadata& metadata) {
  WOOLLY_TRY(model::Spec spec, read_spec(metadata, "granite"));
  WOOLLY_CHECK(read_rotation(metadata, spec));
  return spec;
}

Result<model::Spec> read_granitemoe_spec(const gguf::Metadata& metadata) {
  WOOLLY_TRY(model::Spec spec, read_spec(metadata, "granitemoe"));
  WOOLLY_CHECK(read_experts(metadata, spec));
  return spec;
}

Result<model::Spec> read_granitehybrid_spec(const gguf::Metadata& metadata) {
  WOOLLY_TRY(model::Spec spec, read_spec(metadata, "granitehybrid", model::Heads::kOfSomeLayers));
  WOOLLY_CHECK(read_rotation(metadata, spec));
  WOOLLY_CHECK(read_state_space(metadata, spec));
  WOOLLY_TRY(const std::optional<std::uint64_t> n_experts, metadata.find_uint("granitehybrid.expert_count"));
  if (n_experts.value_or(0) != 0) WOOLLY_CHECK(read_experts(metadata, spec));
  return spec;
}

void build_granite(plan::GraphBuilder& graph) {
  build_transformer(graph, {.has_output_bias = true, .has_ffn_bias = true, .has_shared_expert = true});
}

void build_granitehybrid(plan::GraphBuilder& graph) {
  build_transformer(graph,
                    {.has_output_bias = true, .has_ffn_bias = true, .has_shared_expert = true, .mix = state_space});
}

}  // namespace woolly::arch
