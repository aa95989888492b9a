#include "cli/generation.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <ctime>
#include <utility>

#include "chat/prompt.h"
#include "cli/flags.h"
#include "engine/parts.h"
#include "sample/sampler.h"

namespace woolly::cli {

void GenerationFlags::declare(CLI::App& app) {
  add_count(
      app, "-n", "Most tokens to generate; without it until end of generation or a full context",
      [this](std::uint64_t n) { n_max = n; }, 0);
  add_sampling_flags(app, sampling);
  add_value(app, "--stop", "TEXT", "Ends before this text; may be given more than once",
            [this](const std::string& text) -> Status {
              if (text.empty()) return Error{ErrorCode::kInvalidArgument, "empty, allowed is at least one byte"};
              stops.push_back(text);
              return {};
            })
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  add_count(
      app, "-c", "Most tokens of the whole text; without it as many as the model was made for",
      [this](std::uint64_t n) { session.n_ctx = n; }, 1, kMaxContext);
  add_chunk_flag(app, session);
  add_kv_type_flag(app, session);
  speculation.declare(app);
}

Result<Writer> GenerationFlags::prepare(const ModelArgument& model, const std::filesystem::path& path) const {
  WOOLLY_TRY(LoadedModel loaded, model.load(path));
  WOOLLY_TRY(const Tokenizer* tokenizer, loaded.model->tokenizer());
  // Some models have more logits than their vocabulary has tokens.
  const std::size_t n_choices = std::min(loaded.model->vocab_size(), tokenizer->vocab_size());
  WOOLLY_TRY(sample::Sampler sampler, sample::Sampler::create(sampling, n_choices));
  WOOLLY_TRY(auto drafter, speculation.drafter_for(loaded, model.is_mapped(), session));
  SessionOptions options = session;
  if (drafter) options.max_logit_rows = std::min(speculate::Generator::kLogitRows, options.chunk);
  WOOLLY_TRY(auto of_model, Session::create(loaded.model, options));
  auto generator = std::make_unique<speculate::Generator>(*of_model, std::move(sampler), n_choices, drafter.get());
  return Writer{std::move(loaded), tokenizer, std::move(drafter), std::move(of_model), std::move(generator)};
}

Result<chat::Template> chat_template_of(const Model& model) {
  WOOLLY_TRY(const auto text, model.parts().file.metadata.find_string("tokenizer.chat_template"));
  return chat::Template::parse(text.value_or(""));
}

nlohmann::ordered_json first_messages(const std::optional<std::string>& system,
                                      const std::optional<std::string>& message) {
  auto messages = nlohmann::ordered_json::array();
  if (system) messages.push_back({{"role", "system"}, {"content", *system}});
  if (message) messages.push_back({{"role", "user"}, {"content", *message}});
  return messages;
}

Result<std::vector<TokenId>> encode_messages(const chat::Template& chat_template, const nlohmann::ordered_json& messages,
                                             const Tokenizer& tokenizer) {
  WOOLLY_TRY(const auto spans, chat::render(chat_template, {.messages = messages, .now = std::time(nullptr)}, tokenizer));
  return chat::encode(tokenizer, spans);
}

}  // namespace woolly::cli
