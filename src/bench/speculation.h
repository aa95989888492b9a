// What drafts gain: generation with and without them in turn, over the same texts.
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bench/measure.h"
#include "speculate/drafter.h"
#include "speculate/generator.h"
#include "woolly/error.h"
#include "woolly/model.h"
#include "woolly/options.h"

namespace woolly::bench {

/// A text to continue.
struct SpeculationPrompt {
  std::string name;
  std::vector<TokenId> tokens;
};

struct SpeculationOptions {
  std::vector<SpeculationPrompt> prompts;  ///< Each is continued greedily and by sampling.
  /// Instead of prompts: shares of drafts that are right. Random tokens are continued greedily, by a drafter that knows
  /// how the text goes on and makes each draft wrong with probability 1 - share, by chance of a fixed seed.
  std::vector<double> accept;
  std::size_t n_tokens = 256;  ///< Most tokens to generate.
  std::size_t n_repetitions = 5;
  SamplingOptions sampling;  ///< Of rows that sample.
  SessionOptions session;
  /// The drafter of prompts, anew for every run.
  std::function<Result<std::unique_ptr<speculate::Drafter>>()> make_drafter;
};

struct SpeculationRow {
  std::string name;  ///< "chat", "accept 0.5"
  bool is_sampled = false;
  std::size_t n_prompt = 0;
  std::size_t n_generated = 0;
  Summary off, on;  ///< Tokens per second of generation.
  Summary ratio;    ///< On to off, of runs in turn.
  speculate::DraftCounts counts;  ///< Of the last run.

  /// Of verified drafts, the share that was right.
  [[nodiscard]] double acceptance() const;
  /// Mean drafts of the passes that had any.
  [[nodiscard]] double draft_length() const;
};

struct SpeculationReport {
  std::string machine;
  std::string model;  ///< File name.
  std::string kernels;
  std::size_t n_threads = 0;
  std::vector<SpeculationRow> rows;
  std::vector<std::string> errors;  ///< One line for each row whose text was not the same with drafts.
};

/// `path` is the file that `model` was loaded from.
Result<SpeculationReport> run_speculation_bench(const Engine& engine, const std::shared_ptr<const Model>& model,
                                                const std::filesystem::path& path, const SpeculationOptions& options);

}  // namespace woolly::bench
