// Generates text with a session: the one loop that picks tokens and runs them through the model, with drafts or without.
#pragma once

#include <array>
#include <cstddef>
#include <limits>
#include <optional>
#include <span>

#include "sample/sampler.h"
#include "speculate/drafter.h"
#include "speculate/length_control.h"
#include "woolly/error.h"
#include "woolly/options.h"
#include "woolly/session.h"

namespace woolly::speculate {

/// What drafts came to.
struct DraftCounts {
  std::size_t n_passes = 0;    ///< Of the model, for generated tokens.
  std::size_t n_verifying = 0; ///< Of these, with drafts.
  std::size_t n_drafted = 0;   ///< Drafts that were verified.
  std::size_t n_accepted = 0;  ///< Of these, right.
};

/// The text that is in a session and goes on token by token: `append` what is given, then `pick` and `accept` in turn.
/// Drafts make it quicker where they are right and never change a token: each is picked from the same logits, bit for
/// bit, by a sampler in the same state as without (docs/adr/0003-speculation.md). Used from one thread at a time.
class Generator {
 public:
  /// Seconds since any moment.
  using Clock = double (*)();

  /// Continues `session`, of whose text the sampler and the drafter have been told nothing yet, and chooses from the
  /// first `n_choices` logits. `drafter` may be nullptr; it is borrowed, as `session` is. With a drafter the session
  /// should give kLogitRows rows of logits: there are fewer drafts with fewer.
  /// `clock` is read before drafting, before the pass and after it.
  Generator(Session& session, sample::Sampler sampler, std::size_t n_choices, Drafter* drafter,
            Clock clock = steady_clock);

  /// The rows of logits of passes with most drafts; for SessionOptions::max_logit_rows, which must not exceed the chunk.
  static constexpr std::size_t kLogitRows = 1 + LengthControl::kMaxDrafts;

  /// Adds `tokens` (at least one) to the text. kLimitExceeded where the context is full.
  Status append(std::span<const TokenId> tokens);

  /// Goes back to `text`, which the text so far begins with; it is to be appended to before the next `pick`.
  void rewind(std::span<const TokenId> text);

  /// Chooses the next token; the text does not have it yet. At most `n_wanted` tokens (at least one: this one) are still
  /// asked for: drafts are not made for more. kInvalidFile where the model gives no finite logit to choose.
  Result<TokenId> pick(std::size_t n_wanted = std::numeric_limits<std::size_t>::max());

  /// Adds the token that was picked to the text.
  void accept(TokenId token);

  [[nodiscard]] const DraftCounts& draft_counts() const noexcept { return counts_; }

  static double steady_clock();

 private:
  [[nodiscard]] Status run_last_token(std::size_t n_wanted);
  [[nodiscard]] Result<std::size_t> draft(std::size_t n_max);
  void leave_drafts();

  Session& session_;
  sample::Sampler sampler_;
  std::size_t n_choices_;
  Drafter* drafter_;
  Clock clock_;
  LengthControl control_;
  DraftCounts counts_;

  std::optional<TokenId> last_;  ///< The text's last token, where the session does not have it yet.
  std::size_t n_text_ = 0;       ///< Tokens of the text, with `last_`.
  std::array<std::span<const float>, kLogitRows> logits_{};  ///< Of the last pass: of its token and its drafts.
  std::array<Draft, LengthControl::kMaxDrafts> drafts_{};
  std::size_t n_drafts_ = 0;    ///< Of these were proposed...
  std::size_t n_verified_ = 0;  ///< ... were in the pass,
  std::size_t n_right_ = 0;     ///< and are in the text by now.
  bool is_open_ = false;        ///< A pass is not booked yet, as more tokens may come of it.
  double drafting_time_ = 0;    ///< Of that pass, in seconds.
  double pass_time_ = 0;
};

}  // namespace woolly::speculate
