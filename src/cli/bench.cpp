// woolly bench: how fast a model runs, or the kernels alone, held against what the machine can do and against others.
#include "bench/bench.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "bench/report.h"
#include "cli/bench_kernels.h"
#include "cli/bench_speculate.h"
#include "cli/command.h"
#include "cli/flags.h"
#include "cli/interrupt.h"
#include "cli/model_argument.h"
#include "cli/output.h"
#include "cli/profiling.h"
#include "cli/version.h"

namespace woolly::cli {
namespace {

using bench::Test;

struct BenchArguments {
  KernelArguments kernels;
  SpeculationArguments speculation;
  ModelArgument model;
  std::vector<std::size_t> prompts = {512, 2048};
  std::vector<std::size_t> generations = {64};
  std::vector<std::size_t> depths = {0};
  std::vector<std::size_t> batches = {1};
  bench::BenchOptions options;
  bool as_json = false;
  bool as_csv = false;
  Profiling profiling;
};

constexpr std::size_t kMaxLength = std::size_t{1} << 20U;

/// Whole numbers from `min` to `max`, parted by commas.
Result<std::vector<std::size_t>> parse_numbers(std::string_view text, std::size_t min, std::size_t max) {
  std::vector<std::size_t> numbers;
  for (const std::string_view part : split_list(text)) {
    const auto number = parse_count(part, min, max);
    if (!number) {
      return Error{ErrorCode::kInvalidArgument,
                   fmt::format("\"{}\", allowed are whole numbers from {} to {}, parted by commas", text, min, max)};
    }
    numbers.push_back(*number);
  }
  return numbers;
}

void add_numbers_flag(CLI::App& app, const std::string& name, const std::string& help, std::size_t min, std::size_t max,
                      std::vector<std::size_t>& numbers) {
  add_value(app, name, "N,...", help, [&numbers, min, max](const std::string& text) -> Status {
    WOOLLY_TRY(numbers, parse_numbers(text, min, max));
    return {};
  })->default_str(fmt::format("{}", fmt::join(numbers, ",")));
}

/// Lengths of which 0 stands for none.
void add_lengths_flag(CLI::App& app, const std::string& name, const std::string& help,
                      std::vector<std::size_t>& lengths) {
  add_value(app, name, "N,...", help, [&lengths](const std::string& text) -> Status {
    WOOLLY_TRY(lengths, parse_numbers(text, 0, kMaxLength));
    std::erase(lengths, 0U);
    return {};
  })->default_str(fmt::format("{}", fmt::join(lengths, ",")));
}

void add_peer_flag(CLI::App& app, const char* name, bench::Peer::Program program, const std::string& help,
                   std::vector<bench::Peer>& peers) {
  add_value(app, name, "NAME='PROGRAM ARGS'", help, [&peers, program](const std::string& text) -> Status {
    WOOLLY_TRY(bench::Peer peer, bench::parse_peer(text, program));
    peers.push_back(std::move(peer));
    return {};
  })->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
}

/// The command again, from what was asked for: it gives the same measurement.
std::string command_line(const BenchArguments& arguments, const std::string& model, std::size_t n_threads) {
  const auto list = [](const std::vector<std::size_t>& lengths) {
    return lengths.empty() ? std::string("0") : fmt::format("{}", fmt::join(lengths, ","));
  };
  const bench::BenchOptions& options = arguments.options;
  std::string command =
      fmt::format("woolly bench {} -p {} -n {} -t {} -r {}", bench::quoted_for_shell(model), list(arguments.prompts),
                  list(arguments.generations), n_threads, options.n_repetitions);
  const BenchArguments defaults;
  if (arguments.depths != defaults.depths) command += " -d " + list(arguments.depths);
  if (arguments.batches != defaults.batches) command += " -b " + list(arguments.batches);
  if (arguments.model.is_mapped()) command += " --mmap";
  if (options.session.chunk != SessionOptions{}.chunk) command += fmt::format(" --chunk {}", options.session.chunk);
  if (options.session.kv_type != SessionOptions{}.kv_type) {
    command += fmt::format(" --kv-type {}", name_of(options.session.kv_type));
  }
  if (arguments.profiling.wants_profile()) command += " --profile";
  if (const std::string& file = arguments.profiling.trace_file(); !file.empty()) {
    command += " --trace " + bench::quoted_for_shell(file);
  }
  for (const bench::Peer& peer : options.peers) {
    std::string words;
    for (const std::string& word : peer.command) words += (words.empty() ? "" : " ") + bench::quoted_for_shell(word);
    command += peer.program == bench::Peer::Program::kBench ? " --peer " : " --batched-peer ";
    command += bench::quoted_for_shell(peer.name + "=" + words);
  }
  return command;
}

Status run_command(const BenchArguments& arguments) {
  if (arguments.kernels.are_given()) {
    return arguments.kernels.run({arguments.model.n_threads(), arguments.options.n_repetitions,
                                  arguments.options.with_roof, arguments.as_json, arguments.as_csv});
  }
  if (arguments.speculation.are_given()) {
    return arguments.speculation.run(
        arguments.model, {arguments.generations, arguments.options.n_repetitions, arguments.options.session,
                          arguments.as_json, arguments.as_csv});
  }
  bench::BenchOptions options = arguments.options;
  for (const std::size_t depth : arguments.depths) {
    for (const std::size_t n : arguments.prompts) options.tests.push_back({Test::Kind::kPrompt, n, depth});
    for (const std::size_t n : arguments.generations) {
      for (const std::size_t n_sequences : arguments.batches) {
        options.tests.push_back({Test::Kind::kGenerate, n, depth, n_sequences});
      }
    }
  }
  if (options.tests.empty()) return Error{ErrorCode::kInvalidArgument, "nothing to measure: both -p and -n are 0"};
  WOOLLY_TRY(const auto path, arguments.model.find());
  WOOLLY_CHECK(arguments.profiling.check());
  WOOLLY_TRY(const LoadedModel loaded, arguments.model.load(path));
  const auto recorder = arguments.profiling.recorder_for(loaded);
  options.recorder = recorder.get();
  options.with_profile = arguments.profiling.wants_profile();
  WOOLLY_TRY(const bench::Report report, bench::run_bench(*loaded.engine, loaded.model, path, options));
  for (const std::string& error : report.errors) print_error(error);
  if (recorder != nullptr) {
    const Interrupt interrupt;
    WOOLLY_CHECK(arguments.profiling.write_trace(*recorder, *loaded.model));
  }
  const bench::Provenance provenance{version_number(), command_line(arguments, path.string(), report.n_threads),
                                     {loaded.load_time.count(), loaded.model->weight_bytes(),
                                      loaded.model->mapped_bytes()}};
  if (arguments.as_json) return write_output(to_json(report, provenance));
  return write_output(arguments.as_csv ? to_csv(report, provenance) : to_text(report, provenance));
}

/// What is for models cannot be given with --kernels.
void keep_apart(CLI::App& app, CLI::Option& kernels) {
  constexpr std::array<std::string_view, 6> kForBoth = {"--help", "-t", "-r", "--no-roof", "--json", "--csv"};
  for (CLI::Option* option : app.get_options()) {
    const bool needs_kernels = option == &kernels || option->get_needs().contains(&kernels);
    if (needs_kernels || std::ranges::find(kForBoth, option->get_name()) != kForBoth.end()) continue;
    option->excludes(&kernels);
    hide_relations(*option);
  }
  hide_relations(kernels);
}

}  // namespace

Action declare_bench(CLI::App& app) {
  const auto arguments = std::make_shared<BenchArguments>();
  arguments->model.declare_with_engine(app);
  add_lengths_flag(app, "-p", "Prompts to measure, in tokens; 0 for none", arguments->prompts);
  add_lengths_flag(app, "-n", "Continuations to measure, in tokens; 0 for none", arguments->generations);
  add_numbers_flag(app, "-d", "Tokens in the cache before, for each of them", 0, kMaxLength, arguments->depths);
  add_numbers_flag(app, "-b", "Sequences that go on together, for each continuation", 1, kMaxChunk,
                   arguments->batches);
  add_count(
      app, "-r", "Repetitions of each, after one to warm up; the median counts",
      [arguments = arguments.get()](std::uint64_t n) { arguments->options.n_repetitions = n; }, 1, 1000)
      ->default_str(std::to_string(arguments->options.n_repetitions));
  add_peer_flag(app, "--peer", bench::Peer::Program::kBench,
                "Another engine's llama-bench, run in turn with ours; given twice under one name, its best counts",
                arguments->options.peers);
  add_peer_flag(app, "--batched-peer", bench::Peer::Program::kBatchedBench,
                "The same engine's llama-batched-bench, for several sequences and for continuations of a past",
                arguments->options.peers);
  app.add_flag_callback(
      "--no-roof", [arguments = arguments.get()] { arguments->options.with_roof = false; },
      "Do not measure what the machine can do");
  add_chunk_flag(app, arguments->options.session);
  add_kv_type_flag(app, arguments->options.session);
  arguments->profiling.declare(app);
  CLI::Option* json = app.add_flag("--json", arguments->as_json, "The same for programs");
  CLI::Option* csv = app.add_flag("--csv", arguments->as_csv, "The same as a table for programs");
  exclude_each_other({json, csv});
  arguments->speculation.declare(app);
  keep_apart(app, *arguments->kernels.declare(app));
  app.footer(
      "ppN: tokens/s of a prompt of N tokens; tgN: of N single tokens; tgNxB: of B sequences together, each with N\n"
      "tokens; @D: after D tokens that each sequence has in a cache of its own, else from an empty cache.\n"
      "Spread: interquartile range / median. Roof: the share of what the machine was seen to do in the same run, for "
      "tg\n"
      "of the read bandwidth (bytes of all matrices and of the cache), for pp of the int8 multiplications and "
      "additions\n"
      "(two for each parameter and token). A share above 105 % is told as an error of the roof.\n"
      "--profile and --trace time runs of their own, as many as there are repetitions.\n"
      "A peer gets -m FILE -p N -n N -t N -r 1 -o json after its own arguments, and -d D where there is a past; one that\n"
      "fails is left out from there on. A batched peer gets -m FILE -c N -npp D -ntg N -npl B -t N, with a past of one\n"
      "token where D is 0.\n"
      "--speculate: -n is 256 without it; ratio and its spread are of runs with and without drafts in turn, drafts their\n"
      "mean number where there were any.\n"
      "Kernels: a product and its sum are two operations, bytes are those of the weights. Of ops: the share of what\n"
      "the table does at most, in int8 products, for F32, F16 and BF16 in float32 multiply-adds, or for BF16 in products\n"
      "of bfloat16 where it has them.\n"
      "Attention: four operations for each dimension, query and key; the softmax is not counted. Bytes are those of\n"
      "keys and values, which the queries of a call read once.\n"
      "\n"
      "Examples:\n"
      "  woolly bench smollm2:135m -p 16 -n 8 -r 1 --no-roof\n"
      "  woolly bench smollm2:135m -p 16,32 -n 0 -r 1 --no-roof --csv\n"
      "  woolly bench smollm2:135m -p 16 -n 8 -d 0,64 -b 1,4 -r 1 --no-roof\n"
      "  woolly bench smollm2:135m -p 16 -n 8 -r 1 --no-roof --profile\n"
      "  woolly bench smollm2:135m --speculate --accept 0,0.9 -n 32 -r 1\n"
      "  woolly bench --kernels --types Q4_K,Q8_0 --shapes 64x256 --columns 1,8 -r 1 --no-roof\n"
      "  woolly bench --kernels --attention --types F16 --heads 64 --keys 512 -r 1 --no-roof");
  return [arguments] { return run_command(*arguments); };
}

}  // namespace woolly::cli
