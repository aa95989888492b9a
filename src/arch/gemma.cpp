// Gemma 2 (https://arxiv.org/abs/2408.00118) and Gemma 3 (https://arxiv.org/abs/2503.19786): norms before and after,
// GELU, embeddings times the root of their length; soft caps (2), norms of query and key heads (3), windows. The file's norm
// weights have the one already that the papers add.
#include <cmath>

#include "arch/recipes.h"
#include "arch/transformer.h"

namespace woolly::arch {
namespace {

Result<model::Spec> read_spec(const gguf::Metadata& metadata, std::string_view prefix) {
  WOOLLY_TRY(model::Spec spec, model::read_transformer_spec(metadata, prefix, model::RopePairs::kHalves));
  spec.embedding_scale = std::sqrt(static_cast<float>(spec.hidden_dim));
  return spec;
}

/// The models of 27 billion parameters scale by the mean share of a head in the hidden dimension.
void scale_by_hidden_dim(model::Spec& spec) {
  spec.attention_scale = 1.0F / std::sqrt(static_cast<float>(spec.hidden_dim / spec.n_heads));
}

}  // namespace

Result<model::Spec> read_gemma2_spec(const gguf::Metadata& metadata) {
  WOOLLY_TRY(model::Spec spec, read_spec(metadata, "gemma2"));
  WOOLLY_CHECK(model::read_windows(metadata, 4096, 2, spec));
  WOOLLY_TRY(spec.attention_soft_cap, model::read_factor(metadata, spec, "attn_logit_softcapping", 50.0F));
  WOOLLY_TRY(spec.logit_soft_cap, model::read_factor(metadata, spec, "final_logit_softcapping", 30.0F));
  if (spec.n_layers == 46) scale_by_hidden_dim(spec);
  return spec;
}

void build_gemma2(plan::GraphBuilder& graph) {
  build_transformer(graph, {.has_post_norms = true, .gate = plan::Epilogue::kGeGlu});
}

Result<model::Spec> read_gemma3_spec(const gguf::Metadata& metadata) {
  WOOLLY_TRY(model::Spec spec, read_spec(metadata, "gemma3"));
  WOOLLY_CHECK(model::read_windows(metadata, 0, 6, spec));
  WOOLLY_TRY(spec.logit_soft_cap, model::read_factor(metadata, spec, "final_logit_softcapping", 0.0F));
  spec.window_rope = model::Rope{.pairs = spec.rope.pairs, .n_rot = spec.rope.n_rot};
  WOOLLY_TRY(spec.window_rope->base, model::read_factor(metadata, spec, "rope.freq_base_swa", 10000.0F));
  if (spec.n_layers == 62) scale_by_hidden_dim(spec);
  return spec;
}

void build_gemma3(plan::GraphBuilder& graph) {
  build_transformer(graph, {.qk_norm = QkNorm::kHeads, .has_post_norms = true, .gate = plan::Epilogue::kGeGlu});
}

}  // namespace woolly::arch
