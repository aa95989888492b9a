// woolly run: continues a text, token by token.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cli/command.h"
#include "cli/flags.h"
#include "cli/input.h"
#include "cli/interrupt.h"
#include "cli/model_argument.h"
#include "cli/output.h"
#include "cli/profiling.h"
#include "cli/speculation_flags.h"
#include "engine/parts.h"
#include "sample/sampler.h"
#include "sample/stop_matcher.h"
#include "speculate/generator.h"
#include "text/detokenizer.h"
#include "woolly/session.h"

namespace woolly::cli {
namespace {

using Clock = std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;

struct RunOptions {
  ModelArgument model;
  TextInput text;
  SamplingOptions sampling;
  SessionOptions session;
  std::vector<std::string> stops;
  std::optional<std::uint64_t> n_max;
  SpeculationFlags speculation;
  Profiling profiling;
};

/// The text's tokens, with what the model puts before a text. An empty one begins with BOS, whatever the model does.
Result<std::vector<TokenId>> prompt_tokens(const Tokenizer& tokenizer, std::string_view text) {
  std::vector<TokenId> tokens = tokenizer.encode(text, {.add_special = true});
  // An EOS that the file asks for after a text would end what is to be continued; [SEP] of WordPiece belongs there.
  if (!tokens.empty() && tokens.back() == tokenizer.eos() && tokenizer.model_name() != "bert") tokens.pop_back();
  if (tokens.empty() && tokenizer.bos()) tokens.push_back(*tokenizer.bos());
  if (tokens.empty()) {
    return Error{ErrorCode::kInvalidArgument, "the prompt is empty, and the model has no BOS token to begin with"};
  }
  return tokens;
}

/// Text on its way from tokens to standard output.
class TextOutput {
 public:
  TextOutput(const Tokenizer& tokenizer, bool at_start, sample::StopMatcher stops)
      : detokenizer_(tokenizer, at_start), stops_(std::move(stops)) {}

  Status push(TokenId token) { return show(stops_.push(detokenizer_.push(token))); }

  /// Shows what was held back, as no more text comes.
  Status finish() {
    WOOLLY_CHECK(show(stops_.push(detokenizer_.finish())));
    return show(stops_.finish());
  }

  [[nodiscard]] bool found_stop() const noexcept { return stops_.found(); }
  [[nodiscard]] bool ends_line() const noexcept { return last_ == '\n'; }

 private:
  Status show(std::string_view text) {
    if (text.empty()) return {};
    last_ = text.back();
    return write_output(text);
  }

  text::Detokenizer detokenizer_;
  sample::StopMatcher stops_;
  char last_ = '\n';
};

/// One continuation of a text, and what is told about it at the end.
class Continuation {
 public:
  Continuation(const RunOptions& options, const Tokenizer& tokenizer, Session& session, speculate::Generator generator,
               TextOutput output)
      : options_(options),
        tokenizer_(tokenizer),
        session_(session),
        generator_(std::move(generator)),
        output_(std::move(output)) {}

  Status run(std::span<const TokenId> prompt) {
    WOOLLY_CHECK(take_prompt(prompt));
    const Clock::time_point begin = Clock::now();
    WOOLLY_CHECK(generate());
    generation_time_ = Clock::now() - begin;
    return output_.finish();
  }

  void print_statistics(Seconds load_time) const {
    const auto rate = [](std::size_t n, Seconds time) {
      return time.count() > 0 ? static_cast<double>(n) / time.count() : 0;
    };
    const std::string line =
        fmt::format("{}load {:.2f} s | prompt {} tokens, {:.1f} tokens/s | generated {} tokens, {:.1f} tokens/s ({}){}\n",
                    output_.ends_line() ? "" : "\n", load_time.count(), n_prompt_, rate(n_prompt_, prompt_time_),
                    n_generated_, rate(n_steps_, generation_time_), end_, drafts());
    std::fputs(line.c_str(), stderr);
  }

 private:
  /// In pieces, so that Ctrl-C need not wait for the end of a long prompt.
  Status take_prompt(std::span<const TokenId> prompt) {
    if (prompt.size() > session_.n_ctx()) {
      return Error{ErrorCode::kLimitExceeded,
                   fmt::format("the prompt has {} tokens, the context holds {} (-c)", prompt.size(), session_.n_ctx())};
    }
    const Clock::time_point begin = Clock::now();
    while (n_prompt_ < prompt.size() && !interrupt_.is_raised()) {
      const auto piece = prompt.subspan(n_prompt_, std::min(options_.session.chunk, prompt.size() - n_prompt_));
      WOOLLY_CHECK(generator_.append(piece));
      n_prompt_ += piece.size();
    }
    prompt_time_ = Clock::now() - begin;
    return {};
  }

  Status generate() {
    end_ = reason_to_end();
    while (end_.empty()) {
      const std::uint64_t n_wanted = options_.n_max ? *options_.n_max - n_generated_ : kMaxCount;
      WOOLLY_TRY(const TokenId token, generator_.pick(n_wanted));
      if (n_generated_ > 0) ++n_steps_;
      if (tokenizer_.is_end_of_generation(token)) {
        end_ = "end of generation";
        return {};
      }
      generator_.accept(token);
      ++n_generated_;
      WOOLLY_CHECK(output_.push(token));
      end_ = reason_to_end();
    }
    return {};
  }

