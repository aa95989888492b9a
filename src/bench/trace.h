// A timeline for Perfetto and chrome://tracing.
#pragma once

#include <cstddef>
#include <functional>
#include <string_view>

#include "exec/recorder.h"
#include "plan/compile.h"

namespace woolly::bench {

/// Spans that a recorder should keep: 20 MiB over all threads, about 80 MB of JSON, which the viewers still open; of a
/// model with 30 layers some 400 tokens on two threads.
inline constexpr std::size_t kTraceSpans = std::size_t{1} << 19U;

/// The spans of `recorder` as Chrome's Trace Event Format in JSON, piece by piece: a track for each thread, on it the
/// runs of the executor, in them the steps of `plan` by name, in these the phases. Phases that take turns are one
/// event, whose arguments tell the time of each.
void write_trace(const exec::Recorder& recorder, const plan::Plan& plan,
                 const std::function<void(std::string_view)>& write);

}  // namespace woolly::bench
