// woolly chat: a conversation, line by line.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cli/command.h"
#include "cli/continuation.h"
#include "cli/flags.h"
#include "cli/generation.h"
#include "cli/input.h"
#include "cli/model_argument.h"
#include "cli/output.h"
#include "os/standard_streams.h"

namespace woolly::cli {
namespace {

using Json = nlohmann::ordered_json;

struct ChatOptions {
  ModelArgument model;
  GenerationFlags generation;
  std::optional<std::string> system;
  bool is_verbose = false;
};

/// A conversation and its text in the session, which each turn goes on from: what the template writes of the turns
/// before is compared with it token by token.
class Chat {
 public:
  Chat(const ChatOptions& options, Writer writer, chat::Template chat_template, sample::StopMatcher stops)
      : options_(options),
        writer_(std::move(writer)),
        template_(std::move(chat_template)),
        stops_(std::move(stops)),
        messages_(first_messages(options.system)) {}

  /// Answers `message`. After an error, and where Ctrl-C comes before the answer begins, it is as if it had not been said.
  Status answer(const std::string& message) {
    messages_.push_back({{"role", "user"}, {"content", message}});
    Result<std::string> answer = make_answer();
    if (!answer || answer.value().empty()) messages_.erase(messages_.size() - 1);
    if (!answer) return std::move(answer).error();
    if (!answer.value().empty()) messages_.push_back({{"role", "assistant"}, {"content", std::move(answer).value()}});
    return {};
  }

 private:
  Result<std::string> make_answer() {
    WOOLLY_TRY(const std::vector<TokenId> prompt, encode_messages(template_, messages_, *writer_.tokenizer));
    const std::size_t n_ctx = writer_.session->n_ctx();
    if (prompt.size() >= n_ctx) {
      return Error{ErrorCode::kLimitExceeded,
                   fmt::format("the conversation would have {} tokens with this message, the context holds {} with an "
                               "answer (-c)",
                               prompt.size(), n_ctx)};
    }
    // The last token goes through the model in any case: its logits are wanted.
    const auto common = std::ranges::mismatch(text_, std::span(prompt).first(prompt.size() - 1));
    const auto n_kept = static_cast<std::size_t>(common.in1 - text_.begin());
    text_.resize(n_kept);
    writer_.generator->rewind(text_);

    Continuation continuation(options_.generation, writer_, TextOutput(*writer_.tokenizer, false, stops_));
    const Status status = continuation.run(std::span(prompt).subspan(n_kept), n_kept);
    const auto taken = std::span(prompt).subspan(n_kept, continuation.n_prompt());
    text_.insert(text_.end(), taken.begin(), taken.end());
    text_.insert(text_.end(), continuation.generated().begin(), continuation.generated().end());
    if (!status) return status.error();
    if (!continuation.output().ends_line()) WOOLLY_CHECK(write_output("\n"));
    if (continuation.end() == EndReason::kFullContext) {
      print_warning(fmt::format("the answer ends here: the conversation has {} tokens, the context holds {} (-c)",
                                text_.size(), n_ctx));
    }
    if (options_.is_verbose) std::fputs(fmt::format("kept {} tokens | {}\n", n_kept, continuation.statistics()).c_str(), stderr);
    return continuation.output().text();
  }

  const ChatOptions& options_;
  Writer writer_;
  chat::Template template_;
  sample::StopMatcher stops_;  ///< Copied for each answer.
  Json messages_;
  std::vector<TokenId> text_;  ///< Of the generator.
};

/// Until the end of the input. Somebody who types may go on after an error; a script ends with it.
Status converse(Chat& chat) {
  const bool is_typed = os::standard_input_is_terminal();
  while (!output_is_closed()) {
    if (is_typed) std::fputs("> ", stderr);
    WOOLLY_TRY(const std::optional<std::string> line, read_line());
    if (!line) {
      if (is_typed) std::fputs("\n", stderr);
      return {};
    }
    if (line->empty()) continue;
    const Status status = chat.answer(*line);
    if (status) continue;
    if (!is_typed) return status;
    print_error(status.error().message);
  }
  return {};
}

Status chat(const ChatOptions& options) {
  WOOLLY_TRY(sample::StopMatcher stops, sample::StopMatcher::create(options.generation.stops));
  WOOLLY_TRY(const auto path, options.model.find());
  WOOLLY_TRY(Writer writer, options.generation.prepare(options.model, path));
  WOOLLY_TRY(chat::Template chat_template, chat_template_of(*writer.loaded.model));
  Chat chat(options, std::move(writer), std::move(chat_template), std::move(stops));
  return converse(chat);
}

}  // namespace

Action declare_chat(CLI::App& app) {
  const auto options = std::make_shared<ChatOptions>();
  options->model.declare_with_engine(app);
  add_text(app, "--system", "TEXT", "What the model is told first", options->system);
  options->generation.declare(app);
  app.add_flag("--verbose", options->is_verbose, "After each answer, what it took");
  app.footer(
      "Each line is a message; only answers go to standard output. Ctrl-C ends an answer, Ctrl-D the conversation.\n"
      "\n"
      "Examples:\n"
      "  woolly chat smollm2:135m --system \"Be brief.\" < story.txt\n"
      "  echo \"What is wool?\" | woolly chat smollm2:135m -n 64 --temp 0");
  return [options] { return chat(*options); };
}

}  // namespace woolly::cli
