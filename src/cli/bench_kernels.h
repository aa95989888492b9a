// The part of woolly bench that needs no model: --kernels.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "bench/attention.h"
#include "bench/kernels.h"
#include "woolly/error.h"

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace woolly::cli {

/// Must stay where it is once its flags are declared.
class KernelArguments {
 public:
  KernelArguments();

  /// Declares --kernels, which does away with the need for MODEL, and the flags that belong to it.
  CLI::Option* declare(CLI::App& app);
  [[nodiscard]] bool are_given() const { return are_given_; }

  struct Common {
    std::size_t n_threads = 0;
    std::size_t n_repetitions = 5;
    bool with_roof = true;
    bool as_json = false;
    bool as_csv = false;
  };
  /// Measures and prints.
  [[nodiscard]] Status run(const Common& common) const;

 private:
  [[nodiscard]] Status run_products(const Common& common) const;
  [[nodiscard]] Status run_calls(const Common& common) const;
  [[nodiscard]] Status run_attention(const Common& common) const;

  bool are_given_ = false;
  bool of_calls_ = false;
  bool of_attention_ = false;
  /// Without types, they are all; without tables, it is the one that an engine would choose, but all for calls.
  bench::KernelOptions options_;
  bench::AttentionOptions attention_;  ///< What is not in `options_`.
};

}  // namespace woolly::cli
