#include "cli/estimate.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>

#include "cli/flags.h"
#include "os/memory.h"
#include "speculate/generator.h"
#include "woolly/model.h"

namespace woolly::cli {

void EstimateFlags::declare(CLI::App& app) {
  CLI::Option* estimate = app.add_flag("--estimate", is_given_, "What memory the model will need");
  add_count(
      app, "-c", "With --estimate: tokens of a sequence; without it as many as the model was made for",
      [this](std::uint64_t n) { session_.n_ctx = n; }, 1, kMaxContext);
  add_count(
      app, "--parallel", "With --estimate: sequences that serve runs at once; without it the one of run",
      [this](std::uint64_t n) { n_parallel_ = n; }, 1, kMaxChunk);
  add_chunk_flag(app, session_);
  add_kv_type_flag(app, session_);
  for (const char* name : {"-c", "--parallel", "--chunk", "--kv-type", "-t", "--mmap"}) {
    CLI::Option* option = app.get_option(name);
    option->needs(estimate);
    hide_relations(*option);
  }
}

Result<Estimate> EstimateFlags::make(const ModelArgument& model, const std::filesystem::path& path,
                                     std::size_t context_length) const {
  SessionOptions session = session_;
  if (session.n_ctx == 0) session.n_ctx = context_length;
  if (session.n_ctx == 0) {
    return Error{ErrorCode::kInvalidArgument, "the file does not say a context length: -c is needed for --estimate"};
  }
  session.max_logit_rows = std::min(n_parallel_ == 0 ? speculate::Generator::kLogitRows : n_parallel_, session.chunk);
  WOOLLY_TRY(const auto engine, Engine::create({.n_threads = model.n_threads()}));
  WOOLLY_TRY(const MemoryNeed need, Model::need(*engine, path, {.map_file = model.is_mapped()}, session));
  const std::size_t n_sequences = std::max<std::size_t>(1, n_parallel_);
  return Estimate{.n_ctx = session.n_ctx,
                  .n_sequences = n_sequences,
                  .weights = need.weights,
                  .mapped = need.mapped,
                  .kv = n_sequences * need.kv_of(session.n_ctx),
                  .workspace = need.workspace,
                  .rest = os::resident_memory()};
}

}  // namespace woolly::cli
