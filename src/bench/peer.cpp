#include "bench/peer.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "base/checked.h"
#include "os/process.h"

namespace woolly::bench {
namespace {

Error invalid(std::string message) { return {ErrorCode::kInvalidArgument, std::move(message)}; }

constexpr bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n'; }

/// Reads one word of a command, as POSIX describes it (Shell Command Language, 2.2 Quoting).
class WordReader {
 public:
  explicit WordReader(std::string_view text) : text_(text) {}

  /// Whether another word follows.
  bool skip_space() {
    while (at_ < text_.size() && is_space(text_[at_])) ++at_;
    return at_ < text_.size();
  }

  Result<std::string> next() {
    std::string word;
    while (at_ < text_.size() && !is_space(text_[at_])) {
      const char c = text_[at_++];
      if (c == '\'') {
        WOOLLY_CHECK(single_quoted(word));
      } else if (c == '"') {
        WOOLLY_CHECK(double_quoted(word));
      } else if (c != '\\') {
        word += c;
      } else if (at_ == text_.size()) {
        return invalid("a backslash at the end stands for nothing");
      } else {
        word += text_[at_++];
      }
    }
    return word;
  }

 private:
  Status single_quoted(std::string& word) {
    const std::size_t end = text_.find('\'', at_);
    if (end == std::string_view::npos) return invalid("a ' has no end");
    word += text_.substr(at_, end - at_);
    at_ = end + 1;
    return {};
  }

