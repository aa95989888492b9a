// MODEL on the command line: a path or a name in the store, and the flags that say how it is loaded and run.
#pragma once

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <string>

#include "gguf/gguf.h"
#include "os/tensor_source.h"
#include "woolly/error.h"
#include "woolly/model.h"

namespace CLI {
class App;
}

namespace woolly::cli {

struct LoadedModel {
  std::unique_ptr<Engine> engine;  ///< Outlives the model: declared first.
  std::shared_ptr<const Model> model;
  std::chrono::duration<double> load_time;
};

/// An opened file with its checked header, for commands that need no weights.
struct OpenedFile {
  os::TensorSource source;
  gguf::File file;
};

/// Must stay where it is once its flags are declared.
class ModelArgument {
 public:
  /// Declares MODEL.
  void declare(CLI::App& app);
  /// Declares -t and --mmap too, for commands that load the model.
  void declare_with_engine(CLI::App& app);

  /// Where the model lies; see store::Store::resolve. Done apart from loading, so that a wrong name is told before a
  /// long text is read.
  [[nodiscard]] Result<std::filesystem::path> find() const;

  /// As -t says; 0 without it.
  [[nodiscard]] std::size_t n_threads() const noexcept { return n_threads_; }
  /// As --mmap says.
  [[nodiscard]] bool is_mapped() const noexcept { return map_file_; }

  /// Makes the engine and loads the model; prints the warnings of its tokenizer.
  [[nodiscard]] Result<LoadedModel> load(const std::filesystem::path& path) const;

 private:
  std::string model_;
  std::size_t n_threads_ = 0;
  bool map_file_ = false;
};

/// Reads the header only.
Result<OpenedFile> open_file(const std::filesystem::path& path);

}  // namespace woolly::cli
