#include "cli/program.h"

namespace woolly::test {
namespace {

using MainTest = CliTest;

constexpr const char* kCommands[] = {"run", "info", "plan", "tokenize", "logits", "perplexity", "imatrix", "quantize", "serve", "bench"};

TEST_F(MainTest, Main_PrintsHelpWithoutArguments) {
  const Outcome outcome = woolly({});
  EXPECT_EQ(outcome.status, 0);
  EXPECT_EQ(outcome.err, "");
  for (const char* command : kCommands) EXPECT_NE(outcome.out.find(command), std::string::npos) << command;
  EXPECT_EQ(woolly({"--help"}).out, outcome.out);
}

TEST_F(MainTest, Main_EveryCommandHasHelpWithExamples) {
  for (const char* command : kCommands) {
    const Outcome outcome = woolly({command, "--help"});
    EXPECT_EQ(outcome.status, 0) << command;
    EXPECT_EQ(outcome.err, "") << command;
    EXPECT_NE(outcome.out.find("Examples:\n  woolly "), std::string::npos) << outcome.out;
  }
}

TEST_F(MainTest, Main_VersionNamesTheKernels) {
  const Outcome outcome = shell("WOOLLY_DISABLE_SIMD=1 woolly --version");
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_TRUE(outcome.out.starts_with("woolly ")) << outcome.out;
  EXPECT_NE(outcome.out.find("scalar kernels"), std::string::npos) << outcome.out;
}

TEST_F(MainTest, Main_RefusesAnUnknownIsa) {
  for (const char* command : {"woolly --version", "woolly run smollm2:135m -p a -n 1"}) {
    expect_error(shell(std::string("WOOLLY_ISA=pentium ") + command), 1, {"WOOLLY_ISA", "pentium"});
  }
}

struct WrongUsage {
  std::vector<std::string> arguments;
  std::vector<std::string> parts;  // of the message
};

TEST_F(MainTest, Main_WrongUsageIsStatus2AndOneLine) {
  const std::vector<WrongUsage> cases = {
      {{"walk"}, {"walk"}},
      {{"run"}, {"MODEL"}},
      {{"run", kModel, "more"}, {"more"}},
      {{"run", kModel, "--bogus"}, {"--bogus"}},
      {{"run", kModel, "-p"}, {"-p"}},
      {{"run", kModel, "-p", "a", "-f", "b"}, {"-p", "-f"}},
      {{"run", kModel, "-n", "many"}, {"-n", "\"many\""}},
      {{"run", kModel, "-n", "-1"}, {"-n", "-1", "at least 0"}},
      {{"run", kModel, "-n", "1.5"}, {"-n", "\"1.5\""}},
      {{"run", kModel, "-n", "99999999999999999999"}, {"-n", "99999999999999999999", "at most 2147483647"}},
      {{"run", kModel, "-t", "0"}, {"-t", "0", "at least 1 and at most 512"}},
      {{"bench", kModel, "-p", "1,x"}, {"-p", "1,x"}},
      {{"bench", kModel, "-n", ""}, {"-n"}},
      {{"bench", kModel, "-r", "0"}, {"-r", "at least 1"}},
      {{"bench", kModel, "--peer", "program"}, {"--peer", "program", "NAME="}},
      {{"bench", kModel, "--peer", "a='b"}, {"--peer", "'"}},
      {{"bench", kModel, "--json", "--csv"}, {"--json", "--csv"}},
      {{"run", kModel, "-c", "0"}, {"-c", "0", "at least 1"}},
      {{"run", kModel, "-c", "1073741825"}, {"-c", "1073741825", "at most 1073741824"}},
      {{"run", kModel, "--chunk", "0"}, {"--chunk", "0", "at least 1 and at most 8192"}},
      {{"run", kModel, "--chunk", "8193"}, {"--chunk", "8193", "at least 1 and at most 8192"}},
      {{"run", kModel, "--kv-type", "f64"}, {"--kv-type", "f64", "f32, f16, bf16 or q8_0"}},
      {{"run", kModel, "--temp", "-0.5"}, {"--temp", "-0.5", "at least 0"}},
      {{"run", kModel, "--temp", "inf"}, {"--temp", "inf", "at least 0, finite"}},
      {{"run", kModel, "--temp", "nan"}, {"--temp", "nan", "at least 0"}},
      {{"run", kModel, "--temp", "warm"}, {"--temp", "\"warm\"", "number"}},
      {{"run", kModel, "--top-k", "-5"}, {"--top-k", "-5", "at least 0"}},
      {{"run", kModel, "--top-p", "0"}, {"--top-p", "0", "above 0 and at most 1"}},
      {{"run", kModel, "--min-p", "1.5"}, {"--min-p", "1.5", "at least 0 and at most 1"}},
      {{"run", kModel, "--repeat-penalty", "0"}, {"--repeat-penalty", "0", "above 0"}},
      {{"run", kModel, "--seed", "-1"}, {"--seed", "-1", "at least 0"}},
      {{"run", kModel, "--stop", ""}, {"--stop", "empty"}},
      {{"logits", kModel, "-o", "x"}, {"--tokens"}},
      {{"logits", kModel, "--tokens", "1"}, {"-o"}},
      {{"logits", kModel, "--tokens", "1", "-o", ""}, {"-o", "empty"}},
      {{"logits", kModel, "--tokens", "1,,2", "-o", "x"}, {"--tokens", "\"\""}},
      {{"logits", kModel, "--tokens", "1,-2", "-o", "x"}, {"--tokens", "\"-2\"", "at least 0"}},
      {{"logits", kModel, "--tokens", "1,x", "-o", "x"}, {"--tokens", "\"x\""}},
      {{"perplexity", kModel, "-c", "1", "-f", "x"}, {"-c", "1", "at least 2"}},
      {{"perplexity", kModel, "-c", "1073741825", "-f", "x"}, {"-c", "1073741825", "at most 1073741824"}},
      {{"perplexity", kModel, "--tokens", "1,2", "-f", "x"}, {"--tokens", "-f"}},
  };
  for (const WrongUsage& usage : cases) {
    SCOPED_TRACE(testing::PrintToString(usage.arguments));
    expect_error(woolly(usage.arguments), 2, usage.parts);
  }
}

TEST_F(MainTest, Main_EndsQuietlyWhenTheReaderGoes) {
  const Outcome outcome =
      shell("{ woolly run smollm2:135m -p 'Once upon a time' -n 200; echo $? >status; } | head -c 1");
  EXPECT_EQ(outcome.err, "");
  EXPECT_EQ(read_file("status"), "0\n");
}

TEST_F(MainTest, Main_TellsThatStandardOutputIsFull) {
  if (!std::filesystem::exists("/dev/full")) GTEST_SKIP() << "no /dev/full";
  expect_error(shell("woolly info smollm2:135m >/dev/full"), 1, {"standard output"});
}

TEST_F(MainTest, Main_SaysThatItWaitsToTerminalsOnly) {
  const Outcome outcome = shell("woolly tokenize smollm2:135m --ids </dev/null");
  EXPECT_EQ(outcome.status, 0);
  EXPECT_EQ(outcome.err, "");
}

TEST_F(MainTest, Main_FilesNeverTakeThePlaceOfClosedStreams) {
  expect_error(shell("woolly tokenize smollm2:135m <&-"), 1, {"standard input: Bad file descriptor"});
  expect_error(shell("woolly info smollm2:135m >&-"), 1, {"standard output: Bad file descriptor"});
}

}  // namespace
}  // namespace woolly::test
