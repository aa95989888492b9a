// The oracle of all tests that compare logits: one plain transformer, written to be read beside the papers and in the
// manner of llama2.c. Weights are decoded to float32, everything else is double, so its own rounding can be neglected
// beside that of any engine. Slow on purpose; never linked into the product.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "gguf/gguf.h"
#include "os/tensor_source.h"
#include "woolly/error.h"
#include "woolly/tokenizer.h"

namespace woolly::reference {

/// How queries and keys are turned by their position.
struct Rope {
  /// Which two elements of a head make pair i of n pairs.
  enum class Pairs : std::uint8_t {
    kNeighbours,  ///< 2i and 2i + 1 (llama)
    kHalves,      ///< i and i + n (qwen2, qwen3)
  };
  Pairs pairs = Pairs::kNeighbours;
  std::size_t n_rot = 0;  ///< The first `n_rot` elements of a head turn.
  double base = 10000;
  double factor = 1;  ///< Positions are divided by it ("linear"), or some frequencies are (YaRN).
  bool is_yarn = false;
  std::size_t original_context = 0;  ///< The context length before YaRN stretched it.
  double fast_turns = 32, slow_turns = 1;
  double magnitude = 1;              ///< On top of that of YaRN.
  std::vector<float> freq_factors;   ///< One divisor per pair, or empty.
};

/// A matrix with what may come after its product. All but the weight may be absent.
struct Linear {
  std::size_t n_rows = 0;
  std::size_t n_cols = 0;
  std::vector<float> weight;  ///< [n_rows, n_cols]
  std::vector<float> bias;    ///< [n_rows], or empty
  double scale = 1;
  bool scales_bias = false;  ///< (W x + bias) * scale instead of (W x) * scale + bias
};

/// The matrices of a gated network: the only one, or one expert.
struct Expert {
  Linear gate, up, down;
};

class Mixer;

/// An empty vector stands for a norm that the architecture does not have.
struct Layer {
  std::vector<float> attn_norm, attn_post_norm;  ///< [hidden_dim]
  Linear q, k, v, attn_output;
  std::shared_ptr<const Mixer> mixer{};          ///< Beside attention, or in place of it; nullptr: none
  bool attends = true;
  bool has_gates = false;                        ///< q has for each head the query, then gates of what attention gives
  std::vector<float> q_norm, k_norm;             ///< [head_dim] for each head, or of all heads for all at once
  std::vector<float> sinks;                      ///< [n_heads], or empty
  std::vector<float> ffn_norm, ffn_post_norm;    ///< [hidden_dim]
  Expert ffn;                                    ///< For all tokens; beside experts where it is there
  bool has_ffn = true;
  Linear shared_gate{};                          ///< [1, hidden_dim]: its sigmoid multiplies what `ffn` gives
  Linear router;                                 ///< [n_experts, hidden_dim]
  std::vector<float> selection_bias{};           ///< [n_experts], or empty
  std::vector<Expert> experts;
  std::size_t window = 0;                        ///< Positions that a query sees, with its own; 0: all
  Rope rope;
  bool has_rope = true;
};

/// How experts are chosen and weighted.
struct Gating {
  bool is_sigmoid = false;  ///< Of each logit, in place of the softmax over all.
  bool normalizes = true;   ///< Weights are made to sum to one.
  std::size_t n_groups = 1, n_groups_used = 1;
};

/// What stands between gate and up.
enum class Gate : std::uint8_t {
  kSilu,
  kGelu,     ///< In the tanh form
  kClamped,  ///< gpt-oss
};

/// The architectures that `Loader` in the source file lists. Immutable after loading.
class ReferenceModel {
 public:
  static Result<ReferenceModel> load(const gguf::File& file, const os::TensorSource& source);
  static Result<ReferenceModel> open(const std::filesystem::path& path);

  [[nodiscard]] std::size_t vocab_size() const noexcept { return vocab_size_; }

  /// The logits [n_tokens, vocab_size] of a text from position 0 on. Each token must be below vocab_size().
  [[nodiscard]] std::vector<float> logits(std::span<const TokenId> tokens) const;

 private:
  using Vector = std::vector<double>;

  friend class Loader;
  ReferenceModel() = default;

  /// Adds the output of attention to `x` [n_tokens][hidden_dim].
  void attend(const Layer& layer, std::vector<Vector>& x) const;
  /// The output of a layer's mixer.
  [[nodiscard]] std::vector<Vector> mix(const Layer& layer, const std::vector<Vector>& x) const;
  /// Adds the output of the feed-forward network to `x` [hidden_dim].
  void feed_forward(const Layer& layer, Vector& x) const;
  [[nodiscard]] Vector gated_network(const Expert& network, const Vector& x) const;
  /// The outputs of the experts that are chosen, weighted.
  [[nodiscard]] Vector experts(const Layer& layer, const Vector& normed) const;

  std::size_t vocab_size_ = 0;
  std::size_t hidden_dim_ = 0;
  std::size_t ffn_dim_ = 0;
  std::size_t n_heads_ = 0;
  std::size_t n_kv_heads_ = 0;
  std::size_t head_dim_ = 0;
  std::size_t n_experts_ = 0;  ///< 0: none.
  std::size_t n_experts_used_ = 0;
  std::size_t expert_ffn_dim_ = 0;
  double expert_scale_ = 1;
  Gating gating_;
  double rms_eps_ = 0;
  Gate gate_ = Gate::kSilu;
  double embedding_scale_ = 1, residual_scale_ = 1, logit_scale_ = 1;
  double attention_scale_ = 0;
  double attention_cap_ = 0, logit_cap_ = 0;     ///< 0: none
  double temperature_ = 0;                       ///< Queries grow with their position where this is not 0.
  std::size_t temperature_length_ = 0;
  Rope rope_;
  std::vector<float> token_embd_;  ///< [vocab_size, hidden_dim]
  std::vector<Layer> layers_;
  std::vector<float> output_norm_;  ///< [hidden_dim]
  Linear output_;
};

}  // namespace woolly::reference
