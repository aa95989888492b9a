// The facts of a model: dimensions, heads, norms and positions, read from metadata and checked against ranges.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "gguf/gguf.h"
#include "woolly/error.h"

namespace woolly::model {

/// Which elements of a head rotary embedding turns together.
enum class RopePairs : std::uint8_t { kAdjacent, kHalves };

/// Rotary position embedding: angle(position, i) = position * base^(-2i / n_rot), scaled.
struct Rope {
  RopePairs pairs = RopePairs::kAdjacent;
  std::uint32_t n_rot = 0;     ///< Elements of a head that are rotated; even, at most head_dim.
  float base = 10000.0F;
  float factor = 1.0F;         ///< Context extension: angles are divided by it (linear), or blended (YaRN).
  bool is_yarn = false;        ///< https://arxiv.org/abs/2309.00071
  std::uint32_t original_context = 0;  ///< Of the model before extension (YaRN).
  float magnitude = 1.0F;      ///< Multiplies cosine and sine.
  std::string_view factors_tensor{};  ///< Name of a tensor [n_rot / 2] that divides the angles; empty: none.
};

/// Feed-forward networks of which every token goes through a few.
struct Experts {
  std::uint32_t n = 0;       ///< 0: there is one network, for all tokens.
  std::uint32_t n_used = 0;  ///< A token goes to the experts of its highest router logits, the first of equals.
  std::uint32_t ffn_dim = 0;
  float weight_scale = 1.0F;  ///< Their outputs are weighted by weight_scale * softmax over the chosen logits.
};

/// Dimensions as in the papers; see docs/glossary.md.
struct Spec {
  std::string architecture;
  std::uint32_t n_layers = 0;
  std::uint32_t hidden_dim = 0;
  std::uint32_t n_heads = 0;
  std::uint32_t n_kv_heads = 0;
  std::uint32_t head_dim = 0;
  std::uint32_t ffn_dim = 0;
  std::uint32_t vocab_size = 0;
  std::uint32_t context_length = 0;
  float norm_eps = 0.0F;
  float attention_scale = 0.0F;  ///< The softmax sees attention_scale * q·k.
  Rope rope;
  Experts experts;
};

/// Reads what decoder-only transformers with grouped-query attention and RMS norms have in common, from the keys
/// `<prefix>.*`. Every number has a range; a value outside is an error that names key, value and range.
Result<Spec> read_transformer_spec(const gguf::Metadata& metadata, std::string_view prefix, RopePairs pairs);

/// Reads the experts of an architecture that has them, from `<spec.architecture>.expert_*`, with the same errors.
Result<Experts> read_experts(const gguf::Metadata& metadata, const Spec& spec);

}  // namespace woolly::model
