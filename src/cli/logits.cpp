// woolly logits: the logits of given tokens, for comparison with other programs. Needs no tokenizer.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "cli/command.h"
#include "cli/flags.h"
#include "cli/interrupt.h"
#include "cli/model_argument.h"
#include "cli/scoring.h"
#include "woolly/session.h"

namespace woolly::cli {
namespace {

namespace fs = std::filesystem;

struct LogitsOptions {
  ModelArgument model;
  std::vector<TokenId> tokens;
  std::string file;
  SessionOptions session{.kv_type = KvType::kF32};
};

/// A file that appears under its name only when it is complete: written beside it, then renamed. What is no regular
/// file (a pipe, a device) is written directly.
class OutputFile {
 public:
  static Result<OutputFile> create(const fs::path& path) {
    std::error_code error;
    if (fs::is_directory(path, error)) return failure(path, "a directory, expected the name of a file");
    OutputFile file;
    file.path_ = path;
    if (!fs::exists(path, error) || fs::is_regular_file(path, error)) {
      file.temporary_ = path;
      file.temporary_ += fmt::format(".{:08x}.part", std::random_device{}());
    }
    const fs::path& opened = file.temporary_.empty() ? path : file.temporary_;
    file.file_.reset(std::fopen(opened.c_str(), file.temporary_.empty() ? "wb" : "wbx"));
    if (file.file_ == nullptr) return failure(path, std::strerror(errno));
    return file;
  }

  OutputFile(OutputFile&& other) noexcept = default;
  ~OutputFile() {
    std::error_code error;
    if (file_ != nullptr && !temporary_.empty()) fs::remove(temporary_, error);
  }

  /// A failure is told by `finish`.
  void write(std::span<const float> values) noexcept {
    static_assert(std::endian::native == std::endian::little, "the format is little-endian");
    if (error_ != 0 || std::fwrite(values.data(), sizeof(float), values.size(), file_.get()) == values.size()) return;
    error_ = errno;
  }

  Status finish() {
    if (error_ == 0 && std::fflush(file_.get()) != 0) error_ = errno;
    if (error_ != 0) return failure(path_, std::strerror(error_));
    std::error_code error;
    if (!temporary_.empty()) fs::rename(temporary_, path_, error);
    if (error) return failure(path_, error.message());
    file_.reset();
    return {};
  }

 private:
  struct Close {
    void operator()(std::FILE* file) const noexcept { std::fclose(file); }
  };

  OutputFile() = default;
  static Error failure(const fs::path& path, std::string_view why) {
    return {ErrorCode::kIo, fmt::format("{}: {}", path.string(), why)};
  }

  fs::path path_;
  fs::path temporary_;  // empty: written directly
  std::unique_ptr<std::FILE, Close> file_;
  int error_ = 0;  // of the first write that failed
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
  // In pieces, so that Ctrl-C need not wait for the end.
  for (std::span<const TokenId> rest = options.tokens; !rest.empty();) {
    const std::size_t n = std::min(rest.size(), options.session.chunk);
    WOOLLY_CHECK(
        session->append_each(rest.first(n), [&](std::size_t, std::span<const float> logits) { file.write(logits); }));
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
  add_value(app, "-o", "FILE", "The file to write: float32, little-endian, [tokens, vocabulary]",
            [options = options.get()](const std::string& text) -> Status {
              if (text.empty()) return Error{ErrorCode::kInvalidArgument, "empty, allowed is the name of a file"};
              options->file = text;
              return {};
            })
      ->required();
  add_kv_type_flag(app, options->session);
  app.footer(
      "Examples:\n"
      "  woolly logits smollm2:135m --tokens 1,2,3 -o logits.f32\n"
      "  woolly logits smollm2:135m --tokens 1,2,3 -o logits.f32 --kv-type f16");
  return [options] { return write_logits(*options); };
}

}  // namespace woolly::cli
