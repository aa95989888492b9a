#include "bench/peer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <span>

#include "bench/bench.h"
#include "support/temp_dir.h"
#include "support/tiny_model.h"

namespace woolly::bench {
namespace {

using test::TempDir;
using Words = std::vector<std::string>;

constexpr bench::Test kPrompt{bench::Test::Kind::kPrompt, 16};
constexpr bench::Test kGenerate{bench::Test::Kind::kGenerate, 8};
constexpr bench::Test kPromptAtDepth{bench::Test::Kind::kPrompt, 16, 300};
constexpr bench::Test kTogether{bench::Test::Kind::kGenerate, 8, 0, 4};
constexpr bench::Test kTogetherAtDepth{bench::Test::Kind::kGenerate, 8, 300, 4};

TEST(SplitWords, SplitsAsAShellDoes) {
  const std::pair<const char*, Words> cases[] = {
      {"", {}},
      {" \t\n ", {}},
      {"a", {"a"}},
      {"  a  b\tc\n", {"a", "b", "c"}},
      {"'a b' c", {"a b", "c"}},
      {"\"a b\" c", {"a b", "c"}},
      {"a\\ b c", {"a b", "c"}},
      {"a'b c'\"d e\"f", {"ab cd ef"}},
      {"''", {""}},
      {"a \"\" b", {"a", "", "b"}},
      {"'\\' \"\\\\\" \\\\", {"\\", "\\", "\\"}},
      {"\"\\\"\\$\\`\\n\"", {"\"$`\\n"}},
      {"'\"' \"'\" \\' \\\"", {"\"", "'", "'", "\""}},
      {"$HOME ~ * ;", {"$HOME", "~", "*", ";"}},
  };
  for (const auto& [text, words] : cases) {
    const auto split = split_words(text);
    ASSERT_TRUE(split) << text << ": " << split.error().message;
    EXPECT_EQ(split.value(), words) << text;
  }
}

TEST(SplitWords, RefusesWhatHasNoEnd) {
  for (const char* text : {"'a", "\"a", "a \"b\\\"", "a\\", "'"}) EXPECT_FALSE(split_words(text)) << text;
}

TEST(ParsePeer, TakesNameAndCommand) {
  const auto peer = parse_peer("ik=/opt/ik/llama-bench -rtr 1 -x 'a=b c'", Peer::Program::kBatchedBench);
  ASSERT_TRUE(peer) << peer.error().message;
  EXPECT_EQ(peer->name, "ik");
  EXPECT_EQ(peer->command, (Words{"/opt/ik/llama-bench", "-rtr", "1", "-x", "a=b c"}));
  EXPECT_EQ(peer->program, Peer::Program::kBatchedBench);
  for (const char* text : {"", "ik", "=program", "ik=", "ik= ", "ik=''", "ik='a"})
    EXPECT_FALSE(parse_peer(text, Peer::Program::kBench)) << text;
}

TEST(Peer, ProgramsMeasureWhatTheyCan) {
  const Peer bench{"a", {"a"}}, batched{"a", {"a"}, Peer::Program::kBatchedBench};
  const bench::Test at_depth{bench::Test::Kind::kGenerate, 8, 300};
  for (const bench::Test& test : {kPrompt, kGenerate, kPromptAtDepth, at_depth}) EXPECT_TRUE(bench.measures(test));
  for (const bench::Test& test : {kTogether, kTogetherAtDepth}) EXPECT_FALSE(bench.measures(test));
  for (const bench::Test& test : {kTogether, kTogetherAtDepth, at_depth}) EXPECT_TRUE(batched.measures(test));
  for (const bench::Test& test : {kPrompt, kGenerate, kPromptAtDepth}) EXPECT_FALSE(batched.measures(test));
}

TEST(ParseRate, FindsTheRowOfTheTest) {
  const std::string output =
      "loading\n[ {\"n_prompt\": 512, \"n_gen\": 0, \"avg_ts\": 1}, {\"n_prompt\": 16, \"n_gen\": 0, \"avg_ts\": "
      "3.5},\n"
      "{\"n_prompt\": 0, \"n_gen\": 8, \"avg_ts\": 7, \"samples\": [7]} ]\nbye\n";
  EXPECT_EQ(parse_rate(output, kPrompt).value(), 3.5);
  EXPECT_EQ(parse_rate(output, kGenerate).value(), 7);
}

TEST(ParseRate, FindsTheRowOfThePast) {
  const std::string output =
      "[{\"n_prompt\": 16, \"n_gen\": 0, \"n_depth\": 0, \"avg_ts\": 5},\n"
      "{\"n_prompt\": 16, \"n_gen\": 0, \"n_depth\": 300, \"avg_ts\": 4}]\n";
  EXPECT_EQ(parse_rate(output, kPrompt).value(), 5);
  EXPECT_EQ(parse_rate(output, kPromptAtDepth).value(), 4);
  EXPECT_FALSE(parse_rate("[{\"n_prompt\": 16, \"n_gen\": 0, \"avg_ts\": 5}]", kPromptAtDepth)) << "none of a past";
  EXPECT_FALSE(parse_rate("[{\"n_prompt\": 16, \"n_gen\": 0, \"n_depth\": 300, \"avg_ts\": 4}]", kPrompt));
}

/// As llama.cpp writes it to standard output, and ik_llama.cpp, with more around it, to standard error.
TEST(ParseBatchedRate, FindsTheRowOfTheTest) {
  const std::string output =
      "\nllama_batched_bench: n_kv_max = 2048, n_batch = 2048, n_ubatch = 512, flash_attn = -1, is_pp_shared = 0, "
      "is_tg_separate = 0, n_gpu_layers = -1, n_threads = 2, n_threads_batch = 2\n\n"
      "|    PP |     TG |    B |   N_KV |   T_PP s | S_PP t/s |   T_TG s | S_TG t/s |      T s |    S t/s |\n"
      "|-------|--------|------|--------|----------|----------|----------|----------|----------|----------|\n"
      "|     1 |      8 |    1 |      9 |    0.008 |   125.00 |    0.055 |   145.45 |    0.063 |   142.86 |\n"
      "|     1 |      8 |    4 |     36 |    0.013 |   307.69 |    0.094 |   340.43 |    0.107 |   336.45 |\n"
      "|   300 |      8 |    4 |   1232 |    1.204 |   996.68 |    0.110 |   290.91 |    1.314 |   937.60 |\n\n"
      "llama_print_timings:        load time =      94.37 ms\n";
  EXPECT_EQ(parse_batched_rate(output, kTogether).value(), 340.43);
  EXPECT_EQ(parse_batched_rate(output, kTogetherAtDepth).value(), 290.91);
}

TEST(ParseBatchedRate, RefusesWhatIsNotSuchATable) {
  const std::string header = "| PP | TG | B | S_TG t/s |\n";
  const std::pair<std::string, const char*> cases[] = {
      {"", "no table"},
      {"| 1 | 8 | 4 | 5 |\n", "no table"},
      {"| PP | TG | B | S_PP t/s |\n| 1 | 8 | 4 | 5 |\n", "no table"},
      {header, "no row for tg8x4"},
      {header + "| 1 | 8 | 2 | 5 |\n| 2 | 8 | 4 | 5 |\n| 1 | 9 | 4 | 5 |\n", "no row for tg8x4"},
      {header + "| 1 | 8 | 4 |\n| 1 | 8 | 4 | 5 | 6 |\n 1 | 8 | 4 | 5 |\n|||||\n||\n|\n", "no row for tg8x4"},
      {"| TG | B | S_TG t/s |\n| 8 | 4 | 5 |\n", "no row for tg8x4"},
      {header + "| 1 | 8 | 4 | 0.00 |\n", "no S_TG t/s above 0"},
      {header + "| 1 | 8 | 4 | 5 t/s |\n", "no S_TG t/s above 0"},
      {header + "| 1 | 8 | 4 | nan |\n", "no S_TG t/s above 0"},
  };
  for (const auto& [output, why] : cases) {
    const auto rate = parse_batched_rate(output, kTogether);
    ASSERT_FALSE(rate) << output;
    EXPECT_NE(rate.error().message.find(why), std::string::npos) << rate.error().message << " for " << output;
  }
}

TEST(ParseRate, RefusesWhatIsNotSuchAnArray) {
  const char* cases[] = {"",
                         "pp16: 5 t/s",
                         "[",
                         "[]",
                         "[1, null, [], \"n_prompt\"]",
                         "{\"n_prompt\": 16, \"n_gen\": 0, \"avg_ts\": 3.5}",
                         "[{\"n_prompt\": 16, \"n_gen\": 8, \"avg_ts\": 3.5}]",
                         "[{\"n_prompt\": \"16\", \"n_gen\": 0, \"avg_ts\": 3.5}]",
                         "[{\"n_prompt\": 16, \"n_gen\": 0}]",
                         "[{\"n_prompt\": 16, \"n_gen\": 0, \"avg_ts\": 0}]",
                         "[{\"n_prompt\": 16, \"n_gen\": 0, \"avg_ts\": null}]"};
  for (const char* output : cases) EXPECT_FALSE(parse_rate(output, kPrompt)) << output;
}

/// A program in place of llama-bench: writes its arguments to "arguments" and, after `before`, rows for its test with
/// the rate that is its first argument.
class FakePeer : public testing::Test {
 protected:
  std::string program(const std::string& name, const std::string& before) {
    const auto path =
        dir_.write(name, "#!/bin/sh\necho \"$@\" >> " + (dir_.path() / "arguments").string() + "\n" + before +
                             "\nrate=$1; while [ \"$1\" != -p ]; do shift; done\n"
                             "echo \"[{\\\"n_prompt\\\": $2, \\\"n_gen\\\": $4, \\\"avg_ts\\\": $rate}]\"\n");
    std::filesystem::permissions(path, std::filesystem::perms::owner_all);
    return path.string();
  }
  std::string arguments() {
    std::ifstream file(dir_.path() / "arguments");
    return {std::istreambuf_iterator<char>(file), {}};
  }

