// woolly imatrix: how much the columns of a model's matrices count, from a text that goes through it.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "cli/command.h"
#include "cli/flags.h"
#include "cli/input.h"
#include "cli/model_argument.h"
#include "cli/output_file.h"
#include "engine/parts.h"
#include "exec/input_squares.h"
#include "gguf/write.h"
#include "quant/dtype.h"
#include "woolly/session.h"

namespace woolly::cli {
namespace {

struct ImatrixOptions {
  ModelArgument model;
  TextInput text;
  std::string out;
  SessionOptions session{.n_ctx = 512};
};

/// Sends the text through the model in windows of n_ctx, each from an empty cache; gives the tokens that went.
Result<std::uint64_t> run_windows(Session& session, std::span<const TokenId> tokens, const Tokenizer& tokenizer,
                                  std::size_t n_ctx) {
  std::uint64_t n = 0;
  std::vector<TokenId> window;
  for (std::size_t at = 0; at < tokens.size();) {
    window.clear();
    if (tokenizer.bos()) window.push_back(*tokenizer.bos());
    const std::size_t more = std::min(n_ctx - window.size(), tokens.size() - at);
    const auto begin = tokens.begin() + static_cast<std::ptrdiff_t>(at);
    window.insert(window.end(), begin, begin + static_cast<std::ptrdiff_t>(more));
    at += more;
    session.truncate(0);
    WOOLLY_CHECK(session.append(window));
    n += window.size();
  }
  return n;
}

/// The tensors of the file and their names and values, which live here.
class Tensors {
 public:
  void add(std::string name, std::array<std::uint64_t, 4> shape, std::vector<float> values) {
    names_.push_back(std::make_unique<const std::string>(std::move(name)));
    views_.push_back({.name = *names_.back(), .type = quant::DType::kF32, .n_dims = 2, .shape = shape, .file = 0, .offset = 0, .size = 0});
    values_.push_back(std::move(values));
  }
  [[nodiscard]] std::span<const gguf::TensorView> views() const { return views_; }
  [[nodiscard]] std::span<const std::byte> bytes(std::size_t i) const { return std::as_bytes(std::span(values_[i])); }

 private:
  std::vector<std::unique_ptr<const std::string>> names_;
  std::vector<gguf::TensorView> views_;
  std::vector<std::vector<float>> values_;
};

/// Matrices that not all tokens go through, such as the output's, are left out: what is seen of them is too little.
Tensors tensors_of(const plan::Plan& plan, const exec::InputSquares& squares, std::uint64_t n_tokens) {
  Tensors tensors;
  std::set<std::string_view> names;
  for (std::size_t step = 0; step < plan.steps.size(); ++step) {
    const std::span<const exec::InputSquares::Sums> sums = squares.of(step);
    if (sums.size() == 1 && sums[0].n_rows != n_tokens) continue;
    for (const plan::MatrixId id : exec::counted_matrices(plan.steps[step].op)) {
      const plan::PackedMatrix& matrix = plan.matrices[id.index];
      if (!names.insert(matrix.tensor->name).second) continue;
      std::vector<float> values, counts;
      for (const exec::InputSquares::Sums& of : sums) {
        for (const double square : of.squares) values.push_back(static_cast<float>(square));
        counts.push_back(static_cast<float>(of.n_rows));
      }
      const std::string name(matrix.tensor->name);
      tensors.add(name + ".in_sum2", {matrix.n_cols, sums.size(), 1, 1}, std::move(values));
      tensors.add(name + ".counts", {1, sums.size(), 1, 1}, std::move(counts));
    }
  }
  return tensors;
}

void write(const Tensors& tensors, std::uint32_t n_windows, std::uint32_t n_ctx, OutputFile& out) {
  const auto text = [](std::string_view value) {
    return gguf::Value{gguf::ValueType::kString, gguf::ValueType::kString, 1, std::as_bytes(std::span(value)), {}};
  };
  const auto number = [](const std::uint32_t& value) {
    return gguf::Value{gguf::ValueType::kU32, gguf::ValueType::kU32, 1, std::as_bytes(std::span(&value, 1)), {}};
  };
  static constexpr std::array<std::string_view, 1> kDatasets = {"text"};
  gguf::Metadata metadata;
  metadata.add("general.type", text("imatrix"));
  metadata.add("imatrix.datasets", {gguf::ValueType::kArray, gguf::ValueType::kString, 1, {}, kDatasets});
  metadata.add("imatrix.chunk_count", number(n_windows));
  metadata.add("imatrix.chunk_size", number(n_ctx));
  const gguf::Layout layout = gguf::lay_out(metadata, tensors.views());
  out.write(layout.header);
  std::uint64_t at = layout.header.size();
  const auto pad_to = [&](std::uint64_t end) { out.write(std::vector<std::byte>(end - at)); };
  for (std::size_t i = 0; i < tensors.views().size(); ++i) {
    pad_to(layout.offsets[i]);
    out.write(tensors.bytes(i));
    at = layout.offsets[i] + tensors.bytes(i).size();
  }
  pad_to(layout.file_size);
}

Status imatrix(const ImatrixOptions& options) {
  WOOLLY_TRY(const auto path, options.model.find());
  WOOLLY_CHECK(OutputFile::probe(options.out));
  WOOLLY_TRY(const std::string text, options.text.read());
  WOOLLY_TRY(const LoadedModel loaded, options.model.load(path));
  WOOLLY_TRY(const Tokenizer* tokenizer, loaded.model->tokenizer());
  const std::vector<TokenId> tokens = tokenizer->encode(text, {});
  if (tokens.empty()) return Error{ErrorCode::kInvalidArgument, "the text has no tokens"};
  WOOLLY_TRY(const auto session, Session::create(loaded.model, options.session));
  const plan::Plan& plan = loaded.model->parts().plan;
  exec::InputSquares squares(plan);
  session->parts().executor->count_inputs(&squares);
  WOOLLY_TRY(const std::uint64_t n, run_windows(*session, tokens, *tokenizer, options.session.n_ctx));
  const std::size_t n_ctx = options.session.n_ctx;
  WOOLLY_TRY(OutputFile out, OutputFile::create(options.out));
  write(tensors_of(plan, squares, n), static_cast<std::uint32_t>((n + n_ctx - 1) / n_ctx), static_cast<std::uint32_t>(n_ctx), out);
  return out.finish();
}

}  // namespace

Action declare_imatrix(CLI::App& app) {
  const auto options = std::make_shared<ImatrixOptions>();
  options->model.declare_with_engine(app);
  options->text.declare(app);
  add_output_file_flag(app, "-o", "The file to write", options->out)->required();
  add_count(
      app, "-c", "Tokens of a window, BOS included",
      [options](std::uint64_t n) { options->session.n_ctx = n; }, 2, kMaxContext)
      ->default_str(std::to_string(options->session.n_ctx));
  app.footer(
      "The text goes through the model in windows, each from an empty cache. The file, which llama-quantize reads too, has\n"
      "for each matrix the sums of the squares of what its columns were multiplied by.\n"
      "\n"
      "Examples:\n"
      "  woolly imatrix smollm2:135m -f story.txt -o imatrix.gguf\n"
      "  woolly quantize smollm2:135m smollm2-q2.gguf --type Q2_K --imatrix imatrix.gguf --requantize");
  return [options] { return imatrix(*options); };
}

}  // namespace woolly::cli
