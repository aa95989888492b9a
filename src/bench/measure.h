// What is measured of a model: how fast prompts go in (pp) and tokens come out (tg), as llama-bench defines them, and
// how much work either is.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "bench/roof.h"
#include "woolly/error.h"
#include "woolly/model.h"
#include "woolly/session.h"

namespace woolly::bench {

struct Test {
  enum class Kind : std::uint8_t {
    kPrompt,    ///< A prompt of n tokens, logits of its last one.
    kGenerate,  ///< n single tokens of each sequence, one after the other, logits of all.
  };
  Kind kind;
  std::size_t n;
  std::size_t depth = 0;        ///< Tokens that each sequence has in the cache before.
  std::size_t n_sequences = 1;  ///< Of kGenerate: that go on together, each with a past of its own.

  /// "pp512", "tg64@4096", "tg64x8", "tg64x8@4096".
  [[nodiscard]] std::string name() const;
};

struct Summary {
  double median = 0;
  double spread = 0;  ///< Interquartile range / median, quartiles interpolated linearly between the sorted values.
};

/// Of at least one value.
Summary summarize(std::vector<double> values);

/// What a model reads and computes, from its plan. Matrices of a lookup (an embedding table that is not tied) are not
/// read but for one row, and left out.
struct ModelWork {
  std::uint64_t matrix_bytes = 0;              ///< As the file has them: read for every single token; of experts those used.
  std::uint64_t parameters_of_each_token = 0;  ///< Of the matrices that every token of a prompt goes through.
  std::uint64_t parameters_of_last_token = 0;  ///< Of those that only rows with logits go through.
  std::uint64_t cache_bytes_per_position = 0;  ///< Keys and values of all layers.
};
ModelWork work_of(const Model& model, KvType kv_type);

/// The share of `roof` that a rate in tokens per second, of all sequences together, stands for: of the read bandwidth for
/// kGenerate (a step reads the matrices once, and the cache of every sequence at its mean length), of the integer rate
/// for kPrompt (two operations for a parameter and token).
double roof_share(const Test& test, double tokens_per_second, const ModelWork& work, const Roof& roof);

/// A share above this cannot be: the roof was measured too low, or does not bound the model (it fits into caches).
inline constexpr double kMaxRoofShare = 1.05;

/// Runs tests on sessions of its own, on the threads of the model's engine.
class Runner {
 public:
  /// Prepares for `tests`; `options.n_ctx` and `options.max_logit_rows` are set from them. kInvalidArgument where a chunk
  /// does not hold a token of each sequence.
  static Result<Runner> create(std::shared_ptr<const Model> model, std::span<const Test> tests, SessionOptions options);

  /// Carries `test`, one of those given, out once and gives tokens per second. The ids are random, the same each time.
  /// The past is computed before, unless the run before has left it.
  Result<double> run(const Test& test);

  /// The first of a family, which has the past of the last run.
  [[nodiscard]] Session& session() const noexcept { return *sessions_.front(); }

 private:
  Runner(std::unique_ptr<Session> session, std::vector<TokenId> tokens) : tokens_(std::move(tokens)) {
    sessions_.push_back(std::move(session));
  }
  Status take_past(const Test& test);

  /// Between runs each has a past of the first tokens.
  std::vector<std::unique_ptr<Session>> sessions_;
  std::vector<TokenId> tokens_;
};

}  // namespace woolly::bench
