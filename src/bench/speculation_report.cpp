#include "bench/speculation_report.h"

#include <fmt/format.h>

#include <iterator>
#include <nlohmann/json.hpp>

namespace woolly::bench {
namespace {

const char* decoding(const SpeculationRow& row) { return row.is_sampled ? "sampled" : "greedy"; }

}  // namespace

std::string to_text(const SpeculationReport& report, const Provenance& provenance) {
  std::string out = fmt::format("{}, {} kernels, woolly {}\n{}\n\n", report.machine, report.kernels, provenance.version,
                                report.model);
  const auto put = std::back_inserter(out);
  fmt::format_to(put, "{:<16}{:<9}{:>7}{:>11}{:>10}{:>10}{:>8}{:>9}{:>12}{:>8}\n", "prompt", "decoding", "tokens",
                 "generated", "off t/s", "on t/s", "ratio", "spread", "acceptance", "drafts");
  for (const SpeculationRow& row : report.rows) {
    fmt::format_to(put, "{:<16}{:<9}{:>7}{:>11}{:>10.2f}{:>10.2f}{:>8.3f}{:>9}{:>12}{:>8.1f}\n", row.name, decoding(row),
                   row.n_prompt, row.n_generated, row.off.median, row.on.median, row.ratio.median,
                   percent(row.ratio.spread), percent(row.acceptance()), row.draft_length());
  }
  return out;
}

std::string to_json(const SpeculationReport& report, const Provenance& provenance) {
  using Json = nlohmann::ordered_json;
  Json rows = Json::array();
  for (const SpeculationRow& row : report.rows) {
    rows.push_back({{"prompt", row.name},
                    {"decoding", decoding(row)},
                    {"prompt_tokens", row.n_prompt},
                    {"generated_tokens", row.n_generated},
                    {"off", row.off.median},
                    {"on", row.on.median},
                    {"ratio", row.ratio.median},
                    {"spread", row.ratio.spread},
                    {"acceptance", row.acceptance()},
                    {"draft_length", row.draft_length()},
                    {"drafted", row.counts.n_drafted},
                    {"accepted", row.counts.n_accepted}});
  }
  const Json json = {{"machine", report.machine}, {"model", report.model},         {"rows", std::move(rows)},
                     {"kernels", report.kernels}, {"threads", report.n_threads},   {"version", provenance.version},
                     {"command", provenance.command}, {"errors", report.errors}};
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string to_csv(const SpeculationReport& report, const Provenance& provenance) {
  std::string out =
      "machine,version,kernels,model,prompt,decoding,prompt_tokens,generated_tokens,off,on,ratio,spread,acceptance,"
      "draft_length,command\n";
  for (const SpeculationRow& row : report.rows) {
    fmt::format_to(std::back_inserter(out), "{},{},{},{},{},{},{},{},{:.4f},{:.4f},{:.4f},{:.4f},{:.4f},{:.4f},{}\n",
                   csv_field(report.machine), csv_field(provenance.version), csv_field(report.kernels),
                   csv_field(report.model), csv_field(row.name), decoding(row), row.n_prompt, row.n_generated,
                   row.off.median, row.on.median, row.ratio.median, row.ratio.spread, row.acceptance(),
                   row.draft_length(), csv_field(provenance.command));
  }
  return out;
}

}  // namespace woolly::bench
