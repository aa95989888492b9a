// Llama 1 to 3, Mistral 7B, SmolLM2, TinyLlama and others of general.architecture "llama". https://arxiv.org/abs/2302.13971
// Biases are optional. Llama 3 files divide the rotary angles by `rope_freqs.weight`.
#include <fmt/format.h>

#include "arch/recipes.h"
#include "arch/transformer.h"

namespace woolly::arch {

Result<model::Spec> read_llama_spec(const gguf::Metadata& metadata) {
  WOOLLY_TRY(model::Spec spec, model::read_transformer_spec(metadata, "llama", model::RopePairs::kAdjacent));
  spec.rope.factors_tensor = "rope_freqs.weight";
  WOOLLY_TRY(const std::optional<std::uint64_t> n_experts, metadata.find_uint("llama.expert_count"));
  if (n_experts.value_or(0) != 0) {
    return Error{ErrorCode::kUnsupported,
                 fmt::format("llama.expert_count is {}: mixtures of experts are not supported", *n_experts)};
  }
  if (spec.rope.n_rot != spec.head_dim) {
    return Error{ErrorCode::kInvalidFile, fmt::format("llama.rope.dimension_count is {}, it must be the head size, {}",
                                                      spec.rope.n_rot, spec.head_dim)};
  }
  return spec;
}

void build_llama(plan::GraphBuilder& graph) {
  build_transformer(graph, {.has_qkv_bias = true, .has_output_bias = true, .has_ffn_bias = true, .has_ffn_scale = true});
}

}  // namespace woolly::arch
