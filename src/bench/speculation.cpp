#include "bench/speculation.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <random>
#include <span>
#include <utility>

#include "bench/roof.h"
#include "sample/rng.h"
#include "sample/sampler.h"

namespace woolly::bench {
namespace {

/// Of rows that force acceptance. Random tokens have nothing to repeat, so more of them tell nothing.
constexpr std::size_t kRandomPrompt = 64;

/// Drafts what is known to follow, and errs as often as it is told.
class ForcedDrafter final : public speculate::Drafter {
 public:
  ForcedDrafter(std::span<const TokenId> continuation, std::size_t vocab_size, double share)
      : continuation_(continuation), vocab_size_(static_cast<std::int32_t>(vocab_size)), share_(share) {}

  [[nodiscard]] std::span<const double> priors() const noexcept override { return kPriors; }
  [[nodiscard]] speculate::DraftingCost cost() const noexcept override { return {}; }
  [[nodiscard]] bool is_free() const noexcept override { return true; }
  Status append(std::span<const TokenId>) override { return {}; }
  void accept(TokenId) override { ++at_; }
  void truncate(std::size_t) override {}  // the text only grows

  Result<std::span<const speculate::Draft>> propose(std::size_t n) override {
    drafts_.clear();
    for (const TokenId token : continuation_.subspan(at_, std::min(n, continuation_.size() - at_))) {
      const bool is_right = random_.next_unit() < share_;
      drafts_.push_back({is_right ? token : TokenId{(token.value + 1) % vocab_size_}});
    }
    return std::span<const speculate::Draft>(drafts_);
  }

 private:
  static constexpr std::array<double, 1> kPriors = {0.6};
  std::span<const TokenId> continuation_;
  std::int32_t vocab_size_;
  double share_;
  sample::Rng random_{1};  // any seed will do
  std::size_t at_ = 0;
  std::vector<speculate::Draft> drafts_;
};

struct Outcome {
  std::vector<TokenId> tokens;
  double tokens_per_second = 0;
  speculate::DraftCounts counts;
};

class Speculation {
 public:
  static Result<Speculation> create(const std::shared_ptr<const Model>& model, const SpeculationOptions& options) {
    std::size_t n_prompt = options.accept.empty() ? 0 : kRandomPrompt;
    for (const SpeculationPrompt& prompt : options.prompts) n_prompt = std::max(n_prompt, prompt.tokens.size());
    SessionOptions of_session = options.session;
    of_session.n_ctx = n_prompt + options.n_tokens;
    of_session.max_logit_rows = std::min(speculate::Generator::kLogitRows, of_session.chunk);
    WOOLLY_TRY(auto session, Session::create(model, of_session));
    return Speculation(*model, options, std::move(session));
  }

  Status measure_prompt(const SpeculationPrompt& prompt, bool is_sampled, SpeculationReport& report) {
    SamplingOptions sampling = options_.sampling;
    if (!is_sampled) sampling.temperature = 0;
    SpeculationRow row;
    row.name = prompt.name;
    row.is_sampled = is_sampled;
    return measure(row, prompt.tokens, sampling, [this](const auto&) { return options_.make_drafter(); }, report);
  }

  Status measure_accept(double share, SpeculationReport& report) {
    std::mt19937 random(20240229);  // any ids will do, as long as they are the same for every run
    std::vector<TokenId> prompt(kRandomPrompt);
    for (TokenId& token : prompt) token.value = static_cast<std::int32_t>(random() % model_.vocab_size());
    SpeculationRow row;
    row.name = fmt::format("accept {}", share);
    const auto make = [this, share](const std::vector<TokenId>& continuation) {
      return Result<std::unique_ptr<speculate::Drafter>>(
          std::make_unique<ForcedDrafter>(continuation, model_.vocab_size(), share));
    };
    return measure(row, prompt, {.temperature = 0}, make, report);
  }

 private:
  Speculation(const Model& model, const SpeculationOptions& options, std::unique_ptr<Session> session)
      : model_(model), options_(options), session_(std::move(session)) {}

