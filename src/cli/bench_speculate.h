// The part of woolly bench that measures what drafts gain: --speculate.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "cli/model_argument.h"
#include "cli/speculation_flags.h"
#include "woolly/error.h"
#include "woolly/options.h"

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace woolly::cli {

/// Must stay where it is once its flags are declared.
class SpeculationArguments {
 public:
  /// Declares --speculate and the flags that belong to it; those of models are declared already.
  CLI::Option* declare(CLI::App& app);
  [[nodiscard]] bool are_given() const { return are_given_; }

  struct Common {
    std::vector<std::size_t> n_tokens;  ///< The values of -n.
    std::size_t n_repetitions = 5;
    SessionOptions session;
    bool as_json = false;
    bool as_csv = false;
  };
  /// Measures and prints.
  [[nodiscard]] Status run(const ModelArgument& model, const Common& common) const;

 private:
  bool are_given_ = false;
  const CLI::Option* lengths_ = nullptr;  ///< -n, whose default is for another measurement.
  std::vector<double> accept_;
  std::vector<std::string> prompt_files_;
  DraftModelFlag draft_;
};

}  // namespace woolly::cli
