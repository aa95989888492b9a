#include "cli/bench_speculate.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <charconv>
#include <filesystem>
#include <memory>
#include <string_view>
#include <system_error>
#include <utility>

#include "bench/speculation_report.h"
#include "cli/flags.h"
#include "cli/input.h"
#include "cli/output.h"
#include "cli/version.h"
#include "speculate/lookup_drafter.h"

namespace woolly::cli {
namespace {

Error refusal(std::string message) { return {ErrorCode::kInvalidArgument, std::move(message)}; }

Result<double> parse_share(std::string_view text) {
  double share = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), share);
  if (error == std::errc() && end == text.data() + text.size() && share >= 0 && share <= 1) return share;
  return refusal(fmt::format("\"{}\", allowed are numbers from 0 to 1, parted by commas", text));
}

/// With the control tokens that the text spells, so that a file can hold a chat.
Result<bench::SpeculationPrompt> read_prompt(const std::string& file, const Tokenizer& tokenizer) {
  WOOLLY_TRY(const std::string text, read_text_file(file));
  bench::SpeculationPrompt prompt{std::filesystem::path(file).stem().string(),
                                  tokenizer.encode(text, {.add_special = tokenizer.adds_bos(), .parse_special = true})};
  if (prompt.tokens.empty()) return refusal(fmt::format("{}: empty, expected a text to continue", file));
  return prompt;
}

}  // namespace

CLI::Option* SpeculationArguments::declare(CLI::App& app) {
  CLI::Option* speculate =
      app.add_flag("--speculate", are_given_, "Measure generation with and without drafts; prompt lookup without --draft");
  CLI::Option* files = add_value(app, "--prompt-file", "FILE", "A text to continue; may be given more than once",
                                 [this](const std::string& file) -> Status {
                                   prompt_files_.push_back(file);
                                   return {};
                                 });
  files->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  CLI::Option* accept = add_value(app, "--accept", "X,...", "Shares of drafts that are made to be right, instead of texts",
                                  [this](const std::string& text) -> Status {
                                    accept_.clear();
                                    for (const std::string_view part : split_list(text)) {
                                      WOOLLY_TRY(accept_.emplace_back(), parse_share(part));
                                    }
                                    return {};
                                  });
  CLI::Option* draft = draft_.declare(app);
  for (CLI::Option* option : {files, accept, draft}) option->needs(speculate);
  accept->excludes(files)->excludes(draft);
  lengths_ = app.get_option("-n");
  for (const char* name : {"-p", "--peer", "--no-roof", "--profile", "--trace"}) {
    CLI::Option* option = app.get_option(name);
    speculate->excludes(option);
    hide_relations(*option);
  }
  for (CLI::Option* option : {speculate, files, accept, draft}) hide_relations(*option);
  return speculate;
}

Status SpeculationArguments::run(const ModelArgument& model, const Common& common) const {
  if (accept_.empty() && prompt_files_.empty()) {
    return refusal("nothing to measure: --speculate needs --prompt-file or --accept");
  }
  bench::SpeculationOptions options;
  options.accept = accept_;
  options.n_repetitions = common.n_repetitions;
  options.session = common.session;
  if (lengths_->count() > 0) {
    if (common.n_tokens.size() != 1) {
      return refusal(fmt::format("-n has {} lengths, --speculate takes one", common.n_tokens.size()));
    }
    options.n_tokens = common.n_tokens.front();
  }
  WOOLLY_TRY(const auto path, model.find());
  WOOLLY_TRY(const LoadedModel loaded, model.load(path));
  for (const std::string& file : prompt_files_) {
    WOOLLY_TRY(const Tokenizer* tokenizer, loaded.model->tokenizer());
    WOOLLY_TRY(options.prompts.emplace_back(), read_prompt(file, *tokenizer));
  }
  std::shared_ptr<const Model> draft_model;
  if (draft_.is_given()) {
    WOOLLY_TRY(draft_model, draft_.load(*loaded.engine, model.is_mapped()));
  }
  options.make_drafter = [&]() -> Result<std::unique_ptr<speculate::Drafter>> {
    if (draft_model) return make_model_drafter(*loaded.model, draft_model, options.session);
    return std::unique_ptr<speculate::Drafter>(std::make_unique<speculate::LookupDrafter>(loaded.model->context_length()));
  };
  WOOLLY_TRY(const bench::SpeculationReport report,
             bench::run_speculation_bench(*loaded.engine, loaded.model, path, options));
  for (const std::string& error : report.errors) print_error(error);
  std::string command =
      fmt::format("woolly bench {} --speculate", bench::quoted_for_shell(path.string()));
  if (!accept_.empty()) command += fmt::format(" --accept {}", fmt::join(accept_, ","));
  for (const std::string& file : prompt_files_) command += " --prompt-file " + bench::quoted_for_shell(file);
  if (draft_.is_given()) command += " --draft " + bench::quoted_for_shell(draft_.name());
  command += fmt::format(" -n {} -t {} -r {}", options.n_tokens, report.n_threads, options.n_repetitions);
  if (model.is_mapped()) command += " --mmap";
  const bench::Provenance provenance{version_number(), std::move(command)};
  if (common.as_json) return write_output(to_json(report, provenance));
  return write_output(common.as_csv ? to_csv(report, provenance) : to_text(report, provenance));
}

}  // namespace woolly::cli
