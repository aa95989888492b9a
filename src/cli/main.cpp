// The program: THE table of commands, the way from arguments to one of them, and the exit status: 0 for success, 1 for
// an error, 2 for wrong usage.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <csignal>
#include <exception>
#include <new>
#include <string>
#include <string_view>
#include <vector>

#include "cli/command.h"
#include "cli/output.h"
#include "cli/version.h"
#include "os/standard_streams.h"

namespace woolly::cli {
namespace {

constexpr int kSuccess = 0;
constexpr int kFailure = 1;
constexpr int kWrongUsage = 2;

struct Command {
  std::string_view name;
  std::string_view help;
  Action (*declare)(CLI::App& app);
};

constexpr std::array kCommands = {
    Command{"run", "Continue a text", declare_run},
    Command{"chat", "Talk with a model, line by line", declare_chat},
    Command{"serve", "Serve models to programs over HTTP", declare_serve},
    Command{"info", "Show what a model file holds", declare_info},
    Command{"plan", "Show the steps that a model is compiled to", declare_plan},
    Command{"tokenize", "Show the tokens of a text", declare_tokenize},
    Command{"logits", "Write the logits of a sequence of tokens to a file", declare_logits},
    Command{"perplexity", "Measure how well a model predicts a text", declare_perplexity},
    Command{"imatrix", "Measure how much the columns of matrices count", declare_imatrix},
    Command{"quantize", "Write a model in other types", declare_quantize},
    Command{"bench", "Measure how fast a model runs", declare_bench},
};

int finish(const Status& status) {
  if (status) return kSuccess;
  print_error(status.error().message);
  return kFailure;
}

int wrong_usage(std::string_view message, std::string_view program) {
  print_error(fmt::format("{} (see {} --help)", message, program));
  return kWrongUsage;
}

int run_program(int argc, const char* const* argv) {
  CLI::App app("Runs language models (GGUF) on CPUs.", "woolly");
  app.require_subcommand(0, 1);
  bool wants_version = false;
  app.add_flag("--version", wants_version, "Print version, compiler, build type and kernels");
  app.footer("woolly COMMAND --help shows a command's flags and examples.");

  std::array<CLI::App*, kCommands.size()> subcommands;
  std::array<Action, kCommands.size()> actions;
  for (std::size_t i = 0; i < kCommands.size(); ++i) {
    subcommands[i] = app.add_subcommand(std::string(kCommands[i].name), std::string(kCommands[i].help));
    actions[i] = kCommands[i].declare(*subcommands[i]);
  }
  const auto chosen = [&] {
    return static_cast<std::size_t>(
        std::ranges::find_if(subcommands, [](const CLI::App* command) { return command->parsed(); }) -
        subcommands.begin());
  };

  const std::string_view first = argc > 1 ? argv[1] : "";
  if (!first.empty() && !first.starts_with('-') &&
      std::ranges::find(kCommands, first, &Command::name) == kCommands.end()) {
    return wrong_usage(fmt::format("\"{}\" is not a command", first), "woolly");
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    return finish(write_output(app.help()));
  } catch (const CLI::ParseError& error) {
    const std::size_t command = chosen();
    return wrong_usage(error.what(),
                       command < kCommands.size() ? fmt::format("woolly {}", kCommands[command].name) : "woolly");
  }
  if (wants_version) {
    const Result<std::string> version = version_text();
    return finish(version ? write_output(version.value()) : Status(version.error()));
  }
  const std::size_t command = chosen();
  return finish(command < kCommands.size() ? actions[command]() : write_output(app.help()));
}

}  // namespace
}  // namespace woolly::cli

int main(int argc, char** argv) {
  woolly::os::occupy_closed_standard_streams();
  // A reader that goes away is found when writing (cli/output.h).
  std::signal(SIGPIPE, SIG_IGN);
  // So is a file that grows past the limit of this process (ulimit -f).
  std::signal(SIGXFSZ, SIG_IGN);
  try {
    return woolly::cli::run_program(argc, argv);
  } catch (const std::bad_alloc&) {
    woolly::cli::print_error("out of memory");
  } catch (const std::exception& error) {
    woolly::cli::print_error(error.what());
  }
  return woolly::cli::kFailure;
}
