// woolly info: what a file holds and what memory it will need, as far as its header says. Reads no weights, so it works on
// files that hold only a vocabulary and, but for what is needed, on architectures that are not known here.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cstdint>
#include <iterator>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/command.h"
#include "cli/estimate.h"
#include "cli/model_argument.h"
#include "cli/output.h"
#include "quant/dtype.h"
#include "text/load.h"

namespace woolly::cli {
namespace {

using Json = nlohmann::ordered_json;

struct InfoOptions {
  ModelArgument model;
  EstimateFlags estimate;
  bool with_tensors = false;
  bool as_json = false;
};

/// THE table of model facts: keys that every architecture defines, below the architecture's name.
struct Fact {
  std::string_view name;  ///< In JSON.
  std::string_view label;
  std::string_view key;
};
constexpr std::array kFacts = {
    Fact{"context_length", "context", "context_length"},
    Fact{"n_layers", "layers", "block_count"},
    Fact{"hidden_dim", "hidden dim", "embedding_length"},
    Fact{"feed_forward_dim", "feed-forward dim", "feed_forward_length"},
    Fact{"n_heads", "heads", "attention.head_count"},
    Fact{"n_kv_heads", "key/value heads", "attention.head_count_kv"},
};

std::uint64_t n_elements(const gguf::TensorView& tensor) { return tensor.n_cols() * tensor.n_rows(); }

/// As programs see it: rows first, the contiguous dimension last.
std::vector<std::uint64_t> shape_of(const gguf::TensorView& tensor) {
  return {std::make_reverse_iterator(tensor.shape.begin() + tensor.n_dims), tensor.shape.rend()};
}

/// A number, or a list with one for each layer; null where the file does not say (0 and -1 stand for that too).
Json fact_value(const gguf::Metadata& metadata, const std::string& key) {
  if (const auto number = metadata.find_int(key); number && number.value()) {
    const std::int64_t value = *number.value();
    return value > 0 && value != 0xFFFFFFFF ? Json(value) : Json();
  }
  const auto numbers = metadata.ints(key);
  return numbers && !numbers.value().empty() ? Json(numbers.value()) : Json();
}

Json token_json(const Tokenizer& tokenizer, std::optional<TokenId> token) {
  if (!token) return {};
  return {{"id", token->value}, {"text", tokenizer.piece(*token, true)}};
}

Json tokenizer_json(const gguf::Metadata& metadata) {
  const auto loaded = text::load_tokenizer(metadata);
  if (!loaded) return {{"error", loaded.error().message}};
  const Tokenizer& tokenizer = *loaded.value();
  return {{"model", tokenizer.model_name()},
          {"pre", tokenizer.pre_name()},
          {"vocab_size", tokenizer.vocab_size()},
          {"bos", token_json(tokenizer, tokenizer.bos())},
          {"eos", token_json(tokenizer, tokenizer.eos())},
          {"adds_bos", tokenizer.adds_bos()},
          {"warnings", tokenizer.warnings()}};
}

/// The tensor types that occur, with what share of the model they make up.
Json types_json(const gguf::File& file) {
  struct Share {
    std::uint64_t n_tensors = 0;
    std::uint64_t n_parameters = 0;
    std::uint64_t n_bytes = 0;
  };
  std::map<quant::DType, Share> shares;
  for (const gguf::TensorView& tensor : file.tensors()) {
    Share& share = shares[tensor.type];
    ++share.n_tensors;
    share.n_parameters += n_elements(tensor);
    share.n_bytes += tensor.size;
  }
  Json types = Json::object();
  for (const auto& [type, share] : shares) {
    types[std::string(quant::info(type).name)] = {
        {"tensors", share.n_tensors}, {"parameters", share.n_parameters}, {"bytes", share.n_bytes}};
  }
  return types;
}

Json tensors_json(const gguf::File& file) {
  Json tensors = Json::array();
  for (const gguf::TensorView& tensor : file.tensors()) {
    tensors.push_back({{"name", tensor.name},
                       {"type", quant::info(tensor.type).name},
                       {"shape", shape_of(tensor)},
                       {"bytes", tensor.size},
                       {"file", tensor.file},
                       {"offset", tensor.offset}});
  }
  return tensors;
}

Json to_json(const Estimate& estimate) {
  return {{"context", estimate.n_ctx},         {"sequences", estimate.n_sequences}, {"weights", estimate.weights},
          {"mapped", estimate.mapped},         {"keys_and_values", estimate.kv},    {"workspace", estimate.workspace},
          {"rest", estimate.rest},             {"total", estimate.total()}};
}

Json string_or_null(const gguf::Metadata& metadata, std::string_view key) {
  const auto text = metadata.get_string(key);
  return text ? Json(text.value()) : Json();
}

/// Everything that is shown, in the order in which it is shown.
Json describe(const OpenedFile& opened) {
  const gguf::File& file = opened.file;
  Json info;
  info["architecture"] = string_or_null(file.metadata, "general.architecture");
  info["name"] = string_or_null(file.metadata, "general.name");
  info["gguf_version"] = file.version();
  std::uint64_t file_bytes = 0;
  for (std::size_t i = 0; i < opened.source.n_files(); ++i) {
    info["files"].push_back(opened.source.path(i).string());
    file_bytes += opened.source.size(i);
  }
  info["file_bytes"] = file_bytes;
  std::uint64_t n_parameters = 0;
  for (const gguf::TensorView& tensor : file.tensors()) n_parameters += n_elements(tensor);
  info["n_parameters"] = n_parameters;
  info["n_tensors"] = file.tensors().size();
  info["tensor_bytes"] = file.tensor_bytes();
  info["types"] = types_json(file);
  for (const Fact& fact : kFacts) {
    info[std::string(fact.name)] =
        info["architecture"].is_string()
            ? fact_value(file.metadata, fmt::format("{}.{}", info["architecture"].get<std::string>(), fact.key))
            : Json();
  }
  info["tokenizer"] = tokenizer_json(file.metadata);
  return info;
}

// From here on: the same as text.

/// A number with three or four digits and a prefix: "134.5 M", or "98.4 MB" with a unit.
std::string short_number(std::uint64_t value, std::string_view unit = "") {
  constexpr std::array<std::string_view, 5> kPrefixes = {"", "k", "M", "G", "T"};
  auto scaled = static_cast<double>(value);
  std::size_t prefix = 0;
  for (; scaled >= 999.5 && prefix + 1 < kPrefixes.size(); ++prefix) scaled /= 1000.0;
  if (prefix == 0) return fmt::format("{}{}{}", value, unit.empty() ? "" : " ", unit);
  return fmt::format("{:.1f} {}{}", scaled, kPrefixes[prefix], unit);
}

std::string size_text(std::uint64_t bytes) { return short_number(bytes, "B"); }

std::string text_of(const Json& value) { return value.is_string() ? escaped(value.get<std::string>()) : value.dump(); }

class Lines {
 public:
  void add(std::string_view label, std::string_view value) {
    fmt::format_to(std::back_inserter(text_), "{:<18}{}\n", label, value);
  }
  [[nodiscard]] const std::string& text() const noexcept { return text_; }

