// What commands that generate text have in common: their flags, and a model made ready.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "chat/template.h"
#include "cli/model_argument.h"
#include "cli/speculation_flags.h"
#include "speculate/drafter.h"
#include "speculate/generator.h"
#include "woolly/error.h"
#include "woolly/options.h"
#include "woolly/session.h"
#include "woolly/tokenizer.h"

namespace CLI {
class App;
}

namespace woolly::cli {

/// A loaded model with the text that it goes on with. Members outlive those that stand after them.
struct Writer {
  LoadedModel loaded;
  const Tokenizer* tokenizer;
  std::unique_ptr<speculate::Drafter> drafter;  ///< nullptr: none.
  std::unique_ptr<Session> session;
  std::unique_ptr<speculate::Generator> generator;
};

/// -n, those of sampling, --stop, -c, --chunk, --kv-type, --speculate and --draft. Must stay where it is once they are
/// declared.
struct GenerationFlags {
  SamplingOptions sampling{};
  SessionOptions session{};
  std::vector<std::string> stops{};
  std::optional<std::uint64_t> n_max{};
  SpeculationFlags speculation{};

  void declare(CLI::App& app);

  /// Loads the model and what drafts for it.
  [[nodiscard]] Result<Writer> prepare(const ModelArgument& model, const std::filesystem::path& path) const;
};

/// The model's chat template; without one, that of messages' contents alone.
Result<chat::Template> chat_template_of(const Model& model);

/// The beginning of a conversation: what the model is told first, and the user's first message.
nlohmann::ordered_json first_messages(const std::optional<std::string>& system,
                                      const std::optional<std::string>& message = {});

/// The tokens of a conversation of `messages`, as the model's template has them.
Result<std::vector<TokenId>> encode_messages(const chat::Template& chat_template, const nlohmann::ordered_json& messages,
                                             const Tokenizer& tokenizer);

}  // namespace woolly::cli
