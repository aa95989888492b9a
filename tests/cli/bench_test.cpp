#include <nlohmann/json.hpp>

#include "cli/program.h"

namespace woolly::test {
namespace {

using BenchTest = CliTest;
using nlohmann::json;

TEST_F(BenchTest, Bench_JsonHasARowForEachTestWithItsShareOfTheRoof) {
  const Outcome outcome = woolly({"bench", kModel, "-p", "16,40", "-n", "8", "-r", "2", "-t", "2", "--json"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  const json report = json::parse(outcome.out);
  EXPECT_TRUE(report["machine"].get<std::string>().ends_with(", 2 threads")) << report["machine"];
  EXPECT_EQ(report["model"], "smollm2-135m.gguf");
  ASSERT_EQ(report["rows"].size(), 3u);
  const char* names[] = {"pp16", "pp40", "tg8"};
  for (std::size_t i = 0; i < 3; ++i) {
    const json& row = report["rows"][i];
    EXPECT_EQ(row["test"], names[i]);
    EXPECT_GT(row["tokens_per_second"], 0);
    EXPECT_GE(row["spread"], 0);
    EXPECT_GT(row["roof_share"], 0);
    EXPECT_EQ(row["peers"], json::object());
  }
  EXPECT_GT(report["load"]["bytes_per_second"], 0);
  EXPECT_GT(report["roof_before"]["read_bytes_per_second"], 0);
  EXPECT_GT(report["roof_after"]["integer_ops_per_second"], 0);
}

TEST_F(BenchTest, Bench_ComparesWithPeersAndTellsOfOnesThatFail) {
  write("peer.sh",
        "echo \"$@\" > arguments\nwhile [ \"$1\" != -p ]; do shift; done\n"
        "echo \"[{\\\"n_prompt\\\": $2, \\\"n_gen\\\": $4, \\\"avg_ts\\\": 2.5}]\"\n");
  const Outcome outcome = woolly({"bench", kModel, "-p", "16", "-n", "0", "-r", "1", "-t", "1", "--no-roof", "--json",
                                  "--peer", "fake=sh peer.sh 'an argument'", "--peer", "lost=./no-such-program"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_NE(outcome.err.find("lost: ./no-such-program"), std::string::npos) << outcome.err;
  const json report = json::parse(outcome.out);
  ASSERT_EQ(report["rows"].size(), 1u);
  const json& row = report["rows"][0];
  EXPECT_EQ(row["roof_share"], nullptr);
  ASSERT_EQ(row["peers"].size(), 1u);
  EXPECT_EQ(row["peers"]["fake"]["tokens_per_second"], 2.5);
  EXPECT_DOUBLE_EQ(row["peers"]["fake"]["ratio"].get<double>(), row["tokens_per_second"].get<double>() / 2.5);
  EXPECT_TRUE(read_file("arguments").starts_with("an argument -m ")) << read_file("arguments");
  EXPECT_TRUE(read_file("arguments").ends_with("smollm2-135m.gguf -p 16 -n 0 -t 1 -r 1 -o json\n"));
}

/// Depths come outermost, so that a peer that knows none is left out from there on.
TEST_F(BenchTest, Bench_RowsOfDepthsAndBatches) {
  write("peer.sh",
        "case \"$*\" in *-d*) echo 'unknown: -d' >&2; exit 1; esac\nwhile [ \"$1\" != -p ]; do shift; done\n"
        "echo \"[{\\\"n_prompt\\\": $2, \\\"n_gen\\\": $4, \\\"avg_ts\\\": 2.5}]\"\n");
  write("batched.sh", "while [ \"$1\" != -npp ]; do shift; done\necho '|PP|TG|B|S_TG t/s|'\necho \"|$2|$4|$6|1.5|\"\n");
  const Outcome outcome =
      woolly({"bench", kModel, "-p", "16", "-n", "4", "-d", "0,20", "-b", "1,3", "-r", "1", "-t", "1", "--no-roof", "--json",
              "--peer", "fake=sh peer.sh", "--batched-peer", "fake=sh batched.sh"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_NE(outcome.err.find("fake: sh ended with status 1: unknown: -d (left out from pp16@20 on)"), std::string::npos)
      << outcome.err;
  const json report = json::parse(outcome.out);
  const std::pair<const char*, double> rows[] = {{"pp16", 2.5},    {"tg4", 2.5},    {"tg4x3", 1.5},
                                                 {"pp16@20", 0.0}, {"tg4@20", 1.5}, {"tg4x3@20", 1.5}};
  ASSERT_EQ(report["rows"].size(), std::size(rows));
  for (std::size_t i = 0; i < std::size(rows); ++i) {
    const auto& [name, rate] = rows[i];
    const json& row = report["rows"][i];
    EXPECT_EQ(row["test"], name);
    EXPECT_GT(row["tokens_per_second"], 0);
    ASSERT_EQ(row["peers"].size(), rate > 0 ? 1U : 0U) << name;
    if (rate == 0) continue;
    EXPECT_EQ(row["peers"]["fake"]["tokens_per_second"], rate) << name;
  }
  const std::string command = report["command"];
  EXPECT_NE(command.find(" -d 0,20 -b 1,3 "), std::string::npos) << command;
  EXPECT_NE(command.find(" --peer 'fake=sh peer.sh' --batched-peer 'fake=sh batched.sh'"), std::string::npos) << command;
}

TEST_F(BenchTest, Bench_DepthsAndBatchesHaveRanges) {
  expect_error(woolly({"bench", kModel, "-d", "-1"}), 2, {"-d", "-1", "0 to 1048576"});
  expect_error(woolly({"bench", kModel, "-d", "0,"}), 2, {"-d", "0,", "0 to 1048576"});
  expect_error(woolly({"bench", kModel, "-b", "0"}), 2, {"-b", "0", "1 to 8192"});
  expect_error(woolly({"bench", kModel, "-p", "0", "-n", "1", "-b", "513"}), 1, {"tg1x513", "512"});
}

TEST_F(BenchTest, Bench_RefusesToMeasureNothing) {
  expect_error(woolly({"bench", kModel, "-p", "0", "-n", "0"}), 1, {"-p", "-n"});
}

}  // namespace
}  // namespace woolly::test
