// The way of a choice: logit bias -> penalties -> [temperature 0: the most likely] -> top-k -> top-p -> min-p ->
// temperature -> softmax -> draw. The order from the penalties on is that of the table in sample/filters.cpp.
#include "sample/sampler.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

#include "base/assert.h"
#include "sample/filters.h"
#include "sample/rng.h"

namespace woolly::sample {
namespace {

using Apply = void (*)(const SamplingOptions&, const RecentTokens&, Candidates&) noexcept;

/// The functions of one kind that have something to do, in the order of the table.
std::vector<Apply> chain_of(FilterKind kind, const SamplingOptions& options) {
  std::vector<Apply> chain;
  for (const Filter& filter : all_filters()) {
    if (filter.kind == kind && filter.is_on(options)) chain.push_back(filter.apply);
  }
  return chain;
}

Status check_bias(const SamplingOptions& options, std::size_t vocab_size) {
  for (const auto& [token, bias] : options.logit_bias) {
    if (token.value < 0 || static_cast<std::size_t>(token.value) >= vocab_size) {
      return Error{ErrorCode::kInvalidArgument,
                   fmt::format("logit_bias: token {}, the vocabulary has {}", token.value, vocab_size)};
    }
    if (!(bias < std::numeric_limits<float>::infinity())) {
      return Error{
          ErrorCode::kInvalidArgument,
          fmt::format("logit_bias: {} for token {}, allowed is any finite number and -inf", bias, token.value)};
    }
  }
  return {};
}

}  // namespace

struct Sampler::State {
  SamplingOptions options;
  std::vector<Apply> penalties;
  std::vector<Apply> shapes;
  RecentTokens recent;
  Rng rng;
  std::vector<Candidate> storage;  // [vocab_size]
  std::vector<TokenId> banned;     // ascending

  State(const SamplingOptions& sampling, std::size_t vocab_size)
      : options(sampling),
        penalties(chain_of(FilterKind::kPenalty, sampling)),
        shapes(chain_of(FilterKind::kShape, sampling)),
        recent(penalties.empty() ? 0 : sampling.repeat_last_n, vocab_size),
        rng(sampling.seed),
        storage(vocab_size) {
    for (const auto& [token, bias] : options.logit_bias) {
      if (bias == kNever) banned.push_back(token);
    }
    std::ranges::sort(banned);
  }

  [[nodiscard]] bool is_greedy() const noexcept { return options.temperature == 0.0F; }
  [[nodiscard]] bool changes_logits() const noexcept { return !penalties.empty() || !options.logit_bias.empty(); }

  /// Copies the logits, each to the index of its id, and adds biases and penalties.
  Candidates gather(std::span<const float> logits) noexcept {
    for (std::size_t i = 0; i < logits.size(); ++i) {
      storage[i] = {number_or_never(logits[i]), static_cast<std::int32_t>(i)};
    }
    for (const auto& [token, bias] : options.logit_bias) {
      float& logit = storage[static_cast<std::size_t>(token.value)].logit;
      logit = number_or_never(logit + bias);
    }
    Candidates candidates{storage};
    for (const Apply apply : penalties) apply(options, recent, candidates);
    return candidates;
  }

  /// What is chosen when no logit is above -inf.
  [[nodiscard]] TokenId lowest_allowed() const noexcept {
    TokenId token{0};
    for (const TokenId ban : banned) {
      if (ban == token) ++token.value;
    }
    return static_cast<std::size_t>(token.value) < storage.size() ? token : TokenId{0};
  }

  TokenId draw(const Candidates& candidates) noexcept {
    const float max = candidates.max();
    if (max == kNever) return lowest_allowed();
    double total = 0.0;
    for (const Candidate& item : candidates.items) total += weight(item.logit, max);
    double left = rng.next_unit() * total;
    std::int32_t chosen = 0;
    for (const Candidate& item : candidates.items) {
      const double share = weight(item.logit, max);
      if (share == 0.0) continue;
      chosen = item.id;  // The last possible one stays chosen where rounding leaves a remainder.
      left -= share;
      if (left < 0.0) break;
    }
    return TokenId{chosen};
  }
};

namespace {

/// The index of the largest of `n` logits, the lowest of equals; nothing where none is above -inf.
template <typename LogitAt>
std::optional<TokenId> most_likely(std::size_t n, LogitAt logit_at) noexcept {
  std::optional<TokenId> best;
  float largest = kNever;
  for (std::size_t i = 0; i < n; ++i) {
    if (const float logit = logit_at(i); logit > largest) {
      largest = logit;
      best = TokenId{static_cast<std::int32_t>(i)};
    }
  }
  return best;
}

}  // namespace

Result<Sampler> Sampler::create(const SamplingOptions& options, std::size_t vocab_size) {
  if (vocab_size == 0 || vocab_size > std::numeric_limits<std::int32_t>::max()) {
    return Error{ErrorCode::kInvalidArgument, fmt::format("vocabulary: {} tokens, allowed is at least 1 and at most {}",
                                                          vocab_size, std::numeric_limits<std::int32_t>::max())};
  }
  WOOLLY_CHECK(check_ranges(options));
  WOOLLY_CHECK(check_bias(options, vocab_size));
  return Sampler(std::make_unique<State>(options, vocab_size));
}

Sampler::Sampler(std::unique_ptr<State> state) : state_(std::move(state)) {}
Sampler::Sampler(Sampler&&) noexcept = default;
Sampler& Sampler::operator=(Sampler&&) noexcept = default;
Sampler::~Sampler() = default;

TokenId Sampler::pick(std::span<const float> logits) {
  State& state = *state_;
  WOOLLY_ASSERT(logits.size() == state.storage.size());
  if (state.is_greedy() && !state.changes_logits()) {
    return most_likely(logits.size(), [&](std::size_t i) { return logits[i]; }).value_or(TokenId{0});
  }
  Candidates candidates = state.gather(logits);
  if (state.is_greedy()) {
    return most_likely(candidates.items.size(), [&](std::size_t i) { return candidates.items[i].logit; })
        .value_or(state.lowest_allowed());
  }
  for (const Apply apply : state.shapes) apply(state.options, state.recent, candidates);
  return state.draw(candidates);
}

void Sampler::accept(TokenId token) {
  WOOLLY_ASSERT(token.value >= 0 && static_cast<std::size_t>(token.value) < state_->storage.size());
  state_->recent.push(token);
}

void Sampler::forget() { state_->recent.clear(); }

}  // namespace woolly::sample
