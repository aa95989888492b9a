// What the recipes of decoder-only transformers share: pre-norm blocks of grouped-query attention and a gated
// feed-forward network or experts, each added to the residual.
#pragma once

#include "plan/graph.h"

namespace woolly::arch {

/// What differs between the architectures that are built from these blocks.
struct TransformerTraits {
  bool has_qkv_bias = false;     ///< `attn_q.bias` and so on are read, if the file has them.
  bool has_output_bias = false;  ///< `attn_output.bias`.
  bool has_ffn_bias = false;
  bool has_ffn_scale = false;    ///< `ffn_*.scale` are read, if the file has them.
  bool has_logit_bias = false;   ///< `output.bias`.
  bool has_qk_norm = false;      ///< RMS norm of every query and key head, before the rotary embedding.
};

void build_transformer(plan::GraphBuilder& graph, const TransformerTraits& traits);

}  // namespace woolly::arch
