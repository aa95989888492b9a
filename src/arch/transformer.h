// What the recipes of decoder-only transformers share: blocks of grouped-query attention and a gated feed-forward network or
// experts, each normed before it, after it or both, and added to the residual.
#pragma once

#include <string>
#include <string_view>

#include "plan/graph.h"

namespace woolly::arch {

/// What RMS norms of queries and keys, before the rotary embedding, go over.
enum class QkNorm : std::uint8_t { kNone, kHeads, kRows };

/// What a layer mixed of positions, and the matrix that it goes through before it is added to the residual.
struct Mixed {
  plan::BufferId out;
  std::string_view projection;
};

/// What differs between the architectures that are built from these blocks. Where a file has them, biases and scales of
/// queries, keys and values are read for all, and these in one matrix too.
struct TransformerTraits {
  bool has_output_bias = false;  ///< `attn_output.bias`.
  bool has_ffn = true;
  bool has_ffn_bias = false;
  bool has_ffn_scale = false;    ///< `ffn_*.scale` are read, if the file has them.
  bool has_logit_bias = false;   ///< `output.bias`.
  QkNorm qk_norm = QkNorm::kNone;
  bool has_pre_norms = true;     ///< Of what attention and feed-forward network read.
  bool has_post_norms = false;   ///< Of what they give.
  std::string_view ffn_norm = "ffn_norm";
  bool has_gate_in_up = false;   ///< `ffn_up` has the rows of the gate, then its own.
  plan::Epilogue gate = plan::Epilogue::kSwiGlu;
  bool has_sinks = false;
  bool has_attention_gates = false;  ///< `attn_q` has for each head the rows of the query, then those of its gates.
  bool has_expert_bias = false;
  bool has_shared_expert = false;  ///< Spec::experts.shared_ffn_dim is looked at.
  bool has_shared_expert_gate = false;  ///< `ffn_gate_inp_shexp`, whose sigmoid multiplies what the shared expert gives.
  bool may_have_gate_and_up = false;  ///< `ffn_gate_up_exps` in place of two tensors.
  bool has_selection_bias = false; ///< `exp_probs_b.bias`, if the file has it.
  /// Writes what stands in place of attention, of the norm of `x`: in the layers that Spec::is_recurrent names, in all where
  /// it is empty.
  Mixed (*mix)(plan::GraphBuilder& graph, const std::string& layer, plan::BufferId x, plan::Norm norm) = nullptr;
  std::string_view output_norm = "output_norm";
};

/// A state space in place of attention (TransformerTraits::mix).
Mixed state_space(plan::GraphBuilder& graph, const std::string& layer, plan::BufferId x, plan::Norm norm);

void build_transformer(plan::GraphBuilder& graph, const TransformerTraits& traits);

}  // namespace woolly::arch
