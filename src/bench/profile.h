// Where the time of a model's runs went: by kind of step and phase, held against what the machine can do.
#pragma once

#include <array>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bench/roof.h"
#include "exec/kv_cache.h"
#include "exec/recorder.h"
#include "plan/compile.h"

namespace woolly::bench {

/// All steps of one name whatever their layer ("qkv" for "blk.0.qkv", "blk.1.qkv", ...), in one stage.
struct StepProfile {
  std::string name;
  std::array<double, exec::kPhases> seconds_in{};  ///< By phase, the mean of the threads.
  std::uint64_t bytes = 0;  ///< Of matrices, the embedding table and the cache: each read once a run.
  /// By arithmetic: int8, float32, bfloat16. A product and its sum are two.
  std::uint64_t integer_operations = 0, float_operations = 0, bf16_operations = 0;

  [[nodiscard]] double seconds() const noexcept;
  [[nodiscard]] std::uint64_t operations() const noexcept { return integer_operations + float_operations + bf16_operations; }
};

struct StageProfile {
  exec::Stage stage;
  exec::Work work;
  std::vector<StepProfile> steps;  ///< In the order of the plan, after "start": the waking of the threads for each run.

  [[nodiscard]] double seconds() const noexcept;
};

/// Of the stages that had runs.
using Profile = std::vector<StageProfile>;

/// What `recorder` saw of runs of `plan` on a cache of `layout`.
Profile profile_of(const exec::Recorder& recorder, const plan::Plan& plan, const exec::KvLayout& layout);

/// The share of a step's time that it needs at least: for its bytes at the read bandwidth or for its operations at the
/// rates of their arithmetic, whichever is longer. 0 for a step that reads or computes nothing worth counting.
double roof_share(const StepProfile& step, const Roof& roof);

/// A table for each stage. Without a roof its column stays empty.
std::string to_text(const Profile& profile, const std::optional<Roof>& roof);
/// What the columns are; some lines.
extern const std::string_view kProfileLegend;

/// [{"stage", "tokens", "runs", "seconds", "steps": [{"step", "seconds", "share", "phases": {NAME: seconds}, "bytes",
/// "operations", "roof_share"}]}]; `roof_share` is null without a roof.
nlohmann::ordered_json to_json(const Profile& profile, const std::optional<Roof>& roof);

}  // namespace woolly::bench
