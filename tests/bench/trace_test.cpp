#include "bench/trace.h"

#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "exec/support.h"

namespace woolly::bench {
namespace {

using nlohmann::json;

/// Nanoseconds of a time in microseconds.
std::int64_t nanoseconds(const json& microseconds) { return std::llround(microseconds.get<double>() * 1000); }

/// A prompt of two chunks and a token on two threads: steps lie in runs, phases in steps, and nothing overlaps.
TEST(WriteTrace, EventsAreNestedAndNamedAsInThePlan) {
  const test::TempDir dir;
  const test::Loaded loaded(dir.write("tiny.gguf", test::TinyModel{}.build().build()));
  const auto session = Session::create(loaded.model, {.chunk = 32});
  ASSERT_TRUE(session);
  const plan::Plan& plan = loaded.model->parts().plan;
  exec::Recorder recorder(plan.steps.size(), 2, 10'000);
  (*session)->parts().executor->record_to(&recorder);
  ASSERT_TRUE((*session)->append(test::some_tokens(40, 1)));
  ASSERT_TRUE((*session)->append(test::some_tokens(1, 1)));

  std::string text;
  write_trace(recorder, plan, [&](std::string_view piece) { text += piece; });
  const json trace = json::parse(text);
  const std::map<std::string, std::size_t> depth_of = {{"run", 0}, {"step", 1}, {"phase", 2}};
  std::map<int, std::vector<std::pair<std::int64_t, std::int64_t>>> open;  // by thread: the event of each depth
  std::map<int, std::vector<int>> rows_of_runs;
  std::set<std::string> steps, phases;
  std::set<int> named_threads;
  for (const json& event : trace["traceEvents"]) {
    const int thread = event["tid"];
    if (event["ph"] == "M") {
      named_threads.insert(thread);
      continue;
    }
    ASSERT_EQ(event["ph"], "X");
    const std::int64_t begin = nanoseconds(event["ts"]), end = begin + nanoseconds(event["dur"]);
    const std::size_t depth = depth_of.at(event["cat"]);
    auto& path = open[thread];
    if (path.size() > depth) {
      EXPECT_GE(begin, path[depth].second) << event;
    }
    // The start of a run belongs to no step.
    const std::size_t parent = event["name"] == "start" ? 1 : depth;
    if (parent > 0) {
      ASSERT_GE(path.size(), parent) << event;
      EXPECT_GE(begin, path[parent - 1].first) << event;
      EXPECT_LE(end, path[parent - 1].second) << event;
    }
    path.resize(parent);
    path.emplace_back(begin, end);
    if (depth == 0) rows_of_runs[thread].push_back(event["args"]["rows"]);
    if (depth == 1) steps.insert(event["name"]);
    if (depth == 2) phases.insert(event["name"]);
  }
  EXPECT_EQ(named_threads, (std::set{0, 1}));
  for (const int thread : named_threads) EXPECT_EQ(rows_of_runs[thread], (std::vector{32, 8, 1}));
  std::set<std::string> expected_steps;
  for (const plan::Step& step : plan.steps) expected_steps.insert(step.name);
  EXPECT_EQ(steps, expected_steps);
  for (const char* phase : {"start", "embed", "prepare", "kernel, epilogue", "append", "attention", "append, attention",
                            "select", "wait"}) {
    EXPECT_TRUE(phases.contains(phase)) << phase;
  }
}

TEST(WriteTrace, NothingIsStillATrace) {
  const exec::Recorder recorder(5, 1);
  std::string text;
  write_trace(recorder, {}, [&](std::string_view piece) { text += piece; });
  EXPECT_EQ(json::parse(text)["traceEvents"].size(), 1u);
}

}  // namespace
}  // namespace woolly::bench
