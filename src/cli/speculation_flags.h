// Flags that say how a text's next tokens are drafted.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "cli/model_argument.h"
#include "speculate/drafter.h"
#include "woolly/error.h"
#include "woolly/options.h"

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace woolly::cli {

/// --draft MODEL on the command line. Must stay where it is once its flag is declared.
class DraftModelFlag {
 public:
  CLI::Option* declare(CLI::App& app);
  [[nodiscard]] bool is_given() const noexcept { return model_.has_value(); }

  // Both only where it is given.
  [[nodiscard]] const std::string& name() const { return *model_; }
  /// On the engine of the model that it drafts for; `map_file` as in LoadOptions.
  [[nodiscard]] Result<std::shared_ptr<const Model>> load(Engine& engine, bool map_file) const;

 private:
  std::optional<std::string> model_;
};

Result<std::unique_ptr<speculate::Drafter>> make_model_drafter(const Model& target, std::shared_ptr<const Model> draft,
                                                               const SessionOptions& options);

/// --speculate and --draft. Must stay where it is once its flags are declared.
class SpeculationFlags {
 public:
  void declare(CLI::App& app);

  /// The drafter that the flags ask for; nullptr for none.
  [[nodiscard]] Result<std::unique_ptr<speculate::Drafter>> drafter_for(const LoadedModel& target, bool map_file,
                                                                        const SessionOptions& options) const;

 private:
  bool with_lookup_ = true;
  DraftModelFlag draft_;
};

}  // namespace woolly::cli
