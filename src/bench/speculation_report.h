// Reports of speculation as text: for people, for programs, for tables.
#pragma once

#include <string>

#include "bench/report.h"
#include "bench/speculation.h"

namespace woolly::bench {

std::string to_text(const SpeculationReport& report, const Provenance& provenance);

/// {"machine", "model", "rows": [{"prompt", "decoding": "greedy" or "sampled", "prompt_tokens", "generated_tokens",
/// "off", "on", "ratio", "spread", "acceptance", "draft_length"}]} and more beside; `off` and `on` in tokens per second,
/// `spread` that of the ratio.
std::string to_json(const SpeculationReport& report, const Provenance& provenance);

/// A header and a line for each row.
std::string to_csv(const SpeculationReport& report, const Provenance& provenance);

}  // namespace woolly::bench
