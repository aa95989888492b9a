#include "speculate/model_drafter.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <utility>

namespace woolly::speculate {
namespace {

/// A draft model is worth its time only where it is often right.
constexpr std::array<double, 1> kPriors = {0.6};
/// What a further token is taken to cost where several are caught up with, in times of one: as in LengthControl.
constexpr double kRowCost = 0.2;

Status check_vocabularies(const Tokenizer& target, const Tokenizer& draft) {
  const auto refuse = [](std::string difference) {
    return Error{ErrorCode::kInvalidArgument,
                 "the draft model must have the model's vocabulary: " + std::move(difference)};
  };
  if (draft.vocab_size() != target.vocab_size()) {
    return refuse(fmt::format("it has {} tokens, the model {}", draft.vocab_size(), target.vocab_size()));
  }
  for (std::size_t i = 0; i < target.vocab_size(); ++i) {
    const TokenId token{static_cast<std::int32_t>(i)};
    const std::string_view ours = target.piece(token, true), theirs = draft.piece(token, true);
    if (ours != theirs) return refuse(fmt::format("its token {} is {:?}, the model's {:?}", i, theirs, ours));
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<ModelDrafter>> ModelDrafter::create(const Model& target, std::shared_ptr<const Model> draft,
                                                           const SessionOptions& options) {
  WOOLLY_TRY(const Tokenizer* of_target, target.tokenizer());
  WOOLLY_TRY(const Tokenizer* of_draft, draft->tokenizer());
  WOOLLY_CHECK(check_vocabularies(*of_target, *of_draft));
  // Some models have more logits than their vocabulary has tokens, and some fewer.
  const std::size_t n_choices = std::min({of_draft->vocab_size(), draft->vocab_size(), target.vocab_size()});
  SessionOptions of_session = options;
  of_session.max_logit_rows = 1;
  if (of_session.n_ctx == 0) of_session.n_ctx = target.context_length();
  of_session.n_ctx = std::min(of_session.n_ctx, draft->context_length());
  WOOLLY_TRY(auto session, Session::create(std::move(draft), of_session));
  return std::unique_ptr<ModelDrafter>(new ModelDrafter(std::move(session), n_choices));
}

ModelDrafter::ModelDrafter(std::unique_ptr<Session> session, std::size_t n_choices)
    : session_(std::move(session)), n_choices_(n_choices) {}

std::span<const double> ModelDrafter::priors() const noexcept { return kPriors; }

Status ModelDrafter::append(std::span<const TokenId> tokens) {
  if (tokens.empty()) return {};
  for (const TokenId token : tokens) accept(token);
  return text_.size() <= session_->n_ctx() ? catch_up() : Status();
}

DraftingCost ModelDrafter::cost() const noexcept {
  const std::size_t n_missing = text_.size() - std::min(seen_.size(), text_.size());
  const double one = time_of_one_.get();
  return {one * (1 + kRowCost * static_cast<double>(std::max<std::size_t>(n_missing, 1) - 1)), one};
}

Result<std::span<const Draft>> ModelDrafter::propose(std::size_t n) {
  drafts_.clear();
  const std::size_t room = session_->n_ctx() - std::min(session_->n_ctx(), text_.size());
  n = std::min(n, room);
  if (n == 0 || text_.empty()) return std::span<const Draft>();
  WOOLLY_CHECK(catch_up());
  for (;;) {
    const auto likeliest = std::ranges::max_element(logits_.first(n_choices_));
    const TokenId token{static_cast<std::int32_t>(likeliest - logits_.begin())};
    drafts_.push_back({token});
    if (drafts_.size() == n) return std::span<const Draft>(drafts_);
    WOOLLY_CHECK(run({&token, 1}));
  }
}

void ModelDrafter::accept(TokenId token) {
  if (seen_.size() > text_.size() && seen_[text_.size()] != token) seen_.resize(text_.size());
  text_.push_back(token);
}

void ModelDrafter::truncate(std::size_t n) { text_.resize(n); }

/// Brings the session to the text, with the logits of its last token.
Status ModelDrafter::catch_up() {
  // The logits are wanted too, so one token at least goes through the model.
  const std::size_t n_kept = std::min(seen_.size(), text_.size() - 1);
  session_->truncate(n_kept);
  seen_.resize(n_kept);
  const std::span<const TokenId> missing = std::span(text_).subspan(n_kept);
  if (time_of_one_.n() > 0 || missing.size() == 1) return run(missing);
  // The last token of the first prompt alone: how long one takes is to be known before the first draft.
  WOOLLY_CHECK(run(missing.first(missing.size() - 1)));
  return run(missing.last(1));
}

Status ModelDrafter::run(std::span<const TokenId> tokens) {
  const auto begin = std::chrono::steady_clock::now();
  WOOLLY_TRY(logits_, session_->append(tokens));
  const std::chrono::duration<double> time = std::chrono::steady_clock::now() - begin;
  if (tokens.size() == 1) time_of_one_.add(time.count());
  seen_.insert(seen_.end(), tokens.begin(), tokens.end());
  return {};
}

}  // namespace woolly::speculate
