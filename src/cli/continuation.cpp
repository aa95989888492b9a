#include "cli/continuation.h"

#include <fmt/format.h>

#include <algorithm>

#include "cli/flags.h"
#include "cli/output.h"

namespace woolly::cli {
namespace {

using Clock = std::chrono::steady_clock;

std::string_view name_of(EndReason reason) {
  switch (reason) {
    case EndReason::kInterrupt: return "interrupted";
    case EndReason::kReaderGone: return "the reader has gone";
    case EndReason::kStopString: return "stop string";
    case EndReason::kCount: return "-n reached";
    case EndReason::kFullContext: return "full context";
    case EndReason::kEndOfGeneration: return "end of generation";
    case EndReason::kNone: break;
  }
  return "not ended";
}

double rate(std::size_t n, std::chrono::duration<double> time) {
  return time.count() > 0 ? static_cast<double>(n) / time.count() : 0;
}

}  // namespace

Status TextOutput::finish() {
  WOOLLY_CHECK(show(stops_.push(detokenizer_.finish())));
  return show(stops_.finish());
}

Status TextOutput::show(std::string_view text) {
  if (text.empty()) return {};
  text_ += text;
  return write_output(text);
}

Status Continuation::run(std::span<const TokenId> prompt, std::size_t n_kept) {
  n_kept_ = n_kept;
  WOOLLY_CHECK(take_prompt(prompt));
  const Clock::time_point begin = Clock::now();
  WOOLLY_CHECK(generate());
  generation_time_ = Clock::now() - begin;
  return output_.finish();
}

/// In pieces, so that Ctrl-C need not wait for the end of a long prompt.
Status Continuation::take_prompt(std::span<const TokenId> prompt) {
  const std::size_t n_ctx = writer_.session->n_ctx();
  if (n_kept_ + prompt.size() > n_ctx) {
    return Error{ErrorCode::kLimitExceeded, fmt::format("the prompt has {} tokens, the context holds {} (-c)",
                                                        n_kept_ + prompt.size(), n_ctx)};
  }
  const Clock::time_point begin = Clock::now();
  while (n_prompt_ < prompt.size() && !interrupt_.is_raised()) {
    const auto piece = prompt.subspan(n_prompt_, std::min(flags_.session.chunk, prompt.size() - n_prompt_));
    WOOLLY_CHECK(writer_.generator->append(piece));
    n_prompt_ += piece.size();
  }
  prompt_time_ = Clock::now() - begin;
  return {};
}

Status Continuation::generate() {
  end_ = reason_to_end();
  while (end_ == EndReason::kNone) {
    const std::uint64_t n_wanted = flags_.n_max ? *flags_.n_max - generated_.size() : kMaxCount;
    WOOLLY_TRY(const TokenId token, writer_.generator->pick(n_wanted));
    if (!generated_.empty()) ++n_steps_;
    if (writer_.tokenizer->is_end_of_generation(token)) {
      end_ = EndReason::kEndOfGeneration;
      return {};
    }
    writer_.generator->accept(token);
    generated_.push_back(token);
    WOOLLY_CHECK(output_.push(token));
    end_ = reason_to_end();
  }
  return {};
}

EndReason Continuation::reason_to_end() const {
  if (interrupt_.is_raised()) return EndReason::kInterrupt;
  if (output_is_closed()) return EndReason::kReaderGone;
  if (output_.found_stop()) return EndReason::kStopString;
  if (flags_.n_max && generated_.size() >= *flags_.n_max) return EndReason::kCount;
  if (n_kept_ + n_prompt_ + generated_.size() >= writer_.session->n_ctx()) return EndReason::kFullContext;
  return EndReason::kNone;
}

std::string Continuation::statistics() const {
  return fmt::format("prompt {} tokens, {:.1f} tokens/s | generated {} tokens, {:.1f} tokens/s ({}){}", n_prompt_,
                     rate(n_prompt_, prompt_time_), generated_.size(), rate(n_steps_, generation_time_), name_of(end_),
                     drafts());
}

/// Empty where there were none.
std::string Continuation::drafts() const {
  const speculate::DraftCounts& counts = writer_.generator->draft_counts();
  const std::size_t n_drafted = counts.n_drafted - drafts_before_.n_drafted;
  if (n_drafted == 0) return {};
  return fmt::format(" | drafted {} tokens, accepted {}", n_drafted, counts.n_accepted - drafts_before_.n_accepted);
}

}  // namespace woolly::cli
