// woolly run: continues a text, token by token, or answers it.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "chat/prompt.h"
#include "cli/command.h"
#include "cli/continuation.h"
#include "cli/flags.h"
#include "cli/generation.h"
#include "cli/input.h"
#include "cli/model_argument.h"
#include "cli/output.h"
#include "cli/profiling.h"
#include "engine/parts.h"

namespace woolly::cli {
namespace {

struct RunOptions {
  ModelArgument model;
  TextInput text;
  GenerationFlags generation;
  bool is_chat = false;
  std::optional<std::string> system;
  Profiling profiling;
};

Result<std::vector<TokenId>> prompt_tokens(const RunOptions& options, const Writer& writer, const std::string& text) {
  if (!options.is_chat) return chat::encode(*writer.tokenizer, text, false);
  WOOLLY_TRY(const chat::Template chat_template, chat_template_of(*writer.loaded.model));
  return encode_messages(chat_template, first_messages(options.system, text), *writer.tokenizer);
}

Status run(const RunOptions& options) {
  WOOLLY_TRY(sample::StopMatcher stops, sample::StopMatcher::create(options.generation.stops));
  WOOLLY_TRY(const auto path, options.model.find());
  WOOLLY_CHECK(options.profiling.check());
  WOOLLY_TRY(const std::string text, options.text.read());
  WOOLLY_TRY(Writer writer, options.generation.prepare(options.model, path));
  WOOLLY_TRY(const std::vector<TokenId> prompt, prompt_tokens(options, writer, text));
  const auto recorder = options.profiling.recorder_for(writer.loaded);
  writer.session->parts().executor->record_to(recorder.get());
  const bool at_start = !options.is_chat && text.empty();
  Continuation continuation(options.generation, writer, TextOutput(*writer.tokenizer, at_start, std::move(stops)));
  WOOLLY_CHECK(continuation.run(prompt));
  if (!output_is_closed()) {
    const std::string line = fmt::format("{}load {:.2f} s | {}\n", continuation.output().ends_line() ? "" : "\n",
                                         writer.loaded.load_time.count(), continuation.statistics());
    std::fputs(line.c_str(), stderr);
  }
  if (recorder == nullptr) return {};
  WOOLLY_CHECK(options.profiling.write_trace(*recorder, *writer.loaded.model));
  return options.profiling.print_profile(*recorder, writer.loaded, *writer.session);
}

}  // namespace

Action declare_run(CLI::App& app) {
  const auto options = std::make_shared<RunOptions>();
  options->model.declare_with_engine(app);
  options->text.declare(app);
  CLI::Option* chat = app.add_flag("--chat", options->is_chat, "Takes the text as a message and answers it");
  CLI::Option* system = add_text(app, "--system", "TEXT", "With --chat: what the model is told first", options->system);
  system->needs(chat);
  hide_relations(*system);
  options->generation.declare(app);
  options->profiling.declare(app);
  app.footer(
      "The text is standard input where neither -p nor -f is given. Only the continuation goes to standard output.\n"
      "Ctrl-C ends after the current token.\n"
      "\n"
      "Examples:\n"
      "  woolly run smollm2:135m -p \"Once upon a time\" -n 64\n"
      "  woolly run smollm2:135m -f story.txt -n 32 --temp 0\n"
      "  woolly run smollm2:135m --chat --system \"Be brief.\" -p \"What is wool?\" -n 64\n"
      "  echo \"The sun was\" | woolly run smollm2:135m -n 32 --seed 7 --stop \".\" -t 2\n"
      "  woolly run smollm2:135m -p \"Once upon a time\" -n 64 --trace trace.json");
  return [options] { return run(*options); };
}

}  // namespace woolly::cli
