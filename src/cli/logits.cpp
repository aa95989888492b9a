// woolly logits: the logits of given tokens, for comparison with other programs. Needs no tokenizer.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <bit>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "cli/command.h"
#include "cli/flags.h"
#include "cli/interrupt.h"
#include "cli/model_argument.h"
#include "cli/output_file.h"
#include "cli/scoring.h"
#include "woolly/session.h"

namespace woolly::cli {
namespace {

struct LogitsOptions {
  ModelArgument model;
  std::vector<TokenId> tokens;
  std::string file;
  SessionOptions session{.kv_type = KvType::kF32};
};

Status write_logits(LogitsOptions options) {
  WOOLLY_TRY(const auto path, options.model.find());
  // From here on Ctrl-C only asks for the end, so that it leaves no half a file behind.
  const Interrupt interrupt;
  const auto interrupted = [&] { return Error{ErrorCode::kIo, fmt::format("{}: interrupted", options.file)}; };
  WOOLLY_TRY(OutputFile file, OutputFile::create(options.file));
  WOOLLY_TRY(const LoadedModel loaded, options.model.load(path));
  if (interrupt.is_raised()) return interrupted();
  WOOLLY_CHECK(check_token_ids(options.tokens, *loaded.model));
  options.session.max_logit_rows = logit_rows_for(*loaded.model, options.session.chunk);
  WOOLLY_TRY(const auto session, Session::create(loaded.model, options.session));
  if (options.tokens.size() > session->n_ctx()) {
    return Error{ErrorCode::kLimitExceeded,
                 fmt::format("--tokens: {} ids, the context holds {}", options.tokens.size(), session->n_ctx())};
  }
  static_assert(std::endian::native == std::endian::little, "the format is little-endian");
  const auto write = [&](std::size_t, std::span<const float> logits) { file.write(std::as_bytes(logits)); };
  // In pieces, so that Ctrl-C need not wait for the end.
  for (std::span<const TokenId> rest = options.tokens; !rest.empty();) {
    const std::size_t n = std::min(rest.size(), options.session.chunk);
    WOOLLY_CHECK(session->append_each(rest.first(n), write));
    if (interrupt.is_raised()) return interrupted();
    rest = rest.subspan(n);
  }
  return file.finish();
}

}  // namespace

Action declare_logits(CLI::App& app) {
  const auto options = std::make_shared<LogitsOptions>();
  options->model.declare_with_engine(app);
  add_tokens_flag(app, options->tokens)->required();
  add_output_file_flag(app, "-o", "The file to write: float32, little-endian, [tokens, vocabulary]", options->file)
      ->required();
  add_kv_type_flag(app, options->session);
  app.footer(
      "Examples:\n"
      "  woolly logits smollm2:135m --tokens 1,2,3 -o logits.f32\n"
      "  woolly logits smollm2:135m --tokens 1,2,3 -o logits.f32 --kv-type f16");
  return [options] { return write_logits(*options); };
}

}  // namespace woolly::cli
