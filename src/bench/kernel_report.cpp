#include "bench/kernel_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>

namespace woolly::bench {
namespace {

using Json = nlohmann::ordered_json;

const char* place_of(bool is_from_memory) { return is_from_memory ? "memory" : "cached"; }

Json or_null(const std::optional<double>& value) { return value ? Json(*value) : Json(); }

std::string or_empty(const std::optional<double>& value) { return value ? fmt::format("{:.4f}", *value) : ""; }

std::string share_text(const std::optional<double>& share) { return share ? percent(*share) : ""; }

void put_roofs(const std::vector<TableRoof>& roofs, std::string& out) {
  const auto put = std::back_inserter(out);
  for (const TableRoof& row : roofs) {
    fmt::format_to(put, "roofs of {}: int8 {:.4g} GOPS, float32 {:.4g} GOPS, ", row.table->name,
                   row.roof.integer_ops_per_second / 1e9, row.roof.float_ops_per_second / 1e9);
    if (row.table->bf16_loop != nullptr) {
      fmt::format_to(put, "bfloat16 {:.4g} GOPS, ", row.roof.bf16_ops_per_second / 1e9);
    }
    fmt::format_to(put, "reads {:.1f} GB/s\n", row.roof.read_bytes_per_second / 1e9);
  }
}

Json roofs_of(const std::vector<TableRoof>& roofs) {
  Json json = Json::object();
  for (const TableRoof& row : roofs) {
    json[row.table->name] = {{"integer_ops_per_second", row.roof.integer_ops_per_second},
                             {"float_ops_per_second", row.roof.float_ops_per_second},
                             {"bf16_ops_per_second", row.roof.bf16_ops_per_second},
                             {"read_bytes_per_second", row.roof.read_bytes_per_second},
                             {"bytes_read", row.roof.bytes}};
  }
  return json;
}

}  // namespace

std::string to_text(const KernelReport& report, const Provenance& provenance) {
  std::string out = fmt::format("{}, woolly {}\nweights {}\n", report.machine, provenance.version,
                                report.is_from_memory ? "from memory" : "in caches");
  const auto put = std::back_inserter(out);
  put_roofs(report.roofs, out);
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
  const Json json = {{"machine", report.machine},
                     {"weights", place_of(report.is_from_memory)},
                     {"rows", std::move(rows)},
                     {"threads", report.n_threads},
                     {"version", provenance.version},
                     {"command", provenance.command},
                     {"roofs", roofs_of(report.roofs)},
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
                   csv_field(provenance.version), place_of(report.is_from_memory), quant::info(row.type).name, row.shape.n_rows,
                   row.shape.k, row.n_columns, row.isa, row.ops_per_second.median / 1e9, row.ops_per_second.spread,
                   row.bytes_per_second / 1e9, row.ops_per_byte(), or_empty(row.ops_share), or_empty(row.read_share));
    if (!report.has_roof(row)) {
      out += ",";
    } else {
      fmt::format_to(put, "{:.4f},{:.4f}", report.ops_roof(row) / 1e9,
                     report.roofs.front().roof.read_bytes_per_second / 1e9);
    }
    fmt::format_to(put, ",{}\n", csv_field(provenance.command));
  }
  return out;
}

std::string to_text(const AttentionReport& report, const Provenance& provenance) {
  std::string out = fmt::format("{}, woolly {}\nattention, keys and values {}\n", report.machine, provenance.version,
                                report.is_from_memory ? "from memory" : "in caches");
  const auto put = std::back_inserter(out);
  put_roofs(report.roofs, out);
  fmt::format_to(put, "\n{:<6}{:>6}{:>9}{:>9}  {:<13}{:>9}{:>9}{:>9}{:>12}{:>13}{:>10}\n", "type", "head", "keys",
                 "queries", "kernels", "GFLOPS", "spread", "GB/s", "of float32", "of bfloat16", "of reads");
  for (const AttentionRow& row : report.rows) {
    fmt::format_to(put, "{:<6}{:>6}{:>9}{:>9}  {:<13}{:>9.2f}{:>9}{:>9.2f}{:>12}{:>13}{:>10}\n",
                   quant::info(row.type).name, row.head_dim, row.n_keys, row.n_queries, row.table->name,
                   row.ops_per_second.median / 1e9, percent(row.ops_per_second.spread), row.bytes_per_second / 1e9,
                   share_text(row.float_share), share_text(row.bf16_share), share_text(row.read_share));
  }
  return out;
}

