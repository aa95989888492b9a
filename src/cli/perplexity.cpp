// woolly perplexity: exp of minus the mean log-probability of a text's tokens.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cli/command.h"
#include "cli/flags.h"
#include "cli/input.h"
#include "cli/model_argument.h"
#include "cli/output.h"
#include "cli/scoring.h"
#include "woolly/session.h"

namespace woolly::cli {
namespace {

struct PerplexityOptions {
  ModelArgument model;
  TextInput text;
  std::vector<TokenId> tokens;
  SessionOptions session{.n_ctx = 512, .kv_type = KvType::kF32};
  bool as_json = false;
};

/// What is scored: tokens in windows of `n_ctx`, each from an empty cache.
struct Sequence {
  std::vector<TokenId> tokens;
  std::optional<TokenId> bos;  ///< Put before every window, and counted in it.
};

/// The tokens of `text`, or those that were given, which may be any numbers.
Result<Sequence> make_sequence(const std::vector<TokenId>& given, std::string_view text, const Model& model) {
  if (given.empty()) {
    WOOLLY_TRY(const Tokenizer* tokenizer, model.tokenizer());
    return Sequence{tokenizer->encode(text, {}), tokenizer->bos()};
  }
  WOOLLY_CHECK(check_token_ids(given, model));
  return Sequence{given, std::nullopt};
}

/// Appends the log-probabilities of every token of `window` but the first.
Status score_window(Session& session, std::span<const TokenId> window, std::vector<double>& log_probabilities) {
  session.truncate(0);
  return session.append_each(window.first(window.size() - 1), [&](std::size_t i, std::span<const float> logits) {
    log_probabilities.push_back(log_probability(logits, window[i + 1]));
  });
}

Result<std::vector<double>> score(Session& session, const Sequence& sequence, std::size_t n_ctx) {
  std::vector<double> log_probabilities;
  std::vector<TokenId> window;
  for (std::size_t at = 0; at < sequence.tokens.size();) {
    window.clear();
    if (sequence.bos) window.push_back(*sequence.bos);
    const std::size_t n = std::min(n_ctx - window.size(), sequence.tokens.size() - at);
    const auto begin = sequence.tokens.begin() + static_cast<std::ptrdiff_t>(at);
    window.insert(window.end(), begin, begin + static_cast<std::ptrdiff_t>(n));
    at += n;
    if (window.size() > 1) WOOLLY_CHECK(score_window(session, window, log_probabilities));
  }
  return log_probabilities;
}

Status perplexity(PerplexityOptions options) {
  WOOLLY_TRY(const auto path, options.model.find());
  WOOLLY_TRY(const std::string text, options.tokens.empty() ? options.text.read() : std::string());
  WOOLLY_TRY(const LoadedModel loaded, options.model.load(path));
  WOOLLY_TRY(const Sequence sequence, make_sequence(options.tokens, text, *loaded.model));
  options.session.max_logit_rows = logit_rows_for(*loaded.model, options.session.chunk);
  WOOLLY_TRY(const auto session, Session::create(loaded.model, options.session));
  WOOLLY_TRY(const std::vector<double> log_probabilities, score(*session, sequence, options.session.n_ctx));
  const std::size_t n_scored = log_probabilities.size();
  if (n_scored == 0) {
    return Error{
        ErrorCode::kInvalidArgument,
        fmt::format("nothing to score: {} tokens, and the first of a window is not scored", sequence.tokens.size())};
  }
  const double sum = std::accumulate(log_probabilities.begin(), log_probabilities.end(), 0.0);
  const double perplexity = std::exp(-sum / static_cast<double>(n_scored));
  if (!std::isfinite(perplexity)) return Error{ErrorCode::kInvalidFile, "the model gives logits that are not finite"};
  if (!options.as_json) return write_output(fmt::format("perplexity {:.4f} over {} tokens\n", perplexity, n_scored));
  const nlohmann::ordered_json json = {{"ppl", perplexity}, {"tokens", n_scored}, {"logprobs", log_probabilities}};
  return write_output(json.dump() + "\n");
}

}  // namespace

Action declare_perplexity(CLI::App& app) {
  const auto options = std::make_shared<PerplexityOptions>();
  options->model.declare_with_engine(app);
  std::vector<CLI::Option*> sources = options->text.declare(app);
  sources.push_back(add_tokens_flag(app, options->tokens));
  exclude_each_other(sources);
  add_count(
      app, "-c", "Tokens of a window, BOS included",
      [options = options.get()](std::uint64_t n) { options->session.n_ctx = n; }, 2, kMaxContext)
      ->default_str(std::to_string(options->session.n_ctx));
  add_kv_type_flag(app, options->session);
  app.add_flag("--json", options->as_json, "Print an object with ppl, tokens (how many were scored) and logprobs");
  app.footer(
      "Every window starts from an empty cache, and its first token is not scored. Windows of a text start with BOS,\n"
      "where the model has one; ids from --tokens are taken as they are.\n"
      "\n"
      "Examples:\n"
      "  woolly perplexity smollm2:135m -f story.txt\n"
      "  woolly perplexity smollm2:135m -c 64 --tokens 1,2,3,4,5 --json");
  return [options] { return perplexity(*options); };
}

}  // namespace woolly::cli
