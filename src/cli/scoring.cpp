#include "cli/scoring.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "sample/exp.h"

namespace woolly::cli {

Status check_token_ids(std::span<const TokenId> tokens, const Model& model) {
  for (const TokenId token : tokens) {
    if (static_cast<std::size_t>(token.value) < model.vocab_size()) continue;
    return Error{ErrorCode::kInvalidArgument,
                 fmt::format("--tokens: {}, the vocabulary has {}", token.value, model.vocab_size())};
  }
  return {};
}

std::size_t logit_rows_for(const Model& model, std::size_t chunk) {
  constexpr std::size_t kMaxBytes = std::size_t{64} << 20;
  return std::clamp<std::size_t>(kMaxBytes / (sizeof(float) * model.vocab_size()), 1, chunk);
}

double log_probability(std::span<const float> logits, TokenId token) {
  const auto max = static_cast<double>(*std::ranges::max_element(logits));
  double sum = 0.0;
  for (const float logit : logits) sum += sample::exp(static_cast<double>(logit) - max);
  return static_cast<double>(logits[static_cast<std::size_t>(token.value)]) - max - std::log(sum);
}

}  // namespace woolly::cli
