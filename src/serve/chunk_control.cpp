#include "serve/chunk_control.h"

#include <algorithm>

namespace woolly::serve {
namespace {

/// The weight of the latest step: some ten steps make the mean.
constexpr double kLatest = 0.2;

void blend(double& mean, double value) { mean = mean == 0 ? value : mean + kLatest * (value - mean); }

}  // namespace

std::size_t ChunkControl::budget(std::size_t n_streams) const {
  if (n_streams == 0) return chunk_;
  const std::size_t room = chunk_ - std::min(chunk_, n_streams);
  const std::size_t fewest = std::min(room, kFewest);
  if (streams_time_ == 0 || token_time_ == 0) return fewest;
  const double tokens = (kSlowest - 1) * streams_time_ / token_time_;
  return tokens >= static_cast<double>(room) ? room : std::max(fewest, static_cast<std::size_t>(tokens));
}

void ChunkControl::learn(std::size_t n_streams, std::size_t n_prompt, double seconds) {
  if (n_prompt == 0) {
    if (n_streams > 0) blend(streams_time_, seconds);
  } else if (n_streams == 0) {
    // A large chunk costs less a token than a small one beside streams: a first guess only.
    if (token_time_ == 0) token_time_ = seconds / static_cast<double>(n_prompt);
  } else if (streams_time_ > 0) {
    blend(token_time_, std::max(seconds - streams_time_, 0.05 * seconds) / static_cast<double>(n_prompt));
  } else {
    blend(streams_time_, seconds / 2);  // until there is a step without prompts
  }
}

}  // namespace woolly::serve
