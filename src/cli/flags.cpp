#include "cli/flags.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <memory>
#include <system_error>
#include <utility>

#include "sample/filters.h"

namespace woolly::cli {
namespace {

struct KvTypeName {
  std::string_view name;
  KvType type;
};
constexpr std::array kKvTypes = {KvTypeName{"f32", KvType::kF32}, KvTypeName{"f16", KvType::kF16},
                                 KvTypeName{"bf16", KvType::kBF16}, KvTypeName{"q8_0", KvType::kQ8_0}};

Error refusal(std::string message) { return {ErrorCode::kInvalidArgument, std::move(message)}; }

bool is_whole_number(std::string_view text) {
  if (text.starts_with('-')) text.remove_prefix(1);
  return !text.empty() && std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
}

/// The whole of `text` as a number; nothing where it does not fit.
template <typename T>
std::optional<T> parse(std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

/// Takes the value of a filter's option.
Take take_option(const sample::Filter& filter, SamplingOptions& options) {
  return [&filter, &options](const std::string& text) -> Status {
    if (filter.is_integer() && !is_whole_number(text))
      return refusal(fmt::format("\"{}\" is not a whole number", text));
    const std::optional<double> parsed = parse<double>(text);
    if (!parsed) return refusal(fmt::format("\"{}\" is not a number", text));
    // What counts is the value after rounding to the type of the option.
    const double value = filter.is_integer() ? *parsed : static_cast<double>(static_cast<float>(*parsed));
    if (!filter.range.contains(value)) return refusal(fmt::format("{}, allowed is {}", text, filter.range.describe()));
    filter.set(options, value);
    return {};
  };
}

Status take_token(std::string_view text, std::vector<TokenId>& tokens) {
  const std::size_t begin = text.find_first_not_of(' ');
  if (begin != std::string_view::npos) text = text.substr(begin, text.find_last_not_of(' ') - begin + 1);
  const std::optional<std::int32_t> id = parse<std::int32_t>(text);
  if (!id || *id < 0) {
    return refusal(fmt::format("\"{}\" is not a token id: a whole number that is at least 0", text));
  }
  tokens.push_back(TokenId{*id});
  return {};
}

}  // namespace

std::vector<std::string_view> split_list(std::string_view text) {
  std::vector<std::string_view> parts;
  for (;;) {
    const std::size_t comma = text.find(',');
    parts.push_back(text.substr(0, comma));
    if (comma == std::string_view::npos) return parts;
    text.remove_prefix(comma + 1);
  }
}

std::optional<std::uint64_t> parse_count(std::string_view text, std::uint64_t min, std::uint64_t max) {
  const std::optional<std::uint64_t> value = parse<std::uint64_t>(text);
  return value && *value >= min && *value <= max ? value : std::nullopt;
}

CLI::Option* add_value(CLI::App& app, const std::string& name, const std::string& type, const std::string& help,
                       Take take) {
  // The check does the taking: only there may a message of our own be given. CLI11 checks each value once.
  return app.add_option(
                name, [](const CLI::results_t&) { return true; }, help)
      ->type_name(type)
      ->expected(1)
      ->allow_extra_args(false)
      ->check([take = std::move(take)](const std::string& text) {
        const Status status = take(text);
        return status ? std::string() : status.error().message;
      });
}

CLI::Option* add_text(CLI::App& app, const std::string& name, const std::string& type, const std::string& help,
                      std::optional<std::string>& value) {
  return add_value(app, name, type, help, [&value](const std::string& text) -> Status {
    value = text;
    return {};
  });
}

CLI::Option* add_output_file_flag(CLI::App& app, const std::string& name, const std::string& help, std::string& file) {
  return add_value(app, name, "FILE", help, [&file](const std::string& text) -> Status {
    if (text.empty()) return refusal("empty, allowed is the name of a file");
    file = text;
    return {};
  });
}

CLI::Option* add_count(CLI::App& app, const std::string& name, const std::string& help,
                       std::function<void(std::uint64_t)> set, std::uint64_t min, std::uint64_t max) {
  return add_value(app, name, "N", help, [=, set = std::move(set)](const std::string& text) -> Status {
    if (!is_whole_number(text)) return refusal(fmt::format("\"{}\" is not a whole number", text));
    const std::optional<std::uint64_t> value = parse_count(text, min, max);
    if (!value) {
      return refusal(fmt::format("{}, allowed is at least {} and at most {}", text, min, max));
    }
    set(*value);
    return {};
  });
}

CLI::Option* add_size(CLI::App& app, const std::string& name, const std::string& help,
                      std::function<void(std::uint64_t)> set, std::uint64_t max) {
  return add_value(app, name, "SIZE", help, [max, set = std::move(set)](const std::string& text) -> Status {
    constexpr std::string_view kUnits = "KMGT";
    std::string_view number = text;
    unsigned shift = 0;
    if (const std::size_t unit = kUnits.find(number.empty() ? '\0' : number.back()); unit != std::string_view::npos) {
      number.remove_suffix(1);
      shift = static_cast<unsigned>(10 * (unit + 1));
    }
    const std::optional<std::uint64_t> value = parse_count(number, 1, max >> shift);
    if (!value) {
      return refusal(fmt::format("\"{}\", allowed is a number of bytes from 1 to {}, or of K, M, G or T", text, max));
    }
    set(*value << shift);
    return {};
  });
}

void hide_relations(CLI::Option& option) {
  const std::string value = option.get_default_str();
  const std::string text = option.get_type_name() + (value.empty() ? "" : fmt::format(" [{}]", value));
  option.option_text(text.empty() ? " " : text);  // an empty one would count as none
}

void exclude_each_other(const std::vector<CLI::Option*>& options) {
  for (CLI::Option* option : options) {
    hide_relations(*option);
    for (CLI::Option* other : options) {
      if (option != other) option->excludes(other);
    }
  }
}

void add_sampling_flags(CLI::App& app, SamplingOptions& options) {
  for (const sample::Filter& filter : sample::all_filters()) {
    add_value(app, std::string(filter.flag), filter.is_integer() ? "N" : "X", std::string(filter.help),
              take_option(filter, options))
        ->default_str(filter.show(options));
  }
  add_count(
      app, "--seed", "Where the random numbers begin; the same seed gives the same text",
      [&options](std::uint64_t seed) { options.seed = seed; }, 0, std::numeric_limits<std::uint64_t>::max())
      ->default_str(std::to_string(options.seed));
}

void add_chunk_flag(CLI::App& app, SessionOptions& options) {
  add_count(
      app, "--chunk", "Tokens of the prompt that go through the model at once",
      [&options](std::uint64_t chunk) { options.chunk = chunk; }, 1, kMaxChunk)
      ->default_str(std::to_string(options.chunk));
}

void add_kv_type_flag(CLI::App& app, SessionOptions& options) {
  add_value(app, "--kv-type", "f32|f16|bf16|q8_0", "The type in which keys and values are kept",
            [&options](const std::string& text) -> Status {
              const auto row = std::ranges::find(kKvTypes, text, &KvTypeName::name);
              if (row == kKvTypes.end()) return refusal(fmt::format("\"{}\", allowed is f32, f16, bf16 or q8_0", text));
              options.kv_type = row->type;
              return {};
            })
      ->default_str(std::string(name_of(options.kv_type)));
}

std::string_view name_of(KvType type) { return std::ranges::find(kKvTypes, type, &KvTypeName::type)->name; }

CLI::Option* add_tokens_flag(CLI::App& app, std::vector<TokenId>& tokens) {
  return add_value(app, "--tokens", "IDS", "Token ids, parted by commas; lists given one by one follow each other",
                   [&tokens](const std::string& text) -> Status {
                     for (const std::string_view id : split_list(text)) WOOLLY_CHECK(take_token(id, tokens));
                     return {};
                   })
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
}

}  // namespace woolly::cli
