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
    kPrompt,    ///< A prompt of n tokens into an empty cache, logits of its last token.
    kGenerate,  ///< n single tokens, one after the other, from an empty cache.
  };
  Kind kind;
  std::size_t n;

  /// "pp512", "tg64".
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
  std::uint64_t matrix_bytes = 0;              ///< All matrices, as the file has them: read for every single token.
  std::uint64_t parameters_of_each_token = 0;  ///< Of the matrices that every token of a prompt goes through.
  std::uint64_t parameters_of_last_token = 0;  ///< Of those that only rows with logits go through.
  std::uint64_t cache_bytes_per_position = 0;  ///< Keys and values of all layers.
};
ModelWork work_of(const Model& model, KvType kv_type);

/// The share of `roof` that a rate in tokens per second stands for: of the read bandwidth for kGenerate (matrices, and
/// the cache at its mean length), of the integer rate for kPrompt (two operations for a parameter and token).
double roof_share(const Test& test, double tokens_per_second, const ModelWork& work, const Roof& roof);

/// A share above this cannot be: the roof was measured too low, or does not bound the model (it fits into caches).
inline constexpr double kMaxRoofShare = 1.05;

/// Runs tests on a session of its own, on the threads of the model's engine.
class Runner {
 public:
  /// Prepares for `tests`; `options.n_ctx` is set from them.
  static Result<Runner> create(std::shared_ptr<const Model> model, std::span<const Test> tests, SessionOptions options);

  /// Carries `test`, one of those given, out once and gives tokens per second. The ids are random, the same each time.
  Result<double> run(const Test& test);

  [[nodiscard]] Session& session() const noexcept { return *session_; }

 private:
  Runner(std::unique_ptr<Session> session, std::vector<TokenId> tokens)
      : session_(std::move(session)), tokens_(std::move(tokens)) {}
  std::unique_ptr<Session> session_;
  std::vector<TokenId> tokens_;
};

}  // namespace woolly::bench