  Status double_quoted(std::string& word) {
    constexpr std::string_view kEscapable = "\"\\$`";
    for (; at_ < text_.size() && text_[at_] != '"'; ++at_) {
      const bool is_escape =
          text_[at_] == '\\' && at_ + 1 < text_.size() && kEscapable.find(text_[at_ + 1]) != std::string_view::npos;
      if (is_escape) ++at_;
      word += text_[at_];
    }
    if (at_ == text_.size()) return invalid("a \" has no end");
    ++at_;
    return {};
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

/// The array of llama-bench: from the first line that begins with [ to the last ].
std::string_view array_in(std::string_view output) {
  std::size_t begin = output.starts_with('[') ? 0 : output.find("\n[");
  if (begin == std::string_view::npos) return {};
  if (output[begin] == '\n') ++begin;
  const std::size_t end = output.rfind(']');
  return end == std::string_view::npos || end < begin ? std::string_view() : output.substr(begin, end + 1 - begin);
}

/// The part of `text` up to `end`, which is taken off together with it.
std::string_view take_until(std::string_view& text, char end) {
  const std::size_t at = std::min(text.find(end), text.size());
  const std::string_view part = text.substr(0, at);
  text.remove_prefix(std::min(at + 1, text.size()));
  return part;
}

/// The cells of a line of a Markdown table, without the space around them; none of another line.
std::vector<std::string_view> cells_in(std::string_view line) {
  std::vector<std::string_view> cells;
  if (!line.starts_with('|')) return cells;
  line.remove_prefix(1);
  while (line.find('|') != std::string_view::npos) {
    std::string_view cell = take_until(line, '|');
    while (!cell.empty() && is_space(cell.front())) cell.remove_prefix(1);
    while (!cell.empty() && is_space(cell.back())) cell.remove_suffix(1);
    cells.push_back(cell);
  }
  return cells;
}

/// A number that is all of `text`; -1 where it is none.
double number_in(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() ? value : -1;
}

/// What llama-batched-bench gets as a past: not all take none.
std::size_t batched_past(const Test& test) { return std::max<std::size_t>(test.depth, 1); }

/// What follows a peer's own arguments.
std::vector<std::string> arguments_for(const Peer& peer, const std::string& model, const Test& test,
                                       std::size_t n_threads) {
  const std::string threads = std::to_string(n_threads);
  if (peer.program == Peer::Program::kBatchedBench) {
    constexpr std::size_t kContextUnit = 256;  // they cut the context of a sequence to a multiple of it
    const std::size_t n_ctx = base::round_up(batched_past(test) + test.n, kContextUnit) * test.n_sequences;
    return {"-m", model, "-c", std::to_string(n_ctx), "-npp", std::to_string(batched_past(test)),
            "-ntg", std::to_string(test.n), "-npl", std::to_string(test.n_sequences), "-t", threads};
  }
  const std::size_t n_prompt = test.kind == Test::Kind::kPrompt ? test.n : 0;
  std::vector<std::string> arguments = {"-m", model, "-p", std::to_string(n_prompt),
                                        "-n", std::to_string(test.n - n_prompt)};
  if (test.depth > 0) arguments.insert(arguments.end(), {"-d", std::to_string(test.depth)});
  arguments.insert(arguments.end(), {"-t", threads, "-r", "1", "-o", "json"});
  return arguments;
}

/// The last line that says something.
std::string_view last_line(std::string_view text) {
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  const std::size_t newline = text.rfind('\n');
  return newline == std::string_view::npos ? text : text.substr(newline + 1);
}

}  // namespace

Result<std::vector<std::string>> split_words(std::string_view text) {
  WordReader reader(text);
  std::vector<std::string> words;
  while (reader.skip_space()) {
    WOOLLY_TRY(std::string word, reader.next());
    words.push_back(std::move(word));
  }
  return words;
}

bool Peer::measures(const Test& test) const {
  const bool is_one_sequence = test.n_sequences == 1;
  if (program == Program::kBench) return is_one_sequence;
  return test.kind == Test::Kind::kGenerate && (!is_one_sequence || test.depth > 0);
}

Result<Peer> parse_peer(std::string_view text, Peer::Program program) {
  const std::size_t equals = text.find('=');
  if (equals == 0 || equals == std::string_view::npos) {
    return invalid(fmt::format("\"{}\", allowed is NAME='PROGRAM ARGS'", text));
  }
  WOOLLY_TRY(std::vector<std::string> command, split_words(text.substr(equals + 1)));
  if (command.empty() || command[0].empty()) return invalid(fmt::format("\"{}\" names no program", text));
  return Peer{std::string(text.substr(0, equals)), std::move(command), program};
}

Result<double> parse_rate(std::string_view output, const Test& test) {
  const auto array = nlohmann::json::parse(array_in(output), nullptr, /*allow_exceptions=*/false);
  if (!array.is_array()) return Error{ErrorCode::kInvalidFile, "wrote no JSON array"};
  const bool is_prompt = test.kind == Test::Kind::kPrompt;
  for (const auto& row : array) {
    const auto number = [&](const char* key) {
      const auto value = row.is_object() ? row.find(key) : row.end();
      return row.is_object() && value != row.end() && value->is_number() ? value->get<double>() : -1.0;
    };
    const auto n = static_cast<double>(test.n);
    const auto depth = static_cast<double>(test.depth);
    const bool has_depth = test.depth == 0 ? number("n_depth") <= 0 : number("n_depth") == depth;
    if (!has_depth || number("n_prompt") != (is_prompt ? n : 0) || number("n_gen") != (is_prompt ? 0 : n)) continue;
    const double rate = number("avg_ts");
    if (rate > 0) return rate;
    return Error{ErrorCode::kInvalidFile, fmt::format("gives no avg_ts above 0 for {}", test.name())};
  }
  return Error{ErrorCode::kInvalidFile, fmt::format("gives no row for {}", test.name())};
}

Result<double> parse_batched_rate(std::string_view output, const Test& test) {
  constexpr std::string_view kColumns[] = {"PP", "TG", "B", "S_TG t/s"};
  const std::size_t wanted[] = {batched_past(test), test.n, test.n_sequences};
  std::vector<std::string_view> header;
  while (!output.empty()) {
    const std::vector<std::string_view> cells = cells_in(take_until(output, '\n'));
    if (std::ranges::find(cells, kColumns[3]) != cells.end()) header = cells;
    if (header.empty() || cells.size() != header.size()) continue;
    const auto number = [&](std::string_view column) {
      const auto at = std::ranges::find(header, column);
      return at == header.end() ? -1 : number_in(cells[static_cast<std::size_t>(at - header.begin())]);
    };
    bool is_row = true;
    for (std::size_t i = 0; i < std::size(wanted); ++i) is_row &= number(kColumns[i]) == static_cast<double>(wanted[i]);
    if (!is_row) continue;
    if (const double rate = number(kColumns[3]); rate > 0) return rate;
    return Error{ErrorCode::kInvalidFile, fmt::format("gives no {} above 0 for {}", kColumns[3], test.name())};
  }
  return Error{ErrorCode::kInvalidFile,
               header.empty() ? "wrote no table" : fmt::format("gives no row for {}", test.name())};
}

Result<double> run_peer(const Peer& peer, const std::filesystem::path& model, const Test& test, std::size_t n_threads) {
  std::vector<std::string> command = peer.command;
  const std::vector<std::string> arguments = arguments_for(peer, model.string(), test, n_threads);
  command.insert(command.end(), arguments.begin(), arguments.end());
  const auto named = [&](const Error& error) {
    return Error{error.code, fmt::format("{}: {}", peer.name, error.message)};
  };
  const auto end = os::run_process(command);
  if (!end) return named(end.error());
  if (end->status != 0) {
    const std::string how = end->status > 0 ? fmt::format("ended with status {}", end->status)
                                            : fmt::format("was ended by signal {}", -end->status);
    const std::string_view said = last_line(end->errors);
    return named({ErrorCode::kIo, fmt::format("{} {}{}{}", peer.command[0], how, said.empty() ? "" : ": ", said)});
  }
  // Some write the table to standard error.
  const auto rate = peer.program == Peer::Program::kBench ? parse_rate(end->output, test)
                                                          : parse_batched_rate(end->output + "\n" + end->errors, test);
  if (!rate) return named({rate.error().code, fmt::format("{} {}", peer.command[0], rate.error().message)});
  return rate.value();
}

}  // namespace woolly::bench
