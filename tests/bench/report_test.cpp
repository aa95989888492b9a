#include "bench/report.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace woolly::bench {
namespace {

using nlohmann::json;

Report some_report() {
  Report report;
  report.machine = "Processor, 2 threads";
  report.model = "a \"model\".gguf";
  report.kernels = "scalar";
  report.n_threads = 2;
  report.roof_before = Roof{40e9, 900e9, 1U << 30U};
  report.roof_after = Roof{41e9, 910e9, 1U << 30U};
  report.rows = {{{bench::Test::Kind::kPrompt, 512}, {200, 0.01}, 0.65, {{"ik", 100, 2}, {"llama, cpp", 80, 2.5}}},
                 {{bench::Test::Kind::kGenerate, 64}, {36, 0.02}, std::nullopt, {{"ik", 30, 1.2}}}};
  report.errors = {"peer x failed"};
  return report;
}

TEST(Report, JsonHasTheKeysThatProgramsRelyOn) {
  const json parsed = json::parse(to_json(some_report(), {"0.1", "woolly bench", {2, 9000}}));
  EXPECT_EQ(parsed["machine"], "Processor, 2 threads");
  EXPECT_EQ(parsed["model"], "a \"model\".gguf");
  ASSERT_EQ(parsed["rows"].size(), 2u);
  EXPECT_EQ(parsed["rows"][0], json::parse(R"({"test": "pp512", "tokens_per_second": 200.0, "spread": 0.01,
      "roof_share": 0.65, "peers": {"ik": {"tokens_per_second": 100.0, "ratio": 2.0},
      "llama, cpp": {"tokens_per_second": 80.0, "ratio": 2.5}}})"));
  EXPECT_EQ(parsed["rows"][1]["roof_share"], nullptr);
  EXPECT_EQ(parsed["errors"], json({"peer x failed"}));
  EXPECT_EQ(parsed["load"], json::parse(R"({"seconds": 2.0, "bytes": 9000, "mapped_bytes": 0, "bytes_per_second": 4500.0})"));
  EXPECT_EQ(parsed["roof_before"]["read_bytes_per_second"], 40e9);
}

TEST(Report, CsvQuotesAndLeavesOutWhatIsNotThere) {
  EXPECT_EQ(to_csv(some_report(), {"0.1", "woolly bench x"}),
            "machine,version,kernels,model,test,tokens_per_second,spread,roof_share,command,"
            "ik,ik ratio,\"llama, cpp\",\"llama, cpp ratio\"\n"
            "\"Processor, 2 threads\",0.1,scalar,\"a \"\"model\"\".gguf\",pp512,200.0000,0.0100,0.6500,woolly bench x,"
            "100.0000,2.0000,80.0000,2.5000\n"
            "\"Processor, 2 threads\",0.1,scalar,\"a \"\"model\"\".gguf\",tg64,36.0000,0.0200,,woolly bench x,"
            "30.0000,1.2000,,\n");
}

TEST(Report, TextShowsRowsPeersAndRoofs) {
  const std::string text = to_text(some_report(), {"0.1", "", {2, 9'000'000'000}});
  for (const char* part : {"Processor, 2 threads", "pp512", "200.00", "65.0 %", "100.00 x 2.00", "llama, cpp", "tg64",
                           "reads 40.0 and 41.0 GB/s", "int8 900 and 910 GOPS",
                           "load: 9000.0 MB of weights in 2.00 s, 4.50 GB/s"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << " in\n" << text;
  }
  EXPECT_EQ(text.find("memory is short"), std::string::npos);
}

TEST(Report, TextSaysWhatStaysInAMappedFile) {
  const std::string text = to_text(some_report(), {"0.1", "", {0.02, 200'000, 9'000'000'000}});
  EXPECT_NE(text.find("load: 0.2 MB of weights in 0.02 s, 0.01 GB/s; 9000.0 MB stay in the mapped file\n"),
            std::string::npos)
      << text;
}

TEST(Report, TextHasRoomForLongNames) {
  Report report = some_report();
  report.rows[1].test = {bench::Test::Kind::kGenerate, 64, 131072, 16};
  const std::string text = to_text(report, {});
  EXPECT_NE(text.find("\npp512                200.00 "), std::string::npos) << text;
  EXPECT_NE(text.find("\ntg64x16@131072        36.00 "), std::string::npos) << text;
}

TEST(Report, TextSaysThatMemoryWasShort) {
  Report report = some_report();
  report.roof_after->bytes = 256U << 20U;
  EXPECT_NE(to_text(report, {}).find("256 MiB only"), std::string::npos) << to_text(report, {});
}

TEST(QuotedForShell, IsReadBackAsOneWord) {
  EXPECT_EQ(quoted_for_shell("-p=512,/a_b.c"), "-p=512,/a_b.c");
  for (const char* word : {"", "a b", "it's", "\"$x\" \\ `y`", "a\nb", "'"}) {
    const auto words = split_words(quoted_for_shell(word));
    ASSERT_TRUE(words) << word;
    EXPECT_EQ(words.value(), std::vector<std::string>{word});
  }
}

}  // namespace
}  // namespace woolly::bench
