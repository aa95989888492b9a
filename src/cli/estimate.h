// What memory a model will need, before it is loaded.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>

#include "cli/model_argument.h"
#include "woolly/error.h"
#include "woolly/options.h"

namespace CLI {
class App;
}

namespace woolly::cli {

/// In bytes.
struct Estimate {
  std::size_t n_ctx, n_sequences;
  std::uint64_t weights;    ///< In memory of the process's own.
  std::uint64_t mapped;     ///< Of the mapped file, in the system's file cache.
  std::uint64_t kv;         ///< Of all sequences, when each has filled its context.
  std::uint64_t workspace;
  std::uint64_t rest;       ///< The program itself, with header and vocabulary of the file.

  [[nodiscard]] std::uint64_t total() const { return weights + mapped + kv + workspace + rest; }
};

/// --estimate and the flags that it is made for: those of `run` and `serve`. Must stay where it is once they are
/// declared.
class EstimateFlags {
 public:
  /// `model` has declared the flags of its engine.
  void declare(CLI::App& app);
  [[nodiscard]] bool is_given() const noexcept { return is_given_; }

  /// What `run` needs, or with --parallel `serve`. `context_length` is the model's own, 0 where the file does not say:
  /// then -c is needed. Reads the header only; to be called when this process has read header and vocabulary itself, as
  /// its own size is what is taken for the rest.
  [[nodiscard]] Result<Estimate> make(const ModelArgument& model, const std::filesystem::path& path,
                                      std::size_t context_length) const;

 private:
  bool is_given_ = false;
  std::size_t n_parallel_ = 0;
  SessionOptions session_;
};

}  // namespace woolly::cli
