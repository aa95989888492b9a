#include "bench/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>
#include <vector>

namespace woolly::bench {
namespace {

using Json = nlohmann::ordered_json;

Json roof_json(const std::optional<Roof>& roof) {
  if (!roof) return {};
  return {{"read_bytes_per_second", roof->read_bytes_per_second},
          {"integer_ops_per_second", roof->integer_ops_per_second},
          {"bytes_read", roof->bytes}};
}

/// In the order in which they first occur.
std::vector<std::string> peer_names(const Report& report) {
  std::vector<std::string> names;
  for (const Row& row : report.rows) {
    for (const PeerResult& peer : row.peers) {
      if (std::ranges::find(names, peer.name) == names.end()) names.push_back(peer.name);
    }
  }
  return names;
}

const PeerResult* find_peer(const Row& row, const std::string& name) {
  const auto found = std::ranges::find(row.peers, name, &PeerResult::name);
  return found == row.peers.end() ? nullptr : &*found;
}

std::string roof_text(const Report& report) {
  if (!report.roof_before || !report.roof_after) return {};
  const Roof& before = *report.roof_before;
  const Roof& after = *report.roof_after;
  constexpr std::uint64_t kWanted = RoofEffort{}.bytes;
  return fmt::format("roofs before and after: reads {:.1f} and {:.1f} GB/s{}, int8 {:.0f} and {:.0f} GOPS\n",
                     before.read_bytes_per_second / 1e9, after.read_bytes_per_second / 1e9,
                     before.bytes < kWanted || after.bytes < kWanted
                         ? fmt::format(" (of {} MiB only: memory is short)", std::min(before.bytes, after.bytes) >> 20U)
                         : "",
                     before.integer_ops_per_second / 1e9, after.integer_ops_per_second / 1e9);
}

}  // namespace

std::string to_text(const Report& report, const Provenance& provenance) {
  const std::vector<std::string> names = peer_names(report);
  std::string out = fmt::format("{}, {} kernels, woolly {}\n{}: {:.1f} MB of matrices for each token\n", report.machine,
                                report.kernels, provenance.version, report.model,
                                static_cast<double>(report.work.matrix_bytes) / 1e6);
  const auto width = [](const std::string& name) { return std::max<std::size_t>(name.size(), 18); };
  const auto put = std::back_inserter(out);
  const Load& load = provenance.load;
  fmt::format_to(put, "load: {:.1f} MB of weights in {:.2f} s, {:.2f} GB/s", static_cast<double>(load.bytes) / 1e6,
                 load.seconds, load.bytes_per_second() / 1e9);
  if (load.mapped_bytes > 0) {
    fmt::format_to(put, "; {:.1f} MB stay in the mapped file", static_cast<double>(load.mapped_bytes) / 1e6);
  }
  fmt::format_to(put, "\n{}\n", roof_text(report));
  std::size_t test_width = 8;
  for (const Row& row : report.rows) test_width = std::max(test_width, row.test.name().size() + 1);
  fmt::format_to(put, "{:<{}}{:>12}{:>9}{:>9}", "test", test_width, "tokens/s", "spread", "roof");
  for (const std::string& name : names) fmt::format_to(put, "  {:>{}}", name, width(name));
  out += '\n';
  for (const Row& row : report.rows) {
    fmt::format_to(put, "{:<{}}{:>12.2f}{:>9}{:>9}", row.test.name(), test_width, row.ours.median,
                   percent(row.ours.spread), row.roof_share ? percent(*row.roof_share) : "");
    for (const std::string& name : names) {
      const PeerResult* peer = find_peer(row, name);
      const std::string cell =
          peer == nullptr ? "" : fmt::format("{:.2f} x {:.2f}", peer->tokens_per_second, peer->ratio);
      fmt::format_to(put, "  {:>{}}", cell, width(name));
    }
    out += '\n';
  }
  if (!names.empty()) out += "\nPeers: tokens/s x ratio of ours to theirs.\n";
  for (const Row& row : report.rows) {
    if (row.profile) fmt::format_to(put, "\n{}, {}", row.test.name(), to_text(*row.profile, report.roof()));
  }
  if (!report.rows.empty() && report.rows.front().profile) fmt::format_to(put, "\n{}", kProfileLegend);
  return out;
}

std::string to_json(const Report& report, const Provenance& provenance) {
  Json rows = Json::array();
  for (const Row& row : report.rows) {
    Json peers = Json::object();
    for (const PeerResult& peer : row.peers) {
      peers[peer.name] = {{"tokens_per_second", peer.tokens_per_second}, {"ratio", peer.ratio}};
    }
    rows.push_back({{"test", row.test.name()},
                    {"tokens_per_second", row.ours.median},
                    {"spread", row.ours.spread},
                    {"roof_share", row.roof_share ? Json(*row.roof_share) : Json()},
                    {"peers", std::move(peers)}});
    if (row.profile) rows.back()["profile"] = to_json(*row.profile, report.roof());
  }
  const Json json = {{"machine", report.machine},
                     {"model", report.model},
                     {"rows", std::move(rows)},
                     {"threads", report.n_threads},
                     {"kernels", report.kernels},
                     {"version", provenance.version},
                     {"command", provenance.command},
                     {"load",
                      {{"seconds", provenance.load.seconds},
                       {"bytes", provenance.load.bytes},
                       {"mapped_bytes", provenance.load.mapped_bytes},
                       {"bytes_per_second", provenance.load.bytes_per_second()}}},
                     {"matrix_bytes", report.work.matrix_bytes},
                     {"roof_before", roof_json(report.roof_before)},
                     {"roof_after", roof_json(report.roof_after)},
                     {"errors", report.errors}};
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string to_csv(const Report& report, const Provenance& provenance) {
  const std::vector<std::string> names = peer_names(report);
  std::string out = "machine,version,kernels,model,test,tokens_per_second,spread,roof_share,command";
  for (const std::string& name : names) {
    out += "," + csv_field(name) + "," + csv_field(name + " ratio");
  }
  out += '\n';
  for (const Row& row : report.rows) {
    const auto put = std::back_inserter(out);
    fmt::format_to(put, "{},{},{},{},{},{:.4f},{:.4f},{},{}", csv_field(report.machine), csv_field(provenance.version),
                   csv_field(report.kernels), csv_field(report.model), row.test.name(), row.ours.median,
                   row.ours.spread, row.roof_share ? fmt::format("{:.4f}", *row.roof_share) : "",
                   csv_field(provenance.command));
    for (const std::string& name : names) {
      const PeerResult* peer = find_peer(row, name);
      out += peer == nullptr ? ",," : fmt::format(",{:.4f},{:.4f}", peer->tokens_per_second, peer->ratio);
    }
    out += '\n';
  }
  return out;
}

std::string csv_field(std::string_view text) {
  if (text.find_first_of(",\"\n\r") == std::string_view::npos) return std::string(text);
  std::string quoted = "\"";
  for (const char c : text) quoted.append(c == '"' ? 2 : 1, c);
  return quoted + '"';
}

std::string percent(double share) { return fmt::format("{:.1f} %", share * 100); }

std::string quoted_for_shell(std::string_view word) {
  constexpr std::string_view kPlain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:=,+@%";
  if (!word.empty() && word.find_first_not_of(kPlain) == std::string_view::npos) return std::string(word);
  std::string quoted = "'";
  for (const char c : word) {
    if (c == '\'') {
      quoted += "'\\''";
    } else {
      quoted += c;
    }
  }
  return quoted + '\'';
}

}  // namespace woolly::bench
