#include "cli/profiling.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <string_view>

#include "bench/profile.h"
#include "bench/roof.h"
#include "bench/trace.h"
#include "cli/flags.h"
#include "cli/output.h"
#include "cli/output_file.h"
#include "engine/parts.h"

namespace woolly::cli {

void Profiling::declare(CLI::App& app) {
  app.add_flag("--profile", wants_profile_, "Show where the time went: by kind of step and phase, beside the roofs");
  add_output_file_flag(app, "--trace",
                       "Write a timeline of every step on every thread, for Perfetto or chrome://tracing", trace_file_);
}

Status Profiling::check() const { return trace_file_.empty() ? Status() : OutputFile::probe(trace_file_); }

std::unique_ptr<exec::Recorder> Profiling::recorder_for(const LoadedModel& loaded) const {
  if (!wants_profile_ && trace_file_.empty()) return nullptr;
  return std::make_unique<exec::Recorder>(loaded.model->parts().plan.steps.size(), loaded.engine->n_threads(),
                                          trace_file_.empty() ? 0 : bench::kTraceSpans);
}

Status Profiling::print_profile(const exec::Recorder& recorder, const LoadedModel& loaded,
                                const Session& session) const {
  if (!wants_profile_) return {};
  const Engine::Parts& engine = loaded.engine->parts();
  WOOLLY_TRY(const bench::Roof roof, bench::measure_roof(*engine.kernels, *engine.pool));
  const bench::Profile profile =
      bench::profile_of(recorder, loaded.model->parts().plan, session.parts().cache->layout());
  const std::string text = fmt::format(
      "\n{} kernels, {} threads; roofs: reads {:.1f} GB/s, int8 {:.0f} and float32 {:.0f} GOPS\n\n{}\n{}",
      loaded.engine->isa(), loaded.engine->n_threads(), roof.read_bytes_per_second / 1e9,
      roof.integer_ops_per_second / 1e9, roof.float_ops_per_second / 1e9, bench::to_text(profile, roof),
      bench::kProfileLegend);
  std::fputs(text.c_str(), stderr);
  return {};
}

Status Profiling::write_trace(const exec::Recorder& recorder, const Model& model) const {
  if (trace_file_.empty()) return {};
  WOOLLY_TRY(OutputFile file, OutputFile::create(trace_file_));
  bench::write_trace(recorder, model.parts().plan, [&](std::string_view piece) { file.write(piece); });
  WOOLLY_CHECK(file.finish());
  if (recorder.n_runs_without_spans() > 0) {
    print_warning(fmt::format("{}: full; the last {} runs of the model are not in it", trace_file_,
                              recorder.n_runs_without_spans()));
  }
  return {};
}

}  // namespace woolly::cli
