// What a command of the program is. THE table of them stands in main.cpp; each has a file of its own.
#pragma once

#include <functional>

#include "woolly/error.h"

namespace CLI {
class App;
}

namespace woolly::cli {

/// Carries a command out. Called once, after its flags have been parsed; an error ends the program with status 1.
using Action = std::function<Status()>;

// Each declares the command's flags and examples on `app` and returns what carries it out. The lines under "Examples:"
// are run by tests/cli.
Action declare_run(CLI::App& app);
Action declare_chat(CLI::App& app);
Action declare_info(CLI::App& app);
Action declare_plan(CLI::App& app);
Action declare_tokenize(CLI::App& app);
Action declare_logits(CLI::App& app);
Action declare_perplexity(CLI::App& app);
Action declare_imatrix(CLI::App& app);
Action declare_quantize(CLI::App& app);
Action declare_serve(CLI::App& app);
Action declare_bench(CLI::App& app);

}  // namespace woolly::cli