  TempDir dir_;
};

TEST_F(FakePeer, GetsTheArgumentsOfLlamaBench) {
  const Peer peer{"fake", {program("bench", ""), "12.5", "-fa", "1"}};
  const auto rate = run_peer(peer, "model file.gguf", kPrompt, 2);
  ASSERT_TRUE(rate) << rate.error().message;
  EXPECT_EQ(rate.value(), 12.5);
  EXPECT_EQ(run_peer(peer, "m", kGenerate, 3).value(), 12.5);
  EXPECT_EQ(arguments(),
            "12.5 -fa 1 -m model file.gguf -p 16 -n 0 -t 2 -r 1 -o json\n"
            "12.5 -fa 1 -m m -p 0 -n 8 -t 3 -r 1 -o json\n");
}

TEST_F(FakePeer, GetsTheDepthWhereThereIsOne) {
  const Peer peer{"fake", {program("bench", ""), "5"}};
  EXPECT_FALSE(run_peer(peer, "m", kPromptAtDepth, 1)) << "its row has no depth";
  EXPECT_EQ(arguments(), "5 -m m -p 16 -n 0 -d 300 -t 1 -r 1 -o json\n");
}

/// Each sequence's context is a whole number of 256.
TEST_F(FakePeer, GetsTheArgumentsOfLlamaBatchedBench) {
  const std::string table =
      "echo '|PP|TG|B|S_TG t/s|' >&2; echo \"|$6|$8|${10}|7.5|\" >&2; exit 0";
  const Peer peer{"fake", {program("batched", table)}, Peer::Program::kBatchedBench};
  EXPECT_EQ(run_peer(peer, "m", kTogether, 2).value(), 7.5);
  EXPECT_EQ(run_peer(peer, "m", kTogetherAtDepth, 2).value(), 7.5);
  EXPECT_EQ(run_peer(peer, "m", {bench::Test::Kind::kGenerate, 8, 504, 1}, 2).value(), 7.5);
  EXPECT_EQ(arguments(),
            "-m m -c 1024 -npp 1 -ntg 8 -npl 4 -t 2\n"
            "-m m -c 2048 -npp 300 -ntg 8 -npl 4 -t 2\n"
            "-m m -c 512 -npp 504 -ntg 8 -npl 1 -t 2\n");
}

TEST_F(FakePeer, FailuresNamePeerAndReason) {
  const std::pair<Peer, Words> cases[] = {
      {{"lost", {(dir_.path() / "none").string()}}, {"lost: ", "none"}},
      {{"bad", {program("bad", "echo 'first line' >&2; echo 'cannot load\n' >&2; exit 7")}},
       {"bad: ", "status 7", ": cannot load"}},
      {{"killed", {program("killed", "kill -9 $$")}}, {"killed: ", "signal 9"}},
      {{"mute", {program("mute", "exit 0")}}, {"mute: ", "no JSON array"}},
  };
  for (const auto& [peer, parts] : cases) {
    const auto rate = run_peer(peer, "m", kPrompt, 1);
    ASSERT_FALSE(rate) << peer.name;
    for (const std::string& part : parts) {
      EXPECT_NE(rate.error().message.find(part), std::string::npos) << part << " in " << rate.error().message;
    }
    EXPECT_EQ(rate.error().message.find('\n'), std::string::npos) << rate.error().message;
  }
}

TEST_F(FakePeer, BestCommandOfANameCountsAndOnesThatFailDoNotStopOurs) {
  const auto engine = Engine::create({.n_threads = 2});
  ASSERT_TRUE(engine);
  const auto path = dir_.write("tiny.gguf", test::TinyModel{}.build().build());
  const auto model = Model::load(**engine, path);
  ASSERT_TRUE(model) << model.error().message;
  const std::string good = program("good", "");
  BenchOptions options;
  const std::string batched = program("batched", "echo '|PP|TG|B|S_TG t/s|'; echo \"|1|8|4|30|\"; exit 0");
  options.tests = {kPrompt, kGenerate, kTogether};
  options.n_repetitions = 3;
  options.peers = {{"a", {good, "10"}}, {"a", {good, "20"}}, {"b", {program("bad", "exit 1")}}, {"c", {good, "5"}},
                   {"a", {batched}, Peer::Program::kBatchedBench}};
  options.with_roof = false;
  const auto report = run_bench(**engine, model.value(), path, options);
  ASSERT_TRUE(report) << report.error().message;
  ASSERT_EQ(report->rows.size(), 3u);
  const Row& together = report->rows[2];
  ASSERT_EQ(together.peers.size(), 1u);
  EXPECT_EQ(together.peers[0].name, "a");
  EXPECT_EQ(together.peers[0].tokens_per_second, 30);
  for (const Row& row : std::span(report->rows).first(2)) {
    EXPECT_GT(row.ours.median, 0);
    EXPECT_FALSE(row.roof_share);
    ASSERT_EQ(row.peers.size(), 2u);
    EXPECT_EQ(row.peers[0].name, "a");
    EXPECT_EQ(row.peers[0].tokens_per_second, 20);
    EXPECT_EQ(row.peers[0].ratio, row.ours.median / 20);
    EXPECT_EQ(row.peers[1].name, "c");
    EXPECT_EQ(row.peers[1].ratio, row.ours.median / 5);
  }
  ASSERT_EQ(report->errors.size(), 1u) << "a peer that fails is not tried again";
  EXPECT_NE(report->errors[0].find("b: "), std::string::npos) << report->errors[0];
  // In turn, three times for each of two tests; the one that fails comes once, the one for several sequences three times.
  EXPECT_TRUE(arguments().starts_with("10 -m " + path.string())) << arguments();
  const std::string all = arguments();
  EXPECT_EQ(std::ranges::count(all, '\n'), 2 * 3 * 3 + 1 + 3);
}

}  // namespace
}  // namespace woolly::bench
