#include <nlohmann/json.hpp>

#include "cli/program.h"
#include "support/shared.h"

namespace woolly::test {
namespace {

using BenchSpeculateTest = CliTest;
using nlohmann::json;

TEST_F(BenchSpeculateTest, Bench_ContinuesPromptsGreedilyAndBySampling) {
  write("story.txt", "Lily had a red ball. Lily had a blue ball. Lily had a");
  for (const std::vector<std::string>& draft :
       {std::vector<std::string>{}, {"--draft", shared("models/stories260K-Q4_0.gguf")}}) {
    std::vector<std::string> command = {"bench", kModel, "--speculate", "--prompt-file", "story.txt",
                                        "-n",    "40",   "-r",          "2",             "--json"};
    command.insert(command.end(), draft.begin(), draft.end());
    const Outcome outcome = woolly(command);
    ASSERT_EQ(outcome.status, 0) << outcome.err;
    EXPECT_EQ(outcome.err, "");
    const json report = json::parse(outcome.out);
    EXPECT_EQ(report["errors"], json::array());
    ASSERT_EQ(report["rows"].size(), 2U);
    for (const json& row : report["rows"]) {
      EXPECT_EQ(row["prompt"], "story");
      EXPECT_GT(row["prompt_tokens"], 10);
      EXPECT_EQ(row["generated_tokens"], 40);
      EXPECT_GT(row["off"], 0);
      EXPECT_GT(row["on"], 0);
      EXPECT_GT(row["ratio"], 0);
      EXPECT_LE(row["accepted"], row["drafted"]);
    }
    EXPECT_EQ(report["rows"][0]["decoding"], "greedy");
    EXPECT_EQ(report["rows"][1]["decoding"], "sampled");
  }
}

TEST_F(BenchSpeculateTest, Bench_ForcesAcceptance) {
  const Outcome outcome = woolly({"bench", kModel, "--speculate", "--accept", "0,1", "-n", "100", "-r", "1", "--csv"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(outcome.err, "");
  EXPECT_NE(outcome.out.find("prompt,decoding"), std::string::npos) << outcome.out;
  EXPECT_NE(outcome.out.find(",accept 0,greedy,64,100,"), std::string::npos) << outcome.out;
  EXPECT_NE(outcome.out.find(",accept 1,greedy,64,100,"), std::string::npos) << outcome.out;
  EXPECT_NE(outcome.out.find("--speculate --accept 0,1 -n 100 "), std::string::npos) << outcome.out;
}

TEST_F(BenchSpeculateTest, Bench_RefusesWhatDoesNotBelongToSpeculation) {
  expect_error(woolly({"bench", kModel, "--speculate"}), 1, {"--prompt-file", "--accept"});
  expect_error(woolly({"bench", kModel, "--speculate", "--accept", "0.5,2"}), 2, {"--accept", "\"2\"", "0 to 1"});
  expect_error(woolly({"bench", kModel, "--speculate", "--accept", "1", "-n", "1,2"}), 1, {"-n", "2 lengths"});
  expect_error(woolly({"bench", kModel, "--speculate", "--prompt-file", "none.txt"}), 1, {"none.txt"});
  expect_error(woolly({"bench", kModel, "--accept", "1"}), 2, {"--accept", "--speculate"});
  expect_error(woolly({"bench", kModel, "--speculate", "--accept", "1", "-p", "5"}), 2, {"--speculate", "-p"});
  expect_error(woolly({"bench", "--kernels", "--speculate", "--accept", "1"}), 2, {"--kernels"});
}

}  // namespace
}  // namespace woolly::test
