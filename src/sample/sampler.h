// Logits to a token. The same logits, options and seed give the same choice on every machine: exp, the random numbers
// and the order of all sums are our own.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "woolly/error.h"
#include "woolly/options.h"
#include "woolly/tokenizer.h"

namespace woolly::sample {

/// One stream of choices. Owned by one thread; `pick` and `accept` allocate nothing.
class Sampler {
 public:
  /// kInvalidArgument for an option outside of its range, naming it, the value found and the range.
  static Result<Sampler> create(const SamplingOptions& options, std::size_t vocab_size);

  Sampler(Sampler&&) noexcept;
  Sampler& operator=(Sampler&&) noexcept;
  ~Sampler();

  /// Chooses from `logits` `[vocab_size]`. NaN counts as -inf; if nothing is left, the lowest id that is not banned.
  /// Among equal logits the lowest id comes first.
  TokenId pick(std::span<const float> logits);

  /// Tells the penalties that `token` was added to the text (of the prompt too).
  void accept(TokenId token);

  /// Tells the penalties that the text is empty again. The random numbers go on.
  void forget();

 private:
  struct State;
  explicit Sampler(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace woolly::sample
