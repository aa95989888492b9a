#include "cli/model_argument.h"

#include <CLI/CLI.hpp>
#include <utility>

#include "cli/flags.h"
#include "cli/output.h"
#include "gguf/load.h"
#include "os/thread_pool.h"
#include "store/store.h"

namespace woolly::cli {

void ModelArgument::declare(CLI::App& app) {
  app.add_option("MODEL", model_, "A GGUF file, or the name of a model in the store (smollm2:135m)")
      ->type_name("")
      ->required();
}

void ModelArgument::declare_with_engine(CLI::App& app) {
  declare(app);
  add_count(
      app, "-t", "Threads; without it one for each core that this process may use",
      [this](std::uint64_t n) { n_threads_ = n; }, 1, os::ThreadPool::kMaxThreads);
  app.add_flag("--mmap", map_file_,
               "Compute from the mapped file, without a packed copy: for short runs, or where memory is short or shared");
}

Result<std::filesystem::path> ModelArgument::find() const { return store::Store::from_environment().resolve(model_); }

Result<LoadedModel> ModelArgument::load(const std::filesystem::path& path) const {
  const auto begin = std::chrono::steady_clock::now();
  WOOLLY_TRY(std::unique_ptr<Engine> engine, Engine::create({.n_threads = n_threads_}));
  WOOLLY_TRY(std::shared_ptr<const Model> model, Model::load(*engine, path, {.map_file = map_file_}));
  const auto load_time = std::chrono::steady_clock::now() - begin;
  if (const auto tokenizer = model->tokenizer()) {
    for (const std::string& warning : tokenizer.value()->warnings()) print_warning(warning);
  }
  return LoadedModel{std::move(engine), std::move(model), load_time};
}

Result<OpenedFile> open_file(const std::filesystem::path& path) {
  WOOLLY_TRY(os::TensorSource source, os::TensorSource::open(path));
  WOOLLY_TRY(gguf::File file, gguf::load(source));
  return OpenedFile{std::move(source), std::move(file)};
}

}  // namespace woolly::cli
