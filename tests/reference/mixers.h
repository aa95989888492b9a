// What stands in place of attention with keys and values of each head, written from the definitions of the models.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "reference/file_reader.h"

namespace woolly::reference {

/// Of one layer. Immutable.
class Mixer {
 public:
  virtual ~Mixer() = default;
  /// What the layer adds to the residual, of its normed inputs [n_tokens][hidden_dim] from position 0 on.
  [[nodiscard]] virtual std::vector<std::vector<double>> mix(const std::vector<std::vector<double>>& x) const = 0;
};

using MixerPtr = std::shared_ptr<const Mixer>;

/// The gated short convolution of LFM2.
Result<MixerPtr> read_short_convolution(FileReader& file, const std::string& prefix, std::size_t hidden_dim);
/// Multi-head latent attention of DeepSeek-V2; `rope` is that of the file.
Result<MixerPtr> read_latent_attention(FileReader& file, const std::string& prefix, std::size_t hidden_dim, std::size_t n_heads,
                                       double eps, const Rope& rope);

/// The gated delta rule of Qwen3-Next and Qwen3.5.
Result<MixerPtr> read_delta_rule(FileReader& file, const std::string& prefix, std::size_t hidden_dim, double eps);

/// The state space of Mamba-2.
Result<MixerPtr> read_state_space(FileReader& file, const std::string& prefix, std::size_t hidden_dim, double eps);

}  // namespace woolly::reference
