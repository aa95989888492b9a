#include "cli/speculation_flags.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <utility>

#include "cli/flags.h"
#include "speculate/lookup_drafter.h"
#include "speculate/model_drafter.h"
#include "store/store.h"

namespace woolly::cli {

CLI::Option* DraftModelFlag::declare(CLI::App& app) {
  return add_text(app, "--draft", "MODEL", "A smaller model of the same vocabulary that drafts what MODEL then checks",
                  model_);
}

Result<std::shared_ptr<const Model>> DraftModelFlag::load(Engine& engine, bool map_file) const {
  WOOLLY_TRY(const std::filesystem::path path, store::Store::from_environment().resolve(*model_));
  return Model::load(engine, path, {.map_file = map_file});
}

Result<std::unique_ptr<speculate::Drafter>> make_model_drafter(const Model& target, std::shared_ptr<const Model> draft,
                                                               const SessionOptions& options) {
  WOOLLY_TRY(auto drafter, speculate::ModelDrafter::create(target, std::move(draft), options));
  return std::unique_ptr<speculate::Drafter>(std::move(drafter));
}

void SpeculationFlags::declare(CLI::App& app) {
  CLI::Option* speculate =
      add_value(app, "--speculate", "off|lookup",
                "Draft the next tokens from where the text said the same before, and check them in one pass; the text "
                "is the same",
                [this](const std::string& text) -> Status {
                  if (text != "off" && text != "lookup") {
                    return Error{ErrorCode::kInvalidArgument, fmt::format("\"{}\", allowed is off or lookup", text)};
                  }
                  with_lookup_ = text == "lookup";
                  return {};
                })
          ->default_str(with_lookup_ ? "lookup" : "off");
  exclude_each_other({speculate, draft_.declare(app)});
}

Result<std::unique_ptr<speculate::Drafter>> SpeculationFlags::drafter_for(const LoadedModel& target, bool map_file,
                                                                          const SessionOptions& options) const {
  if (draft_.is_given()) {
    WOOLLY_TRY(auto draft, draft_.load(*target.engine, map_file));
    return make_model_drafter(*target.model, std::move(draft), options);
  }
  if (!with_lookup_) return std::unique_ptr<speculate::Drafter>();
  const std::size_t n_ctx = options.n_ctx == 0 ? target.model->context_length() : options.n_ctx;
  return std::unique_ptr<speculate::Drafter>(std::make_unique<speculate::LookupDrafter>(n_ctx));
}

}  // namespace woolly::cli
