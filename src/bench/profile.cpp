#include "bench/profile.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>
#include <numeric>
#include <string_view>
#include <utility>
#include <variant>

#include "kernels/kernel_table.h"

namespace woolly::bench {
namespace {

using exec::Phase;
using exec::Stage;
using Json = nlohmann::ordered_json;

constexpr std::string_view kStart = "start";

std::string_view name_of(Stage stage) { return stage == Stage::kPrompt ? "prompt" : "generation"; }

/// "blk.12.qkv" is a step of kind "qkv".
std::string_view kind_of(std::string_view step) {
  constexpr std::string_view kLayer = "blk.";
  const std::size_t dot = step.starts_with(kLayer) ? step.find('.', kLayer.size()) : std::string_view::npos;
  return dot == std::string_view::npos ? step : step.substr(dot + 1);
}

/// Those of kernels that read activations in this format.
std::uint64_t& operations_of(kernels::ActFormat format, StepProfile& step) {
  switch (format) {
    case kernels::ActFormat::kF32: return step.float_operations;
    case kernels::ActFormat::kBF16: return step.bf16_operations;
    case kernels::ActFormat::kA32:
    case kernels::ActFormat::kA256: break;
  }
  return step.integer_operations;
}

/// What runs of one stage read and compute in a step.
class StepWork {
 public:
  StepWork(const plan::Plan& plan, const exec::KvLayout& layout, const exec::Work& work)
      : plan_(plan), layout_(layout), n_runs_(work.n_runs), n_rows_(work.n_rows), work_(work) {}

  void add_step(const plan::Op& op, StepProfile& to) {
    std::visit([&](const auto& step) { add(step, to); }, op);
  }

 private:
  void add(const plan::Embed& op, StepProfile& to) const {
    const plan::PackedMatrix& table = plan_.matrices[op.table.index];
    to.bytes += n_rows_ * (table.bytes() / table.n_rows);
  }
  void add(const plan::Linear& op, StepProfile& to) const {
    for (const plan::Projection& projection : op.projections) {
      const plan::PackedMatrix& matrix = plan_.matrices[projection.matrix.index];
      operations_of(matrix.kernel->act, to) += n_rows_ * 2 * matrix.n_rows * matrix.n_cols;
      to.bytes += n_runs_ * matrix.bytes();
    }
  }
  void add(const plan::LinearHeads& op, StepProfile& to) const {
    const plan::PackedMatrix& matrices = plan_.matrices[op.matrices.index];
    operations_of(matrices.kernel->act, to) += n_rows_ * 2 * matrices.n * matrices.n_rows * matrices.n_cols;
    to.bytes += n_runs_ * matrices.bytes();
  }
  void add(const plan::Route& op, StepProfile& to) const {
    const plan::PackedMatrix& router = plan_.matrices[op.router.index];
    operations_of(router.kernel->act, to) += n_rows_ * 2 * router.n_rows * router.n_cols;
    to.bytes += n_runs_ * router.bytes();
    if (op.shared_gate) to.bytes += n_runs_ * plan_.matrices[op.shared_gate->index].bytes();
  }
  void add(const plan::ExpertsUp& op, StepProfile& to) const {
    add(op.gate, to);
    add(op.up, to);
  }
  void add(const plan::ExpertsDown& op, StepProfile& to) const { add(op.down, to); }
  void add(const plan::ExpertMatrix& op, StepProfile& to) const {
    const plan::PackedMatrix& matrix = plan_.matrices[op.matrix.index];
    const std::uint64_t n_used = n_rows_ * plan_.spec.experts.n_used;
    operations_of(matrix.kernel->act, to) += n_used * 2 * matrix.n_rows * matrix.n_cols;
    // At most: rows of a run may share experts.
    to.bytes += std::min(n_used, n_runs_ * matrix.n) * (matrix.bytes() / matrix.n);
  }
  void add(const plan::Attend&, StepProfile& to) const {
    to.bytes += work_.n_positions * (layout_.n_kv_heads * (layout_.key_bytes() + layout_.value_bytes()) / kernels::kKvBlock);
    // A product with a key and one with a value for each head and dimension.
    to.float_operations += work_.n_pairs * 2 * plan_.spec.n_heads * (plan_.spec.head_dim + plan_.spec.value_dim);
  }
  void add(const plan::Convolve&, StepProfile&) const {}
  void add(const plan::Recur& op, StepProfile& to) const {
    // Each run reads and writes the state once; a product with a key and one with a query, decay and what is added.
    const std::uint64_t n = op.key_dim * plan_.buffers[op.out.index].width;
    to.bytes += n_runs_ * 2 * n * sizeof(float);
    to.float_operations += n_rows_ * 7 * n;
  }
  void add(const plan::Normalize&, StepProfile&) const {}
  void add(const plan::SelectRows&, StepProfile&) {
    n_runs_ = work_.n_logit_runs;
    n_rows_ = work_.n_logit_rows;
  }

