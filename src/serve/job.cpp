#include "serve/job.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace woolly::serve {

Piece logprobs_of(std::span<const float> logits, TokenId token, std::size_t n_top) {
  const double max = static_cast<double>(*std::max_element(logits.begin(), logits.end()));
  double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - max);
  const double log_sum = max + std::log(sum);
  const auto logprob = [&](std::size_t i) { return static_cast<float>(static_cast<double>(logits[i]) - log_sum); };

  Piece piece{.id = token, .logprob = logprob(static_cast<std::size_t>(token.value)), .top = {}};
  std::vector<std::int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  const std::size_t n = std::min(n_top, order.size());
  const auto before = [&](std::int32_t a, std::int32_t b) {
    const float x = logits[static_cast<std::size_t>(a)], y = logits[static_cast<std::size_t>(b)];
    return x != y ? x > y : a < b;
  };
  std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(n), order.end(), before);
  for (std::size_t i = 0; i < n; ++i) piece.top.push_back({{order[i]}, logprob(static_cast<std::size_t>(order[i]))});
  return piece;
}

}  // namespace woolly::serve
