// One continuation of a text, from its prompt to its end, on its way to standard output.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cli/generation.h"
#include "cli/interrupt.h"
#include "sample/stop_matcher.h"
#include "text/detokenizer.h"
#include "woolly/error.h"
#include "woolly/tokenizer.h"

namespace woolly::cli {

/// Text on its way from tokens to standard output.
class TextOutput {
 public:
  /// `at_start`: nothing stands before the text.
  TextOutput(const Tokenizer& tokenizer, bool at_start, sample::StopMatcher stops)
      : detokenizer_(tokenizer, at_start), stops_(std::move(stops)) {}

  Status push(TokenId token) { return show(stops_.push(detokenizer_.push(token))); }

  /// Shows what was held back, as no more text comes.
  Status finish();

  [[nodiscard]] bool found_stop() const noexcept { return stops_.found(); }
  [[nodiscard]] bool ends_line() const noexcept { return text_.empty() || text_.back() == '\n'; }
  /// What was shown.
  [[nodiscard]] const std::string& text() const noexcept { return text_; }

 private:
  Status show(std::string_view text);

  text::Detokenizer detokenizer_;
  sample::StopMatcher stops_;
  std::string text_;
};

enum class EndReason : std::uint8_t {
  kNone,  ///< It has not ended.
  kInterrupt,
  kReaderGone,
  kStopString,
  kCount,  ///< GenerationFlags::n_max.
  kFullContext,
  kEndOfGeneration,
};

/// While it lives, Ctrl-C ends it after the current token. One at a time; borrows all that it is given.
class Continuation {
 public:
  Continuation(const GenerationFlags& flags, Writer& writer, TextOutput output)
      : flags_(flags), writer_(writer), output_(std::move(output)) {}

  /// Appends `prompt` to the text of the writer, of which `n_kept` tokens are there already, and goes on from there.
  /// kLimitExceeded where the context does not hold both.
  Status run(std::span<const TokenId> prompt, std::size_t n_kept = 0);

  [[nodiscard]] EndReason end() const noexcept { return end_; }
  [[nodiscard]] const TextOutput& output() const noexcept { return output_; }
  /// Tokens of the prompt that were taken: all but after Ctrl-C.
  [[nodiscard]] std::size_t n_prompt() const noexcept { return n_prompt_; }
  [[nodiscard]] const std::vector<TokenId>& generated() const noexcept { return generated_; }

  /// How much in which time, and why it ended: "prompt 5 tokens, ... (end of generation)", with no newline.
  [[nodiscard]] std::string statistics() const;

 private:
  [[nodiscard]] Status take_prompt(std::span<const TokenId> prompt);
  [[nodiscard]] Status generate();
  [[nodiscard]] EndReason reason_to_end() const;
  [[nodiscard]] std::string drafts() const;

  using Seconds = std::chrono::duration<double>;

  const GenerationFlags& flags_;
  Writer& writer_;
  TextOutput output_;
  const Interrupt interrupt_;
  const speculate::DraftCounts drafts_before_ = writer_.generator->draft_counts();
  EndReason end_ = EndReason::kNone;
  std::size_t n_kept_ = 0;
  std::size_t n_prompt_ = 0;
  std::size_t n_steps_ = 0;  ///< Generated tokens that went through the model: not the last one.
  std::vector<TokenId> generated_;
  Seconds prompt_time_{};
  Seconds generation_time_{};
};

}  // namespace woolly::cli
