// woolly quantize: a model file in other types.
#include "quantize/quantize.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "cli/command.h"
#include "cli/flags.h"
#include "cli/interrupt.h"
#include "cli/model_argument.h"
#include "cli/output.h"
#include "cli/output_file.h"
#include "os/thread_pool.h"

namespace woolly::cli {
namespace {

struct QuantizeOptions {
  ModelArgument model;
  std::string out;
  const quantize::Mix* mix = nullptr;
  std::size_t n_threads = 0;
  std::optional<std::string> importance;
  bool allow_requantizing = false;
};

std::string names_of_mixes() {
  std::string names;
  for (const quantize::Mix& mix : quantize::all_mixes()) names += fmt::format("{}{}", names.empty() ? "" : ", ", mix.name);
  return names;
}

Status check_new(const std::string& path) {
  std::error_code error;
  if (!std::filesystem::exists(path, error)) return {};
  return Error{ErrorCode::kInvalidArgument, fmt::format("{} exists already, expected the name of a new file", path)};
}

Status quantize_model(const QuantizeOptions& options) {
  WOOLLY_TRY(const auto path, options.model.find());
  WOOLLY_CHECK(check_new(options.out));
  WOOLLY_TRY(const OpenedFile opened, open_file(path));
  quantize::Options how{.importance = {}, .allow_requantizing = options.allow_requantizing};
  if (options.importance) {
    WOOLLY_TRY(const auto source, os::TensorSource::open(*options.importance));
    WOOLLY_TRY(quantize::Importance importance, quantize::Importance::read(source));
    how.importance = std::move(importance);
  }
  WOOLLY_TRY(const auto pool, os::ThreadPool::create(options.n_threads));
  const Interrupt interrupt;
  WOOLLY_TRY(OutputFile out, OutputFile::create(options.out));
  WOOLLY_TRY(const quantize::Summary summary,
             quantize::quantize(opened.source, opened.file, *options.mix, how, *pool,
                                [&](std::span<const std::byte> bytes) -> Status {
                                  if (interrupt.is_raised()) return Error{ErrorCode::kIo, "interrupted, nothing is written"};
                                  out.write(bytes);
                                  return out.status();
                                }));
  WOOLLY_CHECK(check_new(options.out));
  WOOLLY_CHECK(out.finish());
  fmt::print(stderr, "{}: {}, {:.1f} MB, {:.2f} bits a weight, root mean square error {:.3g} %\n", options.out,
             options.mix->name, static_cast<double>(summary.file_bytes) / 1e6, summary.bits_per_weight,
             100 * summary.relative_error);
  return {};
}

}  // namespace

Action declare_quantize(CLI::App& app) {
  const auto options = std::make_shared<QuantizeOptions>();
  options->model.declare(app);
  app.add_option("OUT", options->out, "The file to write; it must not exist yet")->type_name("")->required();
  add_value(app, "--type", "TYPE", "What most matrices become: " + names_of_mixes(), [options](const std::string& text) -> Status {
    options->mix = quantize::find_mix(text);
    if (options->mix != nullptr) return {};
    return Error{ErrorCode::kInvalidArgument, fmt::format("\"{}\", expected one of {}", text, names_of_mixes())};
  })->required();
  add_count(
      app, "-t", "Threads; without it one for each core that this process may use",
      [options](std::uint64_t n) { options->n_threads = n; }, 1, os::ThreadPool::kMaxThreads);
  add_text(app, "--imatrix", "FILE", "An importance matrix in GGUF, as llama-imatrix writes it: how much each column counts",
           options->importance);
  app.add_flag("--requantize", options->allow_requantizing,
               "Take weights that are quantized already; the result is worse than from the original");
  app.footer(
      "Vectors stay as they are, and some matrices take more bits than others, as llama.cpp has it for the same name. The\n"
      "file appears when it is complete.\n"
      "\n"
      "Examples:\n"
      "  woolly quantize smollm2:135m smollm2-q4.gguf --type Q4_K_M --requantize\n"
      "  woolly quantize smollm2:135m smollm2-bf16.gguf --type BF16 --requantize -t 2");
  return [options] { return quantize_model(*options); };
}

}  // namespace woolly::cli
