#include "bench/bench.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "engine/parts.h"

namespace woolly::bench {
namespace {

/// One command of a peer over the rows of a benchmark.
struct Contender {
  const Peer* peer;
  bool has_failed = false;
  std::vector<double> rates{};  ///< In the row at hand.
};

std::vector<PeerResult> compare(const std::vector<Contender>& contenders, double ours) {
  std::vector<PeerResult> results;
  for (const Contender& contender : contenders) {
    if (contender.has_failed || contender.rates.empty()) continue;
    const double rate = summarize(contender.rates).median;
    const auto same = std::ranges::find(results, contender.peer->name, &PeerResult::name);
    if (same == results.end()) {
      results.push_back({contender.peer->name, rate, ours / rate});
    } else if (rate > same->tokens_per_second) {
      *same = {contender.peer->name, rate, ours / rate};
    }
  }
  return results;
}

class Bench {
 public:
  Bench(const std::filesystem::path& path, const BenchOptions& options, Runner runner, Report& report)
      : path_(path), options_(options), runner_(std::move(runner)), report_(report) {
    for (const Peer& peer : options.peers) contenders_.push_back({&peer});
  }

  Status run_row(const Test& test) {
    for (Contender& contender : contenders_) contender.rates.clear();
    WOOLLY_CHECK(runner_.run(test));  // warm-up: pages are touched, threads awake
    std::vector<double> ours;
    for (std::size_t i = 0; i < options_.n_repetitions; ++i) {
      WOOLLY_TRY(const double rate, runner_.run(test));
      ours.push_back(rate);
      for (Contender& contender : contenders_) run_contender(contender, test);
    }
    const Summary summary = summarize(std::move(ours));
    Row row{test, summary, std::nullopt, compare(contenders_, summary.median)};
    WOOLLY_CHECK(record(row));
    report_.rows.push_back(std::move(row));
    return {};
  }

 private:
  Status record(Row& row) {
    if (options_.recorder == nullptr) return {};
    const Session::Parts& session = runner_.session().parts();
    options_.recorder->clear_sums();
    session.executor->record_to(options_.recorder);
    for (std::size_t i = 0; i < options_.n_repetitions; ++i) WOOLLY_CHECK(runner_.run(row.test));
    session.executor->record_to(nullptr);
    if (options_.with_profile) {
      row.profile = profile_of(*options_.recorder, session.model->parts().plan, session.cache->layout());
    }
    return {};
  }

  void run_contender(Contender& contender, const Test& test) {
    if (contender.has_failed || !contender.peer->measures(test)) return;
    const Result<double> rate = run_peer(*contender.peer, path_, test, report_.n_threads);
    if (rate) return contender.rates.push_back(rate.value());
    contender.has_failed = true;
    report_.errors.push_back(fmt::format("peer {} (left out from {} on)", rate.error().message, test.name()));
  }

  const std::filesystem::path& path_;
  const BenchOptions& options_;
  Runner runner_;
  Report& report_;
  std::vector<Contender> contenders_;
};

void hold_against_roof(Report& report) {
  const Roof roof = *report.roof();
  for (Row& row : report.rows) {
    row.roof_share = roof_share(row.test, row.ours.median, report.work, roof);
    if (*row.roof_share <= kMaxRoofShare) continue;
    report.errors.push_back(fmt::format("error of the roof: {} is at {:.0f} % of it, so it was measured too low{}",
                                        row.test.name(), *row.roof_share * 100,
                                        row.test.kind == Test::Kind::kGenerate ? ", or caches hold the model" : ""));
  }
}

}  // namespace

std::optional<Roof> Report::roof() const {
  if (!roof_before || !roof_after) return std::nullopt;
  return best_of(*roof_before, *roof_after);
}

Result<Report> run_bench(const Engine& engine, const std::shared_ptr<const Model>& model,
                         const std::filesystem::path& path, const BenchOptions& options) {
  Report report;
  report.machine = machine_name(engine.n_threads());
  report.model = path.filename().string();
  report.kernels = engine.isa();
  report.n_threads = engine.n_threads();
  report.work = work_of(*model, options.session.kv_type);
  const auto measure = [&](std::optional<Roof>& roof) -> Status {
    if (!options.with_roof) return {};
    WOOLLY_TRY(roof, measure_roof(*engine.parts().kernels, *engine.parts().pool));
    return {};
  };
  WOOLLY_CHECK(measure(report.roof_before));
  {
    WOOLLY_TRY(Runner runner, Runner::create(model, options.tests, options.session));
    Bench bench(path, options, std::move(runner), report);
    for (const Test& test : options.tests) WOOLLY_CHECK(bench.run_row(test));
  }
  WOOLLY_CHECK(measure(report.roof_after));
  if (options.with_roof) hold_against_roof(report);
  return report;
}

}  // namespace woolly::bench