 private:
  std::string text_;
};

void add_types(Lines& lines, const Json& info) {
  const auto bits = [](std::uint64_t bytes, std::uint64_t n) {
    return 8.0 * static_cast<double>(bytes) / static_cast<double>(n);
  };
  const auto n_parameters = info["n_parameters"].get<std::uint64_t>();
  if (n_parameters == 0) {
    lines.add("parameters", "none");
    return;
  }
  const auto tensor_bytes = info["tensor_bytes"].get<std::uint64_t>();
  lines.add("parameters", fmt::format("{} in {} tensors, {}, {:.2f} bits each", short_number(n_parameters),
                                      info["n_tensors"].get<std::uint64_t>(), size_text(tensor_bytes),
                                      bits(tensor_bytes, n_parameters)));
  for (const auto& [name, share] : info["types"].items()) {
    const auto n = share["parameters"].get<std::uint64_t>();
    lines.add("  " + name,
              fmt::format("{} in {} tensors, {}, {:.1f} % of the parameters", short_number(n),
                          share["tensors"].get<std::uint64_t>(), size_text(share["bytes"].get<std::uint64_t>()),
                          100.0 * static_cast<double>(n) / static_cast<double>(n_parameters)));
  }
}

void add_tokenizer(Lines& lines, const Json& tokenizer) {
  if (tokenizer.contains("error")) {
    lines.add("tokenizer", "none that can be used: " + text_of(tokenizer["error"]));
    return;
  }
  lines.add("tokenizer", fmt::format("{}, pre-tokenizer {}", text_of(tokenizer["model"]), text_of(tokenizer["pre"])));
  lines.add("vocabulary", fmt::format("{} tokens", tokenizer["vocab_size"].get<std::uint64_t>()));
  for (const auto& [label, key] : {std::pair{"BOS", "bos"}, std::pair{"EOS", "eos"}}) {
    const Json& token = tokenizer[key];
    lines.add(label, token.is_null() ? "none" : fmt::format("{} {}", token["id"].get<int>(), text_of(token["text"])));
  }
  lines.add("texts begin with", tokenizer["adds_bos"].get<bool>() ? "BOS" : "no BOS");
  for (const Json& warning : tokenizer["warnings"]) lines.add("warning", text_of(warning));
}

void add_estimate(Lines& lines, const Json& estimate) {
  const auto size = [&](const char* key) { return size_text(estimate[key].get<std::uint64_t>()); };
  const auto n_sequences = estimate["sequences"].get<std::uint64_t>();
  lines.add("memory", fmt::format("{} for {} of {} tokens", size("total"),
                                  n_sequences == 1 ? "a sequence" : fmt::format("{} sequences", n_sequences),
                                  estimate["context"].get<std::uint64_t>()));
  lines.add("  weights", size("weights"));
  if (estimate["mapped"] != 0) lines.add("  mapped file", size("mapped"));
  lines.add("  keys, values", size("keys_and_values"));
  lines.add("  workspace", size("workspace"));
  lines.add("  program", size("rest"));
}

std::string tensor_table(const Json& tensors) {
  std::size_t width = 0;
  for (const Json& tensor : tensors) width = std::max(width, text_of(tensor["name"]).size());
  std::string out = fmt::format("\n{:<{}}  {:<8}{:>14}  shape, rows first\n", "tensor", width, "type", "bytes");
  for (const Json& tensor : tensors) {
    fmt::format_to(std::back_inserter(out), "{:<{}}  {:<8}{:>14}  {}\n", text_of(tensor["name"]), width,
                   text_of(tensor["type"]), tensor["bytes"].get<std::uint64_t>(), tensor["shape"].dump());
  }
  return out;
}

std::string to_text(const Json& info) {
  Lines lines;
  for (const char* key : {"architecture", "name"})
    lines.add(key, info[key].is_null() ? "not said" : text_of(info[key]));
  for (const Json& file : info["files"]) lines.add("file", text_of(file));
  lines.add("size", fmt::format("{}, GGUF version {}", size_text(info["file_bytes"].get<std::uint64_t>()),
                                info["gguf_version"].get<int>()));
  add_types(lines, info);
  for (const Fact& fact : kFacts) {
    const Json& value = info[std::string(fact.name)];
    if (!value.is_null()) lines.add(fact.label, value.dump());
  }
  add_tokenizer(lines, info["tokenizer"]);
  if (info.contains("estimate")) add_estimate(lines, info["estimate"]);
  return lines.text() + (info.contains("tensors") ? tensor_table(info["tensors"]) : "");
}

Status show_info(const InfoOptions& options) {
  WOOLLY_TRY(const auto path, options.model.find());
  WOOLLY_TRY(const OpenedFile opened, open_file(path));
  Json info = describe(opened);
  if (options.estimate.is_given()) {
    const Json& context = info["context_length"];
    const std::size_t n_ctx = context.is_number() ? context.get<std::size_t>() : 0;
    WOOLLY_TRY(const Estimate estimate, options.estimate.make(options.model, path, n_ctx));
    info["estimate"] = to_json(estimate);
  }
  if (options.with_tensors) info["tensors"] = tensors_json(opened.file);
  if (!options.as_json) return write_output(to_text(info));
  return write_output(info.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
}

}  // namespace

Action declare_info(CLI::App& app) {
  const auto options = std::make_shared<InfoOptions>();
  options->model.declare_with_engine(app);
  options->estimate.declare(app);
  app.add_flag("--tensors", options->with_tensors, "Every tensor with its type, size and shape");
  app.add_flag("--json", options->as_json, "The same for programs");
  app.footer(
      "Examples:\n"
      "  woolly info smollm2:135m\n"
      "  woolly info smollm2:135m --tensors --json\n"
      "  woolly info smollm2:135m --estimate -c 2048 --parallel 4");
  return [options] { return show_info(*options); };
}

}  // namespace woolly::cli
