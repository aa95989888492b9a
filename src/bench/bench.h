// A whole benchmark: roofs before and after, and for each test our runs and those of the peers in turn.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bench/measure.h"
#include "bench/peer.h"
#include "bench/profile.h"
#include "bench/roof.h"
#include "exec/recorder.h"
#include "woolly/error.h"
#include "woolly/model.h"

namespace woolly::bench {

struct BenchOptions {
  std::vector<Test> tests;
  std::size_t n_repetitions = 5;
  std::vector<Peer> peers;  ///< A name may stand for several commands: the best of them counts.
  SessionOptions session;
  bool with_roof = true;
  exec::Recorder* recorder = nullptr;  ///< Of runs of their own after the repetitions, which it would slow.
  bool with_profile = false;           ///< Needs a recorder.
};

struct PeerResult {
  std::string name;
  double tokens_per_second = 0;  ///< The median of its best command.
  double ratio = 0;              ///< Ours to the peer's.
};

struct Row {
  Test test;
  Summary ours;
  std::optional<double> roof_share;
  std::vector<PeerResult> peers;
  std::optional<Profile> profile{};  ///< Of as many runs as there are repetitions.
};

struct Report {
  std::string machine;  ///< Processor and threads.
  std::string model;    ///< File name.
  std::string kernels;
  std::size_t n_threads = 0;
  ModelWork work;
  std::optional<Roof> roof_before, roof_after;
  std::vector<Row> rows;
  std::vector<std::string> errors;  ///< One line each: peers that failed, roofs that a row is above.

  /// The better of both measurements.
  [[nodiscard]] std::optional<Roof> roof() const;
};

/// Runs ours, then each peer, and all that again for every repetition, so that what disturbs the machine disturbs all.
/// A peer that fails is left out from there on. `path` is the file that `model` was loaded from.
Result<Report> run_bench(const Engine& engine, const std::shared_ptr<const Model>& model,
                         const std::filesystem::path& path, const BenchOptions& options);

}  // namespace woolly::bench
