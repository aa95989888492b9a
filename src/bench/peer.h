// Another engine's llama-bench or llama-batched-bench, run on the same file in turn with ours.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "bench/measure.h"
#include "woolly/error.h"

namespace woolly::bench {

struct Peer {
  enum class Program : std::uint8_t {
    kBench,         ///< llama-bench: tests of one sequence. Not all know of a past (-d).
    kBatchedBench,  ///< llama-batched-bench: single tokens of several sequences or after a past.
  };
  std::string name;
  std::vector<std::string> command;  ///< The program and its own arguments.
  Program program = Program::kBench;

  [[nodiscard]] bool measures(const Test& test) const;
};

/// Splits a command as a shell does: at spaces, with quotes and backslashes, but without expanding anything.
/// kInvalidArgument for a quote without an end or a backslash at the end.
Result<std::vector<std::string>> split_words(std::string_view text);

/// "NAME=PROGRAM ARGS"; neither NAME nor PROGRAM may be empty.
Result<Peer> parse_peer(std::string_view text, Peer::Program program);

/// The rate that llama-bench's `-o json` gives for `test`. Lines around the array are passed over.
Result<double> parse_rate(std::string_view output, const Test& test);

/// The rate of all sequences together in the table (Markdown) that llama-batched-bench writes. Other lines are passed over.
Result<double> parse_batched_rate(std::string_view output, const Test& test);

/// Runs the peer once (its own warm-up aside) and gives tokens per second; an error's message begins with the name.
Result<double> run_peer(const Peer& peer, const std::filesystem::path& model, const Test& test, std::size_t n_threads);

}  // namespace woolly::bench
