#include "bench/peer.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

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

Result<Peer> parse_peer(std::string_view text) {
  const std::size_t equals = text.find('=');
  if (equals == 0 || equals == std::string_view::npos) {
    return invalid(fmt::format("\"{}\", allowed is NAME='PROGRAM ARGS'", text));
  }
  WOOLLY_TRY(std::vector<std::string> command, split_words(text.substr(equals + 1)));
  if (command.empty() || command[0].empty()) return invalid(fmt::format("\"{}\" names no program", text));
  return Peer{std::string(text.substr(0, equals)), std::move(command)};
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
    if (number("n_prompt") != (is_prompt ? n : 0) || number("n_gen") != (is_prompt ? 0 : n)) continue;
    const double rate = number("avg_ts");
    if (rate > 0) return rate;
    return Error{ErrorCode::kInvalidFile, fmt::format("gives no avg_ts above 0 for {}", test.name())};
  }
  return Error{ErrorCode::kInvalidFile, fmt::format("gives no row for {}", test.name())};
}

Result<double> run_peer(const Peer& peer, const std::filesystem::path& model, const Test& test, std::size_t n_threads) {
  const std::size_t n_prompt = test.kind == Test::Kind::kPrompt ? test.n : 0;
  std::vector<std::string> command = peer.command;
  command.insert(command.end(),
                 {"-m", model.string(), "-p", std::to_string(n_prompt), "-n", std::to_string(test.n - n_prompt), "-t",
                  std::to_string(n_threads), "-r", "1", "-o", "json"});
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
  const auto rate = parse_rate(end->output, test);
  if (!rate) return named({rate.error().code, fmt::format("{} {}", peer.command[0], rate.error().message)});
  return rate.value();
}

}  // namespace woolly::bench
