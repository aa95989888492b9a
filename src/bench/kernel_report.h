// Reports of kernels as text: for people, for programs, for tables.
#pragma once

#include <string>

#include "bench/attention.h"
#include "bench/calls.h"
#include "bench/kernels.h"
#include "bench/report.h"

namespace woolly::bench {

std::string to_text(const KernelReport& report, const Provenance& provenance);

/// {"machine", "weights": "cached" or "memory", "rows": [{"type", "rows", "k", "columns", "kernels", "gops", "spread",
/// "gbytes_per_second", "ops_share", "read_share"}]} and more beside. Shares and spreads are fractions, null where
/// they were not measured.
std::string to_json(const KernelReport& report, const Provenance& provenance);

/// A header and a line for each row, which has the roofs that it is held against.
std::string to_csv(const KernelReport& report, const Provenance& provenance);

std::string to_text(const AttentionReport& report, const Provenance& provenance);

/// {"machine", "keys_and_values": "cached" or "memory", "rows": [{"type", "head", "keys", "queries", "kernels",
/// "gflops", "spread", "gbytes_per_second", "float_share", "bf16_share", "read_share"}]} and more beside. Shares and
/// spreads are fractions, null where they were not measured.
std::string to_json(const AttentionReport& report, const Provenance& provenance);

/// A header and a line for each row.
std::string to_csv(const AttentionReport& report, const Provenance& provenance);

std::string to_text(const CallReport& report, const Provenance& provenance);

/// {"machine", "rows": [{"kernel", "elements", "kernels", "ns", "spread"}], "call": {"direct_ns", "table_ns"}} and more
/// beside.
std::string to_json(const CallReport& report, const Provenance& provenance);

/// A header and a line for each row.
std::string to_csv(const CallReport& report, const Provenance& provenance);

}  // namespace woolly::bench