  /// One run without and one with drafts to warm up, then in turn.
  template <typename MakeDrafter>
  Status measure(SpeculationRow& row, std::span<const TokenId> prompt, const SamplingOptions& sampling,
                 MakeDrafter make_drafter, SpeculationReport& report) {
    WOOLLY_TRY(const Outcome expected, generate(prompt, sampling, nullptr));
    std::vector<double> off, on, ratio;
    bool is_same = true;
    for (std::size_t i = 0; i <= options_.n_repetitions; ++i) {
      WOOLLY_TRY(const Outcome without, generate(prompt, sampling, nullptr));
      WOOLLY_TRY(const auto drafter, make_drafter(expected.tokens));
      WOOLLY_TRY(const Outcome with, generate(prompt, sampling, drafter.get()));
      is_same = is_same && without.tokens == expected.tokens && with.tokens == expected.tokens;
      row.counts = with.counts;
      if (i == 0) continue;
      off.push_back(without.tokens_per_second);
      on.push_back(with.tokens_per_second);
      ratio.push_back(with.tokens_per_second / without.tokens_per_second);
    }
    row.n_prompt = prompt.size();
    row.n_generated = expected.tokens.size();
    row.off = summarize(std::move(off));
    row.on = summarize(std::move(on));
    row.ratio = summarize(std::move(ratio));
    if (!is_same) report.errors.push_back(fmt::format("{}: the text was not the same in every run", row.name));
    report.rows.push_back(std::move(row));
    return {};
  }

  /// Until the model ends the text, where it can: forced rows go on.
  Result<Outcome> generate(std::span<const TokenId> prompt, const SamplingOptions& sampling,
                           speculate::Drafter* drafter) {
    const auto tokenizer = options_.accept.empty() ? model_.tokenizer() : Result<const Tokenizer*>(nullptr);
    WOOLLY_TRY(const Tokenizer* ends, tokenizer);
    const std::size_t n_choices =
        ends == nullptr ? model_.vocab_size() : std::min(model_.vocab_size(), ends->vocab_size());
    WOOLLY_TRY(sample::Sampler sampler, sample::Sampler::create(sampling, n_choices));
    session_->truncate(0);
    speculate::Generator generator(*session_, std::move(sampler), n_choices, drafter);
    for (std::size_t i = 0; i < prompt.size(); i += options_.session.chunk) {
      WOOLLY_CHECK(generator.append(prompt.subspan(i, std::min(options_.session.chunk, prompt.size() - i))));
    }
    Outcome outcome;
    const auto begin = std::chrono::steady_clock::now();
    while (outcome.tokens.size() < options_.n_tokens) {
      WOOLLY_TRY(const TokenId token, generator.pick(options_.n_tokens - outcome.tokens.size()));
      if (ends != nullptr && ends->is_end_of_generation(token)) break;
      generator.accept(token);
      outcome.tokens.push_back(token);
    }
    const std::chrono::duration<double> time = std::chrono::steady_clock::now() - begin;
    outcome.tokens_per_second = static_cast<double>(outcome.tokens.size()) / time.count();
    outcome.counts = generator.draft_counts();
    return outcome;
  }

  const Model& model_;
  const SpeculationOptions& options_;
  std::unique_ptr<Session> session_;
};

double share(std::size_t part, std::size_t whole) {
  return whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole);
}

}  // namespace

double SpeculationRow::acceptance() const { return share(counts.n_accepted, counts.n_drafted); }
double SpeculationRow::draft_length() const { return share(counts.n_drafted, counts.n_verifying); }

Result<SpeculationReport> run_speculation_bench(const Engine& engine, const std::shared_ptr<const Model>& model,
                                                const std::filesystem::path& path, const SpeculationOptions& options) {
  SpeculationReport report;
  report.machine = machine_name(engine.n_threads());
  report.model = path.filename().string();
  report.kernels = engine.isa();
  report.n_threads = engine.n_threads();
  WOOLLY_TRY(Speculation speculation, Speculation::create(model, options));
  for (const SpeculationPrompt& prompt : options.prompts) {
    for (const bool is_sampled : {false, true}) {
      WOOLLY_CHECK(speculation.measure_prompt(prompt, is_sampled, report));
    }
  }
  for (const double share : options.accept) WOOLLY_CHECK(speculation.measure_accept(share, report));
  return report;
}

}  // namespace woolly::bench
