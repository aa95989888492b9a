// --profile and --trace, for commands that run a model.
#pragma once

#include <memory>
#include <string>

#include "cli/model_argument.h"
#include "exec/recorder.h"
#include "woolly/error.h"
#include "woolly/session.h"

namespace CLI {
class App;
}

namespace woolly::cli {

/// Must stay where it is once its flags are declared.
class Profiling {
 public:
  void declare(CLI::App& app);

  [[nodiscard]] bool wants_profile() const noexcept { return wants_profile_; }
  [[nodiscard]] const std::string& trace_file() const noexcept { return trace_file_; }

  /// Before any work: whether the file of --trace can be written.
  [[nodiscard]] Status check() const;

  /// What the flags ask for; nullptr: nothing.
  [[nodiscard]] std::unique_ptr<exec::Recorder> recorder_for(const LoadedModel& loaded) const;

  /// Measures the roofs and prints the profile of a session's runs to standard error, if it is wanted.
  [[nodiscard]] Status print_profile(const exec::Recorder& recorder, const LoadedModel& loaded,
                                     const Session& session) const;

  /// Writes the file of --trace, if it is wanted, and warns if there was no room for everything. Ctrl-C should be
  /// caught meanwhile, or it leaves half a file behind.
  [[nodiscard]] Status write_trace(const exec::Recorder& recorder, const Model& model) const;

 private:
  bool wants_profile_ = false;
  std::string trace_file_;
};

}  // namespace woolly::cli
