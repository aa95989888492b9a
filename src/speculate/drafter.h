// Guesses how a text goes on. A guess is checked by the model itself, so it can cost time, never change the text.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "woolly/error.h"
#include "woolly/tokenizer.h"

namespace woolly::speculate {

/// A guessed token. Guesses of one confidence are right about equally often: how often is learned (LengthControl).
struct Draft {
  TokenId token;
  std::uint8_t confidence = 0;
};

/// What drafts take to make, in seconds.
struct DraftingCost {
  double first = 0;
  double further = 0;  ///< Each after the first.
};

/// Confidences are below this.
inline constexpr std::size_t kMaxConfidences = 8;

/// Follows one text. Used from one thread at a time.
class Drafter {
 public:
  virtual ~Drafter() = default;

  /// The share of right guesses to begin with, by confidence; at most kMaxConfidences. Lives as long as the drafter.
  [[nodiscard]] virtual std::span<const double> priors() const noexcept = 0;

  /// What the next drafts are expected to take, as far as it is not next to nothing.
  [[nodiscard]] virtual DraftingCost cost() const noexcept = 0;
  /// Whether drafts are made at every step, also where none is verified, so that how often they are right is learned
  /// there too. Else only as many are made as are verified.
  [[nodiscard]] virtual bool is_free() const noexcept = 0;

  /// The text begins with, or is continued by, tokens that were given (a prompt).
  virtual Status append(std::span<const TokenId> tokens) = 0;

  /// The text grew by a generated token.
  virtual void accept(TokenId token) = 0;

  /// The text ends after its first `n` tokens again.
  virtual void truncate(std::size_t n) = 0;

  /// At most `n` drafts of what follows the text, in order; they live until the next call. All are ids of the text's
  /// vocabulary.
  virtual Result<std::span<const Draft>> propose(std::size_t n) = 0;
};

}  // namespace woolly::speculate
