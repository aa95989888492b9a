#include "speculate/generator.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <utility>

#include "base/assert.h"
#include "engine/parts.h"

namespace woolly::speculate {
double Generator::steady_clock() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

Generator::Generator(Session& session, sample::Sampler sampler, std::size_t n_choices, Drafter* drafter,
                     Clock clock)
    : session_(session),
      sampler_(std::move(sampler)),
      n_choices_(n_choices),
      drafter_(drafter),
      clock_(clock),
      control_(drafter == nullptr ? std::span<const double>() : drafter->priors()),
      n_text_(session.n_tokens()) {}

Status Generator::append(std::span<const TokenId> tokens) {
  leave_drafts();
  if (last_) WOOLLY_CHECK(session_.append({&*last_, 1}));
  last_.reset();
  WOOLLY_TRY(logits_[0], session_.append(tokens));
  n_text_ += tokens.size();
  for (const TokenId token : tokens) sampler_.accept(token);
  return drafter_ == nullptr ? Status() : drafter_->append(tokens);
}

void Generator::rewind(std::span<const TokenId> text) {
  leave_drafts();
  if (text.size() < n_text_) last_.reset();
  if (session_.n_tokens() > text.size()) session_.truncate(text.size());
  n_text_ = text.size();
  sampler_.forget();
  for (const TokenId token : text) sampler_.accept(token);
  if (drafter_ != nullptr) drafter_->truncate(text.size());
}

Result<TokenId> Generator::pick(std::size_t n_wanted) {
  if (last_) WOOLLY_CHECK(run_last_token(n_wanted));
  const std::span<const float> logits = logits_[n_right_];
  const TokenId token = sampler_.pick(logits.first(n_choices_));
  // Such a token is chosen only where there is none with a finite logit, or where one is infinite.
  if (!std::isfinite(logits[static_cast<std::size_t>(token.value)])) {
    return Error{ErrorCode::kInvalidFile, "the model gives logits that are not finite"};
  }
  return token;
}

void Generator::accept(TokenId token) {
  sampler_.accept(token);
  ++n_text_;
  if (drafter_ == nullptr) {
    last_ = token;
    return;
  }
  drafter_->accept(token);
  const bool is_right = n_right_ < n_drafts_ && drafts_[n_right_].token == token;
  if (n_right_ < n_drafts_) control_.learn(drafts_[n_right_].confidence, is_right);
  if (is_right && n_right_ < n_verified_) {
    ++n_right_;
    ++counts_.n_accepted;
    return;
  }
  last_ = token;
  leave_drafts();
}

/// Runs the text's last token through the model, with drafts of what follows.
Status Generator::run_last_token(std::size_t n_wanted) {
  if (drafter_ == nullptr) {
    WOOLLY_TRY(logits_[0], session_.append({&*last_, 1}));
    ++counts_.n_passes;
    last_.reset();
    return {};
  }
  const double begin = clock_();
  // Each pass gives one token beside the drafts, and with its drafts it must fit into the context.
  const std::size_t n_max = std::min({drafts_.size(), session_.parts().options.max_logit_rows - 1, n_wanted - 1,
                                      session_.n_ctx() - std::min(session_.n_ctx(), n_text_)});
  WOOLLY_TRY(n_verified_, draft(n_max));
  std::array<TokenId, kLogitRows> tokens{};
  tokens[0] = *last_;
  for (std::size_t i = 0; i < n_verified_; ++i) tokens[1 + i] = drafts_[i].token;
  const double begin_of_pass = clock_();
  drafting_time_ = begin_of_pass - begin;
  WOOLLY_CHECK(session_.append_each(std::span(tokens).first(1 + n_verified_),
                                    [this](std::size_t i, std::span<const float> row) { logits_[i] = row; }));
  pass_time_ = clock_() - begin_of_pass;
  is_open_ = true;
  ++counts_.n_passes;
  counts_.n_drafted += n_verified_;
  if (n_verified_ > 0) ++counts_.n_verifying;
  last_.reset();
  return {};
}

/// Makes drafts, and tells how many of them are to be verified.
Result<std::size_t> Generator::draft(std::size_t n_max) {
  n_drafts_ = 0;
  std::size_t n_asked = drafts_.size();
  if (!drafter_->is_free()) {
    // Drafts that would all be of the one confidence, as far as can be known before they are made.
    const std::array<Draft, LengthControl::kMaxDrafts> expected{};
    n_asked = control_.choose(std::span(expected).first(n_max), drafter_->cost());
    if (n_asked == 0) return std::size_t{0};
  }
  WOOLLY_TRY(const std::span<const Draft> proposed, drafter_->propose(n_asked));
  n_drafts_ = std::min(proposed.size(), drafts_.size());
  std::ranges::copy(proposed.first(n_drafts_), drafts_.begin());
  if (!drafter_->is_free()) return n_drafts_;
  return control_.choose(std::span(drafts_).first(std::min(n_drafts_, n_max)), drafter_->cost());
}

/// Takes drafts that were not right, or not asked for any more, out of the session, and books the pass.
void Generator::leave_drafts() {
  const std::size_t n_run = n_text_ - (last_ ? 1 : 0);
  if (session_.n_tokens() > n_run) session_.truncate(n_run);
  if (is_open_) control_.book(n_verified_, drafting_time_, pass_time_, 1 + n_right_);
  is_open_ = false;
  n_drafts_ = n_verified_ = n_right_ = 0;
}

}  // namespace woolly::speculate
