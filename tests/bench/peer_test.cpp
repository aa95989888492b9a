#include "bench/peer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "bench/bench.h"
#include "support/temp_dir.h"
#include "support/tiny_model.h"

namespace woolly::bench {
namespace {

using test::TempDir;
using Words = std::vector<std::string>;

constexpr bench::Test kPrompt{bench::Test::Kind::kPrompt, 16};
constexpr bench::Test kGenerate{bench::Test::Kind::kGenerate, 8};

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
  const auto peer = parse_peer("ik=/opt/ik/llama-bench -rtr 1 -x 'a=b c'");
  ASSERT_TRUE(peer) << peer.error().message;
  EXPECT_EQ(peer->name, "ik");
  EXPECT_EQ(peer->command, (Words{"/opt/ik/llama-bench", "-rtr", "1", "-x", "a=b c"}));
  for (const char* text : {"", "ik", "=program", "ik=", "ik= ", "ik=''", "ik='a"})
    EXPECT_FALSE(parse_peer(text)) << text;
}

TEST(ParseRate, FindsTheRowOfTheTest) {
  const std::string output =
      "loading\n[ {\"n_prompt\": 512, \"n_gen\": 0, \"avg_ts\": 1}, {\"n_prompt\": 16, \"n_gen\": 0, \"avg_ts\": "
      "3.5},\n"
      "{\"n_prompt\": 0, \"n_gen\": 8, \"avg_ts\": 7, \"samples\": [7]} ]\nbye\n";
  EXPECT_EQ(parse_rate(output, kPrompt).value(), 3.5);
  EXPECT_EQ(parse_rate(output, kGenerate).value(), 7);
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
  options.tests = {kPrompt, kGenerate};
  options.n_repetitions = 3;
  options.peers = {{"a", {good, "10"}}, {"a", {good, "20"}}, {"b", {program("bad", "exit 1")}}, {"c", {good, "5"}}};
  options.with_roof = false;
  const auto report = run_bench(**engine, model.value(), path, options);
  ASSERT_TRUE(report) << report.error().message;
  ASSERT_EQ(report->rows.size(), 2u);
  for (const Row& row : report->rows) {
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
  // In turn, three times for each of two tests; the one that fails comes once.
  EXPECT_TRUE(arguments().starts_with("10 -m " + path.string())) << arguments();
  const std::string all = arguments();
  EXPECT_EQ(std::ranges::count(all, '\n'), 2 * 3 * 3 + 1);
}

}  // namespace
}  // namespace woolly::bench