std::string to_json(const AttentionReport& report, const Provenance& provenance) {
  Json rows = Json::array();
  for (const AttentionRow& row : report.rows) {
    rows.push_back({{"type", quant::info(row.type).name},
                    {"head", row.head_dim},
                    {"keys", row.n_keys},
                    {"queries", row.n_queries},
                    {"kernels", row.table->name},
                    {"gflops", row.ops_per_second.median / 1e9},
                    {"spread", row.ops_per_second.spread},
                    {"gbytes_per_second", row.bytes_per_second / 1e9},
                    {"float_share", or_null(row.float_share)},
                    {"bf16_share", or_null(row.bf16_share)},
                    {"read_share", or_null(row.read_share)}});
  }
  const Json json = {{"machine", report.machine},
                     {"keys_and_values", place_of(report.is_from_memory)},
                     {"rows", std::move(rows)},
                     {"threads", report.n_threads},
                     {"version", provenance.version},
                     {"command", provenance.command},
                     {"roofs", roofs_of(report.roofs)},
                     {"errors", report.errors}};
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string to_csv(const AttentionReport& report, const Provenance& provenance) {
  std::string out =
      "machine,version,keys_and_values,type,head,keys,queries,kernels,gflops,spread,gbytes_per_second,float_share,"
      "bf16_share,read_share,command\n";
  for (const AttentionRow& row : report.rows) {
    fmt::format_to(std::back_inserter(out), "{},{},{},{},{},{},{},{},{:.4f},{:.4f},{:.4f},{},{},{},{}\n",
                   csv_field(report.machine), csv_field(provenance.version), place_of(report.is_from_memory),
                   quant::info(row.type).name, row.head_dim, row.n_keys, row.n_queries, row.table->name,
                   row.ops_per_second.median / 1e9, row.ops_per_second.spread, row.bytes_per_second / 1e9,
                   or_empty(row.float_share), or_empty(row.bf16_share), or_empty(row.read_share),
                   csv_field(provenance.command));
  }
  return out;
}

std::string to_text(const CallReport& report, const Provenance& provenance) {
  std::string out = fmt::format("{}, woolly {}\nns per call\n\n", report.machine, provenance.version);
  const auto put = std::back_inserter(out);
  const auto begins_line = [&](std::size_t i) {
    return i == 0 || report.rows[i].kernel != report.rows[i - 1].kernel ||
           report.rows[i].n_elements != report.rows[i - 1].n_elements;
  };
  fmt::format_to(put, "{:<14}{:>9}", "kernel", "elements");
  for (std::size_t i = 0; i < report.rows.size() && (i == 0 || !begins_line(i)); ++i) {
    fmt::format_to(put, "{:>14}", report.rows[i].isa);
  }
  for (std::size_t i = 0; i < report.rows.size(); ++i) {
    const CallRow& row = report.rows[i];
    if (begins_line(i)) fmt::format_to(put, "\n{:<14}{:>9}", row.kernel, row.n_elements);
    fmt::format_to(put, "{:>14.1f}", row.ns.median);
  }
  fmt::format_to(put, "\n\nPlain code, adding 16: by its name {:.2f} ns (spread {}), through a table {:.2f} ns ({})\n",
                 report.direct_ns.median, percent(report.direct_ns.spread), report.table_ns.median,
                 percent(report.table_ns.spread));
  return out;
}

std::string to_json(const CallReport& report, const Provenance& provenance) {
  Json rows = Json::array();
  for (const CallRow& row : report.rows) {
    rows.push_back({{"kernel", row.kernel},
                    {"elements", row.n_elements},
                    {"kernels", row.isa},
                    {"ns", row.ns.median},
                    {"spread", row.ns.spread}});
  }
  const Json json = {{"machine", report.machine},
                     {"rows", std::move(rows)},
                     {"call", {{"direct_ns", report.direct_ns.median}, {"table_ns", report.table_ns.median}}},
                     {"version", provenance.version},
                     {"command", provenance.command},
                     {"errors", report.errors}};
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string to_csv(const CallReport& report, const Provenance& provenance) {
  std::string out = "machine,version,kernel,elements,kernels,ns,spread,command\n";
  const auto put = [&](std::string_view kernel, std::size_t n_elements, std::string_view isa, const Summary& ns) {
    fmt::format_to(std::back_inserter(out), "{},{},{},{},{},{:.4f},{:.4f},{}\n", csv_field(report.machine),
                   csv_field(provenance.version), kernel, n_elements, isa, ns.median, ns.spread,
                   csv_field(provenance.command));
  };
  for (const CallRow& row : report.rows) put(row.kernel, row.n_elements, row.isa, row.ns);
  put("plain add", 16, "direct", report.direct_ns);
  put("plain add", 16, "table", report.table_ns);
  return out;
}

}  // namespace woolly::bench
