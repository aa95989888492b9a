// --profile and --trace.
#include <nlohmann/json.hpp>
#include <set>

#include "cli/program.h"

namespace woolly::test {
namespace {

using ProfilingTest = CliTest;
using nlohmann::json;
namespace fs = std::filesystem;

constexpr const char* kSteps[] = {"start", "embed", "qkv", "attend", "attn_output", "gate_up", "down", "logits", "all"};

TEST_F(ProfilingTest, Run_ProfileGoesToStandardErrorAndChangesNoText) {
  const std::vector<std::string> run = {"run", kModel, "-p", "Once upon a time", "-n", "20", "--temp", "0", "-t", "2"};
  std::vector<std::string> profiled = run;
  profiled.insert(profiled.end(), {"--profile", "--trace", "trace.json"});
  const Outcome outcome = woolly(profiled);
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(outcome.out, woolly(run).out);
  EXPECT_NE(outcome.err.find("roofs: reads "), std::string::npos) << outcome.err;
  EXPECT_NE(outcome.err.find("\nprompt: 5 tokens in 1 runs"), std::string::npos) << outcome.err;
  EXPECT_NE(outcome.err.find("\ngeneration: 19 tokens in 19 runs"), std::string::npos) << outcome.err;
  for (const std::string step : kSteps) EXPECT_NE(outcome.err.find("\n" + step + " "), std::string::npos) << step;

  const json trace = json::parse(read_file("trace.json"));
  std::set<int> threads;
  for (const json& event : trace["traceEvents"]) threads.insert(event["tid"].get<int>());
  EXPECT_EQ(threads, (std::set{0, 1}));
}

TEST_F(ProfilingTest, Bench_ProfileHasTheStepsOfEachTest) {
  const std::vector<std::string> bench = {"bench", kModel, "-p", "16", "-n", "8", "-r", "2", "-t", "1", "--no-roof",
                                          "--profile"};
  const Outcome text = woolly(bench);
  ASSERT_EQ(text.status, 0) << text.err;
  EXPECT_NE(text.out.find("\npp16, prompt: 32 tokens in 2 runs"), std::string::npos) << text.out;
  EXPECT_NE(text.out.find("\ntg8, generation: 16 tokens in 16 runs"), std::string::npos) << text.out;

  std::vector<std::string> as_json = bench;
  as_json.push_back("--json");
  const Outcome outcome = woolly(as_json);
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  const json report = json::parse(outcome.out);
  EXPECT_TRUE(report["command"].get<std::string>().ends_with(" --profile")) << report["command"];
  for (std::size_t i = 0; i < 2; ++i) {
    const json& profile = report["rows"][i]["profile"];
    ASSERT_EQ(profile.size(), 1u);
    EXPECT_EQ(profile[0]["stage"], i == 0 ? "prompt" : "generation");
    double share = 0;
    for (const json& step : profile[0]["steps"]) share += step["share"].get<double>();
    EXPECT_NEAR(share, 1, 1e-9);
  }
}

TEST_F(ProfilingTest, Trace_OfAllTestsIsOneFile) {
  const Outcome outcome =
      woolly({"bench", kModel, "-p", "16", "-n", "8", "-r", "2", "-t", "1", "--no-roof", "--trace", "trace.json"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(outcome.out.find("qkv"), std::string::npos) << outcome.out;
  const json trace = json::parse(read_file("trace.json"));
  int n_runs = 0;
  for (const json& event : trace["traceEvents"]) {
    if (event["ph"] == "X" && event["cat"] == "run") ++n_runs;
  }
  EXPECT_EQ(n_runs, 2 * (1 + 8));
}

TEST_F(ProfilingTest, Trace_RefusedPlacesAreToldBeforeTheWork) {
  fs::create_directory("folder");
  for (const char* command : {"run", "bench"}) {
    expect_error(woolly({command, kModel, "-n", "3", "--trace", "folder"}), 1, {"folder", "directory"});
    expect_error(woolly({command, kModel, "-n", "3", "--trace", "nowhere/x"}), 1, {"nowhere/x", "No such file"});
    expect_error(woolly({command, kModel, "-n", "3", "--trace", ""}), 2, {"--trace", "empty"});
  }
}

TEST_F(ProfilingTest, Trace_LeavesNoPartOfAFile) {
  fs::create_directory("out");
  write("out/trace.json", "an older file");
  const std::string run = "woolly run smollm2:135m -p Once -n 50 --trace out/trace.json";
  const Outcome outcome = shell("ulimit -f 1; " + run);
  EXPECT_EQ(outcome.status, 1);
  EXPECT_NE(outcome.err.find("woolly: error: out/trace.json: File too large"), std::string::npos) << outcome.err;
  EXPECT_EQ(read_file("out/trace.json"), "an older file");
  EXPECT_EQ(shell(run).status, 0);
  EXPECT_NE(read_file("out/trace.json"), "an older file");
  EXPECT_EQ(std::distance(fs::directory_iterator("out"), {}), 1);
}

}  // namespace
}  // namespace woolly::test
