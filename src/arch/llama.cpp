// Llama 1 to 3, Mistral 7B, Mixtral, SmolLM2, TinyLlama and others of general.architecture "llama"
// (https://arxiv.org/abs/2302.13971; with experts https://arxiv.org/abs/2401.04088), and Ministral 3 ("mistral3"). Biases
// are optional. Llama 3 files divide the rotary angles by `rope_freqs.weight`.
#include <fmt/format.h>

#include <cmath>

#include "arch/recipes.h"
#include "arch/transformer.h"

namespace woolly::arch {
namespace {

Result<model::Spec> read_spec(const gguf::Metadata& metadata, std::string_view prefix) {
  WOOLLY_TRY(model::Spec spec, model::read_transformer_spec(metadata, prefix, model::RopePairs::kAdjacent));
  spec.rope.factors_tensor = "rope_freqs.weight";
  WOOLLY_TRY(const std::optional<std::uint64_t> n_experts, metadata.find_uint(fmt::format("{}.expert_count", prefix)));
  if (n_experts.value_or(0) != 0) {
    WOOLLY_TRY(spec.experts, model::read_experts(metadata, spec));
    spec.experts.ffn_dim = spec.ffn_dim;
  }
  if (spec.rope.n_rot != spec.head_dim) {
    return Error{ErrorCode::kInvalidFile, fmt::format("{}.rope.dimension_count is {}, it must be the head size, {}",
                                                      prefix, spec.rope.n_rot, spec.head_dim)};
  }
  return spec;
}

}  // namespace

Result<model::Spec> read_llama_spec(const gguf::Metadata& metadata) { return read_spec(metadata, "llama"); }

Result<model::Spec> read_mistral3_spec(const gguf::Metadata& metadata) {
  WOOLLY_TRY(model::Spec spec, read_spec(metadata, "mistral3"));
  WOOLLY_TRY(spec.attention_temperature.scale, model::read_factor(metadata, spec, "attention.temperature_scale", 0.0F));
  spec.attention_temperature.length = spec.rope.original_context;
  WOOLLY_TRY(spec.rope.fast_turns, model::read_factor(metadata, spec, "rope.scaling.yarn_beta_fast", 32.0F));
  WOOLLY_TRY(spec.rope.slow_turns, model::read_factor(metadata, spec, "rope.scaling.yarn_beta_slow", 1.0F));
  WOOLLY_TRY(const float multiplier, model::read_factor(metadata, spec, "rope.scaling.yarn_log_multiplier", 0.0F));
  if (spec.rope.is_yarn && spec.rope.factor > 1.0F) spec.rope.magnitude /= 1.0F + 0.1F * multiplier * std::log(spec.rope.factor);
  return spec;
}

void build_llama(plan::GraphBuilder& graph) {
  build_transformer(graph, {.has_output_bias = true, .has_ffn_bias = true, .has_ffn_scale = true});
}

}  // namespace woolly::arch
