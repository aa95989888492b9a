// woolly plan: the compiled plan as text.
#include <CLI/CLI.hpp>
#include <memory>

#include "cli/command.h"
#include "cli/model_argument.h"
#include "cli/output.h"

namespace woolly::cli {

Action declare_plan(CLI::App& app) {
  const auto model = std::make_shared<ModelArgument>();
  model->declare_with_engine(app);
  app.footer(
      "Examples:\n"
      "  woolly plan smollm2:135m");
  return [model]() -> Status {
    WOOLLY_TRY(const auto path, model->find());
    WOOLLY_TRY(const LoadedModel loaded, model->load(path));
    return write_output(loaded.model->plan_text());
  };
}

}  // namespace woolly::cli
