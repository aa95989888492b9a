#include "bench/trace.h"

#include <fmt/format.h>

#include <cstdint>
#include <iterator>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

namespace woolly::bench {
namespace {

using exec::Phase;
using exec::Span;
using Spans = std::span<const Span>;

/// Microseconds, which the format counts in, to the nanosecond.
std::string microseconds(std::int64_t ns) { return fmt::format("{}.{:03}", ns / 1000, ns % 1000); }

class TraceWriter {
 public:
  TraceWriter(const plan::Plan& plan, const std::function<void(std::string_view)>& write) : write_(write) {
    for (const plan::Step& step : plan.steps) step_names_.push_back(nlohmann::json(step.name).dump());
  }

  void add_thread(std::size_t thread, Spans spans) {
    thread_ = thread;
    add(fmt::format(R"({{"ph":"M","pid":1,"tid":{},"name":"thread_name","args":{{"name":"thread {}"}}}})", thread,
                    thread));
    while (!spans.empty()) {
      std::size_t n = 1;
      while (n < spans.size() && spans[n].phase != Phase::kStart) ++n;
      add_run(spans.first(n));
      spans = spans.subspan(n);
    }
  }

  void finish() {
    text_ += "\n]}\n";
    write_(text_);
  }

 private:
  // An event comes before those inside of it: where both begin at once, viewers nest them in this order.
  void add_run(Spans run) {
    add_event("\"run\"", "run", run, fmt::format(R"("rows":{})", run.front().n_rows));
    add_phase(run.front());
    run = run.subspan(1);
    while (!run.empty()) {
      std::size_t n = 1;
      while (n < run.size() && run[n].step == run.front().step) ++n;
      add_event(step_names_[run.front().step], "step", run.first(n), fmt::format(R"("rows":{})", run.front().n_rows));
      for (const Span& span : run.first(n)) add_phase(span);
      run = run.subspan(n);
    }
  }

  void add_phase(const Span& span) {
    const bool has_second = span.second_ns > 0;
    const Phase second = span.phase == Phase::kKernel ? Phase::kEpilogue : Phase::kAttention;
    const std::string_view first_name = exec::name_of(span.phase), second_name = exec::name_of(second);
    if (!has_second) return add_event(fmt::format("\"{}\"", first_name), "phase", {&span, 1}, "");
    const std::int64_t first_ns = span.end_ns - span.begin_ns - span.second_ns;
    add_event(fmt::format("\"{}, {}\"", first_name, second_name), "phase", {&span, 1},
              fmt::format(R"("{} us":{},"{} us":{})", first_name, microseconds(first_ns), second_name,
                          microseconds(span.second_ns)));
  }

  /// `name` is a JSON string, `arguments` what stands in an object.
  void add_event(std::string_view name, std::string_view category, Spans spans, std::string_view arguments) {
    const std::int64_t begin = spans.front().begin_ns;
    add(fmt::format(R"({{"ph":"X","pid":1,"tid":{},"name":{},"cat":"{}","ts":{},"dur":{},"args":{{{}}}}})", thread_,
                    name, category, microseconds(begin), microseconds(spans.back().end_ns - begin), arguments));
  }

  void add(std::string_view event) {
    constexpr std::size_t kPieceBytes = 64U << 10U;
    text_.append(is_first_ ? "\n" : ",\n").append(event);
    is_first_ = false;
    if (text_.size() < kPieceBytes) return;
    write_(text_);
    text_.clear();
  }

  const std::function<void(std::string_view)>& write_;
  std::vector<std::string> step_names_;  ///< As JSON strings.
  std::string text_ = R"({"displayTimeUnit":"ns","traceEvents":[)";
  std::size_t thread_ = 0;
  bool is_first_ = true;
};

}  // namespace

void write_trace(const exec::Recorder& recorder, const plan::Plan& plan,
                 const std::function<void(std::string_view)>& write) {
  TraceWriter writer(plan, write);
  for (std::size_t thread = 0; thread < recorder.n_threads(); ++thread) {
    writer.add_thread(thread, recorder.spans(thread));
  }
  writer.finish();
}

}  // namespace woolly::bench
