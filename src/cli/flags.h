// Flags that several commands share, and how a value after a flag is taken: checked against its range at once, with a
// message that names the flag, the value and what is allowed. Wrong values are wrong usage (status 2).
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "woolly/error.h"
#include "woolly/options.h"

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace woolly::cli {

/// Takes the text after a flag, once for every time that it is given; an error's message is shown after the flag's
/// name.
using Take = std::function<Status(const std::string& text)>;

/// Declares a flag with a value. `type` stands for the value in the help.
CLI::Option* add_value(CLI::App& app, const std::string& name, const std::string& type, const std::string& help,
                       Take take);

/// The parts of `text` between commas; one at least.
std::vector<std::string_view> split_list(std::string_view text);

/// `text` as a whole number in [min, max]; nothing where it is none.
std::optional<std::uint64_t> parse_count(std::string_view text, std::uint64_t min, std::uint64_t max);

/// A flag whose value is any text.
CLI::Option* add_text(CLI::App& app, const std::string& name, const std::string& type, const std::string& help,
                      std::optional<std::string>& value);

/// A flag whose value is the name of a file to write.
CLI::Option* add_output_file_flag(CLI::App& app, const std::string& name, const std::string& help, std::string& file);

/// Where nothing sets a lower limit: more tokens than any context holds.
inline constexpr std::uint64_t kMaxCount = 0x7FFFFFFF;

/// A flag whose value is a whole number in [min, max].
CLI::Option* add_count(CLI::App& app, const std::string& name, const std::string& help,
                       std::function<void(std::uint64_t)> set, std::uint64_t min,
                       std::uint64_t max = kMaxCount);

/// A flag whose value is a number of bytes: "8G", "512M" (powers of 1024) or "1000000"; at least 1.
CLI::Option* add_size(CLI::App& app, const std::string& name, const std::string& help,
                      std::function<void(std::uint64_t)> set, std::uint64_t max);

/// Keeps the flags that `option` needs or excludes out of its line in the help.
void hide_relations(CLI::Option& option);

/// At most one of `options` may be given.
void exclude_each_other(const std::vector<CLI::Option*>& options);

/// A flag for each row of sample::all_filters(), and --seed.
void add_sampling_flags(CLI::App& app, SamplingOptions& options);

/// --chunk
void add_chunk_flag(CLI::App& app, SessionOptions& options);

/// --kv-type; the default is what `options` says.
void add_kv_type_flag(CLI::App& app, SessionOptions& options);
/// As --kv-type has it.
std::string_view name_of(KvType type);

/// --tokens: ids parted by commas; given more than once, the lists follow each other.
CLI::Option* add_tokens_flag(CLI::App& app, std::vector<TokenId>& tokens);

}  // namespace woolly::cli
