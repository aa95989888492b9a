// woolly tokenize: the tokens of a text. Needs the vocabulary only.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "cli/command.h"
#include "cli/input.h"
#include "cli/model_argument.h"
#include "cli/output.h"
#include "text/load.h"

namespace woolly::cli {
namespace {

struct TokenizeOptions {
  ModelArgument model;
  TextInput text;
  bool ids_only = false;
  bool parse_special = false;
};

std::string on_one_line(const std::vector<TokenId>& tokens) {
  std::string out;
  for (const TokenId token : tokens)
    fmt::format_to(std::back_inserter(out), "{}{}", out.empty() ? "" : " ", token.value);
  return out + "\n";
}

std::string one_for_each_line(const std::vector<TokenId>& tokens, const Tokenizer& tokenizer) {
  std::string out;
  for (const TokenId token : tokens) {
    fmt::format_to(std::back_inserter(out), "{}\t{}\n", token.value, escaped(tokenizer.piece(token, true)));
  }
  return out;
}

Status tokenize(const TokenizeOptions& options) {
  WOOLLY_TRY(const auto path, options.model.find());
  WOOLLY_TRY(const OpenedFile opened, open_file(path));
  WOOLLY_TRY(const auto tokenizer, text::load_tokenizer(opened.file.metadata));
  for (const std::string& warning : tokenizer->warnings()) print_warning(warning);
  WOOLLY_TRY(const std::string text, options.text.read());
  const std::vector<TokenId> tokens = tokenizer->encode(text, {.parse_special = options.parse_special});
  return write_output(options.ids_only ? on_one_line(tokens) : one_for_each_line(tokens, *tokenizer));
}

}  // namespace

Action declare_tokenize(CLI::App& app) {
  const auto options = std::make_shared<TokenizeOptions>();
  options->model.declare(app);
  options->text.declare(app);
  app.add_flag("--ids", options->ids_only, "Only the ids, on one line, parted by spaces");
  app.add_flag("--special", options->parse_special, "Recognise control tokens in the text");
  app.footer(
      "A line for each token: its id, a tab, its text with control characters as \\n, \\t or \\xNN. No BOS is added.\n"
      "\n"
      "Examples:\n"
      "  woolly tokenize smollm2:135m -p \"Once upon a time\"\n"
      "  woolly tokenize smollm2:135m -f story.txt --ids\n"
      "  echo \"Once upon a time\" | woolly tokenize smollm2:135m --special");
  return [options] { return tokenize(*options); };
}

}  // namespace woolly::cli
