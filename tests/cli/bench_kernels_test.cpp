#include <algorithm>
#include <nlohmann/json.hpp>

#include "cli/program.h"

namespace woolly::test {
namespace {

using BenchKernelsTest = CliTest;
using nlohmann::json;

TEST_F(BenchKernelsTest, BenchKernels_MeasuresEachTableThatIsAskedForWithoutAModel) {
  const std::vector<std::string> arguments = {"bench",     "--kernels", "--types", "Q8_0,F16", "--shapes",
                                              "64x256",    "--columns", "2,1",     "--isa",    "scalar",
                                              "--no-roof", "-r",        "2",       "-t",       "2"};
  std::vector<std::string> as_json = arguments, as_csv = arguments;
  as_json.push_back("--json");
  as_csv.insert(as_csv.end(), {"--csv", "--cold"});
  const Outcome outcome = woolly(as_json);
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  const json report = json::parse(outcome.out);
  EXPECT_TRUE(report["machine"].get<std::string>().ends_with(", 2 threads")) << report["machine"];
  EXPECT_EQ(report["weights"], "cached");
  EXPECT_EQ(report["command"],
            "woolly bench --kernels --types Q8_0,F16 --shapes 64x256 --columns 2,1 --isa scalar --no-roof -t 2 -r 2");
  ASSERT_EQ(report["rows"].size(), 4u);
  EXPECT_EQ(report["rows"][0]["type"], "Q8_0");
  EXPECT_EQ(report["rows"][0]["columns"], 2);
  EXPECT_EQ(report["rows"][3]["type"], "F16");
  EXPECT_EQ(report["rows"][3]["kernels"], "scalar");
  EXPECT_GT(report["rows"][3]["gops"], 0);
  EXPECT_EQ(report["rows"][3]["ops_share"], nullptr);

  const Outcome table = woolly(as_csv);
  ASSERT_EQ(table.status, 0) << table.err;
  EXPECT_TRUE(table.out.starts_with("machine,version,weights,type,")) << table.out;
  EXPECT_EQ(std::ranges::count(table.out, '\n'), 5);
  EXPECT_NE(table.out.find(",memory,Q8_0,64,256,2,scalar,"), std::string::npos) << table.out;
}

TEST_F(BenchKernelsTest, BenchKernels_MeasuresCalls) {
  const Outcome outcome = woolly({"bench", "--kernels", "--calls", "--isa", "scalar", "-r", "1", "--json"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  const json report = json::parse(outcome.out);
  EXPECT_EQ(report["command"], "woolly bench --kernels --calls --isa scalar -r 1");
  EXPECT_EQ(report["rows"][0]["kernel"], "rms_norm");
  EXPECT_EQ(report["rows"][0]["elements"], 16);
  EXPECT_GT(report["rows"][0]["ns"], 0);
}

TEST_F(BenchKernelsTest, BenchKernels_MeasuresAttention) {
  const std::vector<std::string> arguments = {"bench", "--kernels", "--attention", "--types",   "F16,Q8_0", "--heads",
                                              "32",    "--queries", "1,3",         "--keys",    "100",      "--isa",
                                              "scalar", "--no-roof", "-r",         "1",         "-t",       "2"};
  std::vector<std::string> as_json = arguments, as_csv = arguments;
  as_json.push_back("--json");
  as_csv.push_back("--csv");
  const Outcome outcome = woolly(as_json);
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  const json report = json::parse(outcome.out);
  EXPECT_EQ(report["keys_and_values"], "cached");
  EXPECT_EQ(report["command"],
            "woolly bench --kernels --attention --types F16,Q8_0 --heads 32 --queries 1,3 --keys 100 --isa scalar "
            "--no-roof -t 2 -r 1");
  ASSERT_EQ(report["rows"].size(), 4u);
  EXPECT_EQ(report["rows"][1]["type"], "F16");
  EXPECT_EQ(report["rows"][1]["queries"], 3);
  EXPECT_EQ(report["rows"][3]["kernels"], "scalar");
  EXPECT_GT(report["rows"][3]["gflops"], 0);
  EXPECT_EQ(report["rows"][3]["float_share"], nullptr);

  const Outcome table = woolly(as_csv);
  ASSERT_EQ(table.status, 0) << table.err;
  EXPECT_EQ(std::ranges::count(table.out, '\n'), 5);
  EXPECT_NE(table.out.find(",cached,Q8_0,32,100,3,scalar,"), std::string::npos) << table.out;
}

TEST_F(BenchKernelsTest, BenchKernels_WrongFlagsAreOneClearLine) {
  struct Case {
    std::vector<std::string> arguments;
    int status;
    std::vector<std::string> parts;  // of the message
  };
  const std::vector<Case> cases = {
      {{"--types", "Q4_Z"}, 2, {"--types", "\"Q4_Z\"", "Q4_K"}},
      {{"--types", "Q4_K,"}, 2, {"--types", "\"\"", "Q4_K"}},
      {{"--shapes", "0x5"}, 2, {"--shapes", "\"0x5\"", "ROWSxK"}},
      {{"--shapes", "64"}, 2, {"--shapes", "\"64\"", "ROWSxK"}},
      {{"--shapes", "64x"}, 2, {"--shapes", "\"64x\"", "ROWSxK"}},
      {{"--shapes", "64x64x64"}, 2, {"--shapes", "\"64x64x64\"", "ROWSxK"}},
      {{"--shapes", "64x99999999999999999999"}, 2, {"--shapes", "ROWSxK", "1048576"}},
      {{"--shapes", "31x32", "--types", "Q8_0,Q4_K"}, 1, {"31x32", "Q4_K", "multiples of 256"}},
      {{"--columns", "0"}, 2, {"--columns", "\"0\"", "from 1 to 512"}},
      {{"--columns", "1,513"}, 2, {"--columns", "\"513\"", "from 1 to 512"}},
      {{"--isa", "pentium"}, 2, {"--isa", "\"pentium\"", "allowed are scalar"}},
      {{"--blas", "--cold"}, 2, {"--blas", "--cold"}},
      {{"--calls", "--types", "F32"}, 2, {"--types", "--calls"}},
      {{"--attention", "--types", "Q4_K"}, 1, {"Q4_K", "allowed are F32, F16, BF16, Q8_0"}},
      {{"--attention", "--heads", "0"}, 2, {"--heads", "\"0\"", "from 1 to 1024"}},
      {{"--attention", "--queries", "4,129"}, 2, {"--queries", "\"129\"", "from 1 to 128"}},
      {{"--attention", "--keys", "x"}, 2, {"--keys", "\"x\"", "from 1 to 1048576"}},
      {{"--attention", "--columns", "1"}, 2, {"--columns", "--attention"}},
      {{"--attention", "--calls"}, 2, {"--calls", "--attention"}},
      {{"--keys", "1"}, 2, {"--keys", "--attention"}},
      {{"-p", "16"}, 2, {"-p", "--kernels"}},
      {{"--mmap"}, 2, {"--mmap", "--kernels"}},
      {{kModel}, 2, {"MODEL", "--kernels"}},
  };
  for (const Case& wrong : cases) {
    SCOPED_TRACE(testing::PrintToString(wrong.arguments));
    std::vector<std::string> arguments = {"bench", "--kernels"};
    arguments.insert(arguments.end(), wrong.arguments.begin(), wrong.arguments.end());
    expect_error(woolly(arguments), wrong.status, wrong.parts);
  }
  expect_error(woolly({"bench"}), 2, {"MODEL"});
  expect_error(woolly({"bench", kModel, "--types", "Q4_K"}), 2, {"--types", "--kernels"});
}

}  // namespace
}  // namespace woolly::test
