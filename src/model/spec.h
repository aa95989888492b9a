// The facts of a model: dimensions, heads, norms and positions, read from metadata and checked against ranges.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gguf/gguf.h"
#include "woolly/error.h"

namespace woolly::model {

/// Which elements of a head rotary embedding turns together.
enum class RopePairs : std::uint8_t { kAdjacent, kHalves };

/// Rotary position embedding: angle(position, i) = position * base^(-2i / n_rot), scaled.
struct Rope {
  RopePairs pairs = RopePairs::kAdjacent;
  std::uint32_t first = 0;     ///< Element of a head with which those that are rotated begin.
  std::uint32_t n_rot = 0;     ///< Elements of a head that are rotated; even, at most head_dim.
  float base = 10000.0F;
  float factor = 1.0F;         ///< Context extension: angles are divided by it (linear), or blended (YaRN).
  bool is_yarn = false;        ///< https://arxiv.org/abs/2309.00071
  std::uint32_t original_context = 0;  ///< Of the model before extension (YaRN).
  float fast_turns = 32.0F;    ///< YaRN: above so many turns in the original context a pair keeps its angle, ...
  float slow_turns = 1.0F;     ///< ... below so many it is scaled in full (the paper's beta and alpha).
  float magnitude = 1.0F;      ///< Multiplies cosine and sine.
  std::string_view factors_tensor{};  ///< Name of a tensor [n_rot / 2] that divides the angles; empty: none.
  std::string_view long_factors_tensor{};  ///< The same for sequences that may pass original_context (LongRoPE).
};

/// What a router's logits become, to weigh experts by.
enum class Gating : std::uint8_t {
  kSoftmaxOfChosen,  ///< The softmax over the logits of those that are chosen.
  kSoftmax,          ///< The softmax over all logits.
  kSigmoid,          ///< 1 / (1 + e^(-logit)).
};

/// Feed-forward networks of which every token goes through a few: those of its highest scores, the first of equals. A score
/// is what `gating` says, and a bias of the expert, if it has one, which is for choosing alone.
struct Experts {
  static constexpr std::uint32_t kMostGroups = 64;