  /// Empty: none.
  [[nodiscard]] std::string_view reason_to_end() const {
    if (interrupt_.is_raised()) return "interrupted";
    if (output_is_closed()) return "the reader has gone";
    if (output_.found_stop()) return "stop string";
    if (options_.n_max && n_generated_ >= *options_.n_max) return "-n reached";
    if (n_prompt_ + n_generated_ >= session_.n_ctx()) return "full context";
    return {};
  }

  /// Empty where there were none.
  [[nodiscard]] std::string drafts() const {
    const speculate::DraftCounts& counts = generator_.draft_counts();
    if (counts.n_drafted == 0) return {};
    return fmt::format(" | drafted {} tokens, accepted {}", counts.n_drafted, counts.n_accepted);
  }

  const RunOptions& options_;
  const Tokenizer& tokenizer_;
  Session& session_;
  speculate::Generator generator_;
  TextOutput output_;
  const Interrupt interrupt_;
  std::string_view end_;
  std::size_t n_prompt_ = 0;
  std::size_t n_generated_ = 0;
  std::size_t n_steps_ = 0;  // generated tokens that went through the model: not the last one
  Seconds prompt_time_{};
  Seconds generation_time_{};
};

Status run(const RunOptions& options) {
  WOOLLY_TRY(sample::StopMatcher stops, sample::StopMatcher::create(options.stops));
  WOOLLY_TRY(const auto path, options.model.find());
  WOOLLY_CHECK(options.profiling.check());
  WOOLLY_TRY(const std::string text, options.text.read());
  WOOLLY_TRY(const LoadedModel loaded, options.model.load(path));
  WOOLLY_TRY(const Tokenizer* tokenizer, loaded.model->tokenizer());
  WOOLLY_TRY(const std::vector<TokenId> prompt, prompt_tokens(*tokenizer, text));
  // Some models have more logits than their vocabulary has tokens.
  const std::size_t n_choices = std::min(loaded.model->vocab_size(), tokenizer->vocab_size());
  WOOLLY_TRY(sample::Sampler sampler, sample::Sampler::create(options.sampling, n_choices));
  WOOLLY_TRY(const std::unique_ptr<speculate::Drafter> drafter,
             options.speculation.drafter_for(loaded, options.model.is_mapped(), options.session));
  SessionOptions session_options = options.session;
  if (drafter) session_options.max_logit_rows = std::min(speculate::Generator::kLogitRows, session_options.chunk);
  WOOLLY_TRY(const auto session, Session::create(loaded.model, session_options));
  const auto recorder = options.profiling.recorder_for(loaded);
  session->parts().executor->record_to(recorder.get());
  TextOutput output(*tokenizer, text.empty(), std::move(stops));
  Continuation continuation(options, *tokenizer, *session,
                            speculate::Generator(*session, std::move(sampler), n_choices, drafter.get()),
                            std::move(output));
  WOOLLY_CHECK(continuation.run(prompt));
  if (!output_is_closed()) continuation.print_statistics(loaded.load_time);
  if (recorder == nullptr) return {};
  WOOLLY_CHECK(options.profiling.write_trace(*recorder, *loaded.model));
  return options.profiling.print_profile(*recorder, loaded, *session);
}

}  // namespace

Action declare_run(CLI::App& app) {
  const auto options = std::make_shared<RunOptions>();
  options->model.declare_with_engine(app);
  options->text.declare(app);
  add_count(
      app, "-n", "Most tokens to generate; without it until end of generation or a full context",
      [options = options.get()](std::uint64_t n) { options->n_max = n; }, 0);
  add_sampling_flags(app, options->sampling);
  add_value(app, "--stop", "TEXT", "Ends before this text; may be given more than once",
            [options = options.get()](const std::string& text) -> Status {
              if (text.empty()) return Error{ErrorCode::kInvalidArgument, "empty, allowed is at least one byte"};
              options->stops.push_back(text);
              return {};
            })
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  add_count(
      app, "-c", "Most tokens of prompt and continuation; without it as many as the model was made for",
      [options = options.get()](std::uint64_t n) { options->session.n_ctx = n; }, 1, kMaxContext);
  add_chunk_flag(app, options->session);
  add_kv_type_flag(app, options->session);
  options->speculation.declare(app);
  options->profiling.declare(app);
  app.footer(
      "The text is standard input where neither -p nor -f is given. Only the continuation goes to standard output.\n"
      "Ctrl-C ends after the current token.\n"
      "\n"
      "Examples:\n"
      "  woolly run smollm2:135m -p \"Once upon a time\" -n 64\n"
      "  woolly run smollm2:135m -f story.txt -n 32 --temp 0\n"
      "  echo \"The sun was\" | woolly run smollm2:135m -n 32 --seed 7 --stop \".\" -t 2\n"
      "  woolly run smollm2:135m -p \"Once upon a time\" -n 64 --trace trace.json");
  return [options] { return run(*options); };
}

}  // namespace woolly::cli
