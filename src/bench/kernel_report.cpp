#include "bench/kernel_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>

namespace woolly::bench {
namespace {

using Json = nlohmann::ordered_json;

const char* weights_of(const KernelReport& report) { return report.is_from_memory ? "memory" : "cached"; }

Json or_null(const std::optional<double>& value) { return value ? Json(*value) : Json(); }

std::string or_empty(const std::optional<double>& value) { return value ? fmt::format("{:.4f}", *value) : ""; }

std::string share_text(const std::optional<double>& share) { return share ? percent(*share) : ""; }

}  // namespace

std::string to_text(const KernelReport& report, const Provenance& provenance) {
  std::string out = fmt::format("{}, woolly {}\nweights {}\n", report.machine, provenance.version,
                                report.is_from_memory ? "from memory" : "in caches");
  const auto put = std::back_inserter(out);
  for (const TableRoof& row : report.roofs) {
    fmt::format_to(put, "roofs of {}: int8 {:.4g} GOPS, float32 {:.4g} GOPS, reads {:.1f} GB/s\n", row.table->name,
                   row.roof.integer_ops_per_second / 1e9, row.roof.float_ops_per_second / 1e9,
                   row.roof.read_bytes_per_second / 1e9);
  }
  fmt::format_to(put, "\n{:<8}{:>13}{:>9}  {:<13}{:>9}{:>9}{:>9}{:>10}{:>10}\n", "type", "shape", "columns", "kernels",
                 "GOPS", "spread", "GB/s", "of ops", "of reads");
  for (const KernelRow& row : report.rows) {
    fmt::format_to(put, "{:<8}{:>13}{:>9}  {:<13}{:>9.2f}{:>9}{:>9.2f}{:>10}{:>10}\n", quant::info(row.type).name,
                   fmt::format("{}x{}", row.shape.n_rows, row.shape.k), row.n_columns, row.isa,
                   row.ops_per_second.median / 1e9, percent(row.ops_per_second.spread), row.bytes_per_second / 1e9,
                   share_text(row.ops_share), share_text(row.read_share));
  }
  return out;
}

std::string to_json(const KernelReport& report, const Provenance& provenance) {
  Json rows = Json::array();
  for (const KernelRow& row : report.rows) {
    rows.push_back({{"type", quant::info(row.type).name},
                    {"rows", row.shape.n_rows},
                    {"k", row.shape.k},
                    {"columns", row.n_columns},
                    {"kernels", row.isa},
                    {"gops", row.ops_per_second.median / 1e9},
                    {"spread", row.ops_per_second.spread},
                    {"gbytes_per_second", row.bytes_per_second / 1e9},
                    {"ops_share", or_null(row.ops_share)},
                    {"read_share", or_null(row.read_share)}});
  }
  Json roofs = Json::object();
  for (const TableRoof& row : report.roofs) {
    roofs[row.table->name] = {{"integer_ops_per_second", row.roof.integer_ops_per_second},
                                   {"float_ops_per_second", row.roof.float_ops_per_second},
                                   {"read_bytes_per_second", row.roof.read_bytes_per_second},
                                   {"bytes_read", row.roof.bytes}};
  }
  const Json json = {{"machine", report.machine},
                     {"weights", weights_of(report)},
                     {"rows", std::move(rows)},
                     {"threads", report.n_threads},
                     {"version", provenance.version},
                     {"command", provenance.command},
                     {"roofs", std::move(roofs)},
                     {"errors", report.errors}};
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string to_csv(const KernelReport& report, const Provenance& provenance) {
  std::string out =
      "machine,version,weights,type,rows,k,columns,kernels,gops,spread,gbytes_per_second,ops_per_byte,ops_share,"
      "read_share,roof_gops,roof_gbytes_per_second,command\n";
  const auto put = std::back_inserter(out);
  for (const KernelRow& row : report.rows) {
    fmt::format_to(put, "{},{},{},{},{},{},{},{},{:.4f},{:.4f},{:.4f},{:.4f},{},{},", csv_field(report.machine),
                   csv_field(provenance.version), weights_of(report), quant::info(row.type).name, row.shape.n_rows,
                   row.shape.k, row.n_columns, row.isa, row.ops_per_second.median / 1e9, row.ops_per_second.spread,
                   row.bytes_per_second / 1e9, row.ops_per_byte(), or_empty(row.ops_share), or_empty(row.read_share));
    if (report.roofs.empty()) {
      out += ",";
    } else {
      fmt::format_to(put, "{:.4f},{:.4f}", report.ops_roof(row) / 1e9,
                     report.roofs.front().roof.read_bytes_per_second / 1e9);
    }
    fmt::format_to(put, ",{}\n", csv_field(provenance.command));
  }
  return out;
}

}  // namespace woolly::bench