  const plan::Plan& plan_;
  const exec::KvLayout& layout_;
  std::uint64_t n_runs_, n_rows_;  // of the steps to come
  const exec::Work& work_;
};

StageProfile stage_of(const exec::Recorder& recorder, const plan::Plan& plan, const exec::KvLayout& layout,
                      Stage stage) {
  StageProfile profile{stage, recorder.work(stage), {}};
  StepWork work(plan, layout, profile.work);
  const auto n_threads = static_cast<double>(recorder.n_threads());
  const auto entry = [&](std::string_view name) -> StepProfile& {
    const auto found = std::ranges::find(profile.steps, name, &StepProfile::name);
    if (found != profile.steps.end()) return *found;
    profile.steps.push_back({std::string(name)});
    return profile.steps.back();
  };
  for (std::size_t step = 0; step < plan.steps.size(); ++step) {
    for (std::size_t i = 0; i < exec::kPhases; ++i) {
      const auto phase = static_cast<Phase>(i);
      const std::string_view kind = phase == Phase::kStart ? kStart : kind_of(plan.steps[step].name);
      const std::int64_t nanoseconds = recorder.nanoseconds(stage, step, phase);
      entry(kind).seconds_in[i] += static_cast<double>(nanoseconds) * 1e-9 / n_threads;
    }
    work.add_step(plan.steps[step].op, entry(kind_of(plan.steps[step].name)));
  }
  return profile;
}

double seconds_in(const StepProfile& step, std::initializer_list<Phase> phases) {
  double sum = 0;
  for (const Phase phase : phases) sum += step.seconds_in[static_cast<std::size_t>(phase)];
  return sum;
}

StepProfile sum_of(const StageProfile& stage) {
  StepProfile sum{"all"};
  for (const StepProfile& step : stage.steps) {
    std::ranges::transform(sum.seconds_in, step.seconds_in, sum.seconds_in.begin(), std::plus());
    sum.bytes += step.bytes;
    sum.integer_operations += step.integer_operations;
    sum.float_operations += step.float_operations;
  }
  return sum;
}

std::string table_of(const StageProfile& stage, const std::optional<Roof>& roof) {
  const double whole = stage.seconds();
  const auto n_tokens = static_cast<double>(std::max<std::uint64_t>(1, stage.work.n_rows));
  const auto percent = [&](double seconds) {
    return seconds > 0 ? fmt::format("{:.1f} %", seconds / whole * 100) : std::string();
  };
  const auto rate = [](double amount) { return amount > 0 ? fmt::format("{:.2f}", amount) : std::string(); };
  std::string out = fmt::format("{}: {} tokens in {} runs, {:.2f} tokens/s\n", name_of(stage.stage), stage.work.n_rows,
                                stage.work.n_runs, static_cast<double>(stage.work.n_rows) / whole);
  const auto put = std::back_inserter(out);
  constexpr std::string_view kRow = "{:<12}{:>12}{:>9}{:>9}{:>9}{:>9}{:>9}{:>11}{:>9}{:>10}{:>9}\n";
  fmt::format_to(put, kRow, "step", "us/token", "share", "prepare", "kernel", "epilogue", "wait", "MB/token", "GB/s",
                 "GOPS", "roof");
  const auto add_row = [&](const StepProfile& step) {
    const double seconds = step.seconds();
    if (seconds <= 0) return;
    const double bytes = static_cast<double>(step.bytes), operations = static_cast<double>(step.operations());
    const double share = roof ? roof_share(step, *roof) : 0;
    fmt::format_to(put, kRow, step.name, fmt::format("{:.2f}", seconds / n_tokens * 1e6), percent(seconds),
                   percent(seconds_in(step, {Phase::kPrepare, Phase::kAppend})),
                   percent(seconds_in(step, {Phase::kEmbed, Phase::kKernel, Phase::kAttention, Phase::kSelect})),
                   percent(seconds_in(step, {Phase::kEpilogue})),
                   percent(seconds_in(step, {Phase::kStart, Phase::kWait})), rate(bytes / n_tokens / 1e6),
                   rate(bytes / seconds / 1e9), rate(operations / seconds / 1e9),
                   share > 0 ? fmt::format("{:.1f} %", share * 100) : "");
  };
  for (const StepProfile& step : stage.steps) add_row(step);
  add_row(sum_of(stage));
  return out;
}

}  // namespace

double StepProfile::seconds() const noexcept { return std::reduce(seconds_in.begin(), seconds_in.end()); }

double StageProfile::seconds() const noexcept { return sum_of(*this).seconds(); }

Profile profile_of(const exec::Recorder& recorder, const plan::Plan& plan, const exec::KvLayout& layout) {
  Profile profile;
  for (const Stage stage : {Stage::kPrompt, Stage::kGeneration}) {
    if (recorder.work(stage).n_runs > 0) profile.push_back(stage_of(recorder, plan, layout, stage));
  }
  return profile;
}

double roof_share(const StepProfile& step, const Roof& roof) {
  const double seconds = step.seconds();
  if (seconds <= 0) return 0;
  const double reading = static_cast<double>(step.bytes) / roof.read_bytes_per_second;
  double computing = static_cast<double>(step.integer_operations) / roof.integer_ops_per_second +
                     static_cast<double>(step.float_operations) / roof.float_ops_per_second;
  if (step.bf16_operations > 0) computing += static_cast<double>(step.bf16_operations) / roof.bf16_ops_per_second;
  return std::max(reading, computing) / seconds;
}

std::string to_text(const Profile& profile, const std::optional<Roof>& roof) {
  std::string out;
  for (const StageProfile& stage : profile) out += (out.empty() ? "" : "\n") + table_of(stage, roof);
  return out;
}

constexpr std::string_view kProfileLegend =
    "Times are the mean of the threads; prepare to wait are shares of the whole. Of attend, prepare is rotation and\n"
    "append to the cache, kernel the attention. The wait of start is for threads that slept. Roof: the time needed at\n"
    "least, for the bytes at the read bandwidth or for the operations at the int8 rate (of attention and float weights\n"
    "the float32 rate, of BF16 weights the bfloat16 rate if any), whichever is longer. Reading the clock slows single\n"
    "tokens of small models by up to a tenth.\n";

Json to_json(const Profile& profile, const std::optional<Roof>& roof) {
  Json stages = Json::array();
  for (const StageProfile& stage : profile) {
    const double whole = stage.seconds();
    Json steps = Json::array();
    for (const StepProfile& step : stage.steps) {
      Json phases = Json::object();
      for (std::size_t i = 0; i < exec::kPhases; ++i) {
        if (step.seconds_in[i] > 0) phases[std::string(exec::name_of(static_cast<Phase>(i)))] = step.seconds_in[i];
      }
      steps.push_back({{"step", step.name},
                       {"seconds", step.seconds()},
                       {"share", whole > 0 ? step.seconds() / whole : 0},
                       {"phases", std::move(phases)},
                       {"bytes", step.bytes},
                       {"operations", step.operations()},
                       {"roof_share", roof ? Json(roof_share(step, *roof)) : Json()}});
    }
    stages.push_back({{"stage", name_of(stage.stage)},
                      {"tokens", stage.work.n_rows},
                      {"runs", stage.work.n_runs},
                      {"seconds", whole},
                      {"steps", std::move(steps)}});
  }
  return stages;
}

}  // namespace woolly::bench
