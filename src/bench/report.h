// A benchmark's report as text: for people, for programs, for tables.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "bench/bench.h"

namespace woolly::bench {

/// What the program did to get a model.
struct Load {
  double seconds = 0;
  std::uint64_t bytes = 0;         ///< Of its weights, in memory.
  std::uint64_t mapped_bytes = 0;  ///< Of those that stay in the mapped file.

  [[nodiscard]] double bytes_per_second() const { return seconds > 0 ? static_cast<double>(bytes) / seconds : 0; }
};

/// What only the program knows of itself.
struct Provenance {
  std::string version;
  std::string command;  ///< The command line, words quoted where a shell would want it.
  Load load{};
};

std::string to_text(const Report& report, const Provenance& provenance);

/// {"machine", "model", "rows": [{"test", "tokens_per_second", "spread", "roof_share", "peers": {NAME:
/// {"tokens_per_second", "ratio"}}}]} and more beside. Shares and spreads are fractions; `roof_share` is null where the
/// roof was not measured. A row with a profile has it as "profile" (bench/profile.h).
std::string to_json(const Report& report, const Provenance& provenance);

/// A header and a line for each row.
std::string to_csv(const Report& report, const Provenance& provenance);

/// `text` as a field of a CSV line (RFC 4180).
std::string csv_field(std::string_view text);

/// A share with one digit: "61.8 %".
std::string percent(double share);

/// `word` so that a shell reads it as one.
std::string quoted_for_shell(std::string_view word);

}  // namespace woolly::bench
