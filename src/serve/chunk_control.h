// How many tokens of prompts go into a step beside running streams.
#pragma once

#include <cstddef>

namespace woolly::serve {

/// Keeps steps that take prompts along at most `kSlowest` times as long as those that do not: a running stream then has its
/// tokens in time. Learns from the steps' durations; one object per model.
class ChunkControl {
 public:
  /// Of the time between tokens that people were promised, three times what it is without a prompt; the rest is for what
  /// cannot be foreseen.
  static constexpr double kSlowest = 2.4;
  /// Fewer would leave a prompt waiting for long.
  static constexpr std::size_t kFewest = 8;

  /// `chunk`: the most tokens of a step.
  explicit ChunkControl(std::size_t chunk) : chunk_(chunk) {}

  /// Tokens of prompts for a step with `n_streams` rows of streams.
  [[nodiscard]] std::size_t budget(std::size_t n_streams) const;

  /// A step took `seconds`, with so many rows of streams and tokens of prompts.
  void learn(std::size_t n_streams, std::size_t n_prompt, double seconds);

 private:
  std::size_t chunk_;
  double streams_time_ = 0;  ///< Of a step of streams alone; 0: not known.
  double token_time_ = 0;    ///< That a token of a prompt adds; 0: not known.
};

}  // namespace woolly::serve