  std::uint32_t n = 0;       ///< 0: there is one network, for all tokens.
  std::uint32_t n_used = 0;
  std::uint32_t ffn_dim = 0;
  std::uint32_t shared_ffn_dim = 0;  ///< Of a network that all tokens go through besides; 0: there is none.
  float weight_scale = 1.0F;         ///< Multiplies the weights of outputs.
  Gating gating = Gating::kSoftmaxOfChosen;
  bool normalizes = false;           ///< Weights are divided by their sum.
  std::uint32_t n_groups = 1;        ///< Consecutive experts are a group. Only those of groups whose two best scores have ...
  std::uint32_t n_groups_used = 1;   ///< ... the highest sums are chosen from (https://arxiv.org/abs/2412.19437, section 2.1.2).
  std::uint32_t first_layer = 0;     ///< Layers before this have one network.
};

/// Multi-head latent attention (https://arxiv.org/abs/2405.04434, section 2.1): keys and values of all heads are linear in
/// one vector of a position.
struct Latent {
  std::uint32_t query_rank = 0;  ///< Queries are linear in a vector of this size; 0: in the input.
  std::uint32_t rank = 0;        ///< Of the vector of keys and values.
  std::uint32_t key_dim = 0;     ///< Of a head; of these the last Rope::n_rot are not of the vector, and the same for all heads.
  std::uint32_t value_dim = 0;
};

/// Heads of layers with a state in place of attention. Keys and queries are fewer than values.
struct RecurrentHeads {
  std::uint32_t n = 0;  ///< Of values.
  std::uint32_t n_key_heads = 0;
  std::uint32_t key_dim = 0, value_dim = 0;
  bool key_heads_repeat = false;  ///< Head i has key head i modulo their number; else consecutive heads share one.
};

/// Queries grow with their position: times 1 + scale * ln(1 + floor(position / length)). Llama 4's "attention
/// temperature tuning". 0: off.
struct AttentionTemperature {
  float scale = 0.0F;
  std::uint32_t length = 0;
};

/// Dimensions as in the papers; see docs/glossary.md.
struct Spec {
  std::string architecture;
  std::uint32_t n_layers = 0;
  std::uint32_t hidden_dim = 0;
  std::uint32_t n_heads = 0;
  std::uint32_t n_kv_heads = 0;
  std::uint32_t head_dim = 0;   ///< Of queries and keys.
  std::uint32_t value_dim = 0;  ///< Of values.
  std::uint32_t ffn_dim = 0;
  std::uint32_t vocab_size = 0;
  std::uint32_t context_length = 0;
  float norm_eps = 0.0F;
  float attention_scale = 0.0F;  ///< The softmax sees attention_scale * q·k ...
  float attention_soft_cap = 0.0F;  ///< ... or, where this is not 0, soft_cap * tanh(attention_scale * q·k / soft_cap).
  AttentionTemperature attention_temperature;
  std::uint32_t window = 0;       ///< Positions that a query of a windowed layer sees, its own included; 0: no layer is.
  std::vector<bool> is_windowed;  ///< [n_layers], or empty.
  Rope rope;
  std::optional<Rope> window_rope{};   ///< Of windowed layers, where it is another; n_rot and pairs are those of `rope`.
  std::vector<bool> is_recurrent;  ///< [n_layers]: layers with a state in place of attention; empty: none.
  RecurrentHeads recurrent;        ///< Of these, where they have heads.
  std::uint32_t conv_taps = 0;     ///< Positions that the convolution of a recurrent layer sees, its own included.
  std::uint32_t layers_per_unrotated = 0;  ///< The last of every so many layers has no rotary embedding; 0: all have.
  float embedding_scale = 1.0F;   ///< Multiplies what a token's row of the embedding table gives.
  float residual_scale = 1.0F;    ///< Multiplies what attention and feed-forward network add to the residual.
  float logit_scale = 1.0F;       ///< Multiplies logits, ...
  float logit_soft_cap = 0.0F;    ///< ... which then, where this is not 0, become soft_cap * tanh(logit / soft_cap).
  Experts experts;
  Latent latent;
};

/// Reads what decoder-only transformers with grouped-query attention and RMS norms have in common, from the keys
/// `<prefix>.*`. Every number has a range; a value outside is an error that names key, value and range.
/// `Heads::kOfSomeLayers`: a layer of no key-value heads is recurrent.
enum class Heads : std::uint8_t { kOfAllLayers, kOfSomeLayers };
Result<Spec> read_transformer_spec(const gguf::Metadata& metadata, std::string_view prefix, RopePairs pairs,
                                   Heads heads = Heads::kOfAllLayers);

/// The same of architectures without attention and without feed-forward network.
Result<Spec> read_recurrent_spec(const gguf::Metadata& metadata, std::string_view prefix);

/// `<spec.architecture>.<name>`, a whole number from `min` to `max`; `unset` where the key is missing, an error if there
/// is none.
Result<std::uint32_t> read_number(const gguf::Metadata& metadata, const Spec& spec, std::string_view name,
                                  std::uint64_t min, std::uint64_t max, std::optional<std::uint64_t> unset = {});

/// Reads the experts of an architecture that has them, from `<spec.architecture>.expert_*`, with the same errors. Where the
/// file does not say how large they are, they share out `spec.ffn_dim`.
Result<Experts> read_experts(const gguf::Metadata& metadata, const Spec& spec);

/// Reads how the router's logits are used, from `<spec.architecture>.expert_gating_func` and `expert_weights_norm`: without
/// the keys softmax, and weights as they are.
Status read_gating(const gguf::Metadata& metadata, const Spec& spec, Experts& experts);

/// Reads `attention.sliding_window` and which layers have it: `attention.sliding_window_pattern` is a flag for each layer
/// or a number N, of `n_pattern` without it: all layers but the last of every N then. `window` is what a file without
/// the key has; 0: no layer is windowed.
Status read_windows(const gguf::Metadata& metadata, std::uint32_t window, std::uint32_t n_pattern, Spec& spec);

/// `<spec.architecture>.<name>`, a finite number; `unset` where the key is missing or 0.
Result<float> read_factor(const gguf::Metadata& metadata, const Spec& spec, std::string_view name, float unset);

}  // namespace woolly::model
