#include "os/process.h"

#include <gtest/gtest.h>

#include <csignal>

#include "support/temp_dir.h"

namespace woolly::os {
namespace {

ProcessEnd shell(const std::string& script) {
  auto end = run_process({"sh", "-c", script});
  EXPECT_TRUE(end) << end.error().message;
  return end ? std::move(end).value() : ProcessEnd{};
}

TEST(RunProcess, GivesStatusAndWhatIsWritten) {
  const ProcessEnd end = shell("echo out; echo err >&2; exit 3");
  EXPECT_EQ(end.status, 3);
  EXPECT_EQ(end.output, "out\n");
  EXPECT_EQ(end.errors, "err\n");
}

TEST(RunProcess, PassesArgumentsAsTheyAre) {
  const auto end = run_process({"printf", "%s|", "a b", "", "\"$HOME\"", "*", "\\n"});
  ASSERT_TRUE(end) << end.error().message;
  EXPECT_EQ(end->output, "a b||\"$HOME\"|*|\\n|");
}

TEST(RunProcess, GivesNothingToRead) { EXPECT_EQ(shell("cat").output, ""); }

TEST(RunProcess, TellsTheSignalThatEndedIt) { EXPECT_EQ(shell("kill -9 $$").status, -SIGKILL); }

TEST(RunProcess, PipesBreakAsUsualThoughThisProgramIgnoresThem) {
  const auto before = std::signal(SIGPIPE, SIG_IGN);
  EXPECT_EQ(shell("kill -PIPE $$").status, -SIGPIPE);
  std::signal(SIGPIPE, before);
}

TEST(RunProcess, TakesMoreThanAPipeHolds) {
  const ProcessEnd end = shell("head -c 1000000 /dev/zero; head -c 100000 /dev/zero >&2; echo end >&2");
  EXPECT_EQ(end.output.size(), 1000000u);
  EXPECT_EQ(end.errors.size(), 65536u);
  EXPECT_TRUE(end.errors.ends_with("end\n"));
}

TEST(RunProcess, RefusesOutputWithoutEnd) {
  const auto end = run_process({"sh", "-c", "head -c 17000000 /dev/zero"});
  ASSERT_FALSE(end);
  EXPECT_EQ(end.error().code, ErrorCode::kLimitExceeded);
}

TEST(RunProcess, NamesAProgramThatIsNotThere) {
  const test::TempDir dir;
  for (const std::string& name : {std::string("no-such-program-of-woolly"), (dir.path() / "none").string()}) {
    const auto end = run_process({name});
    ASSERT_FALSE(end);
    EXPECT_EQ(end.error().code, ErrorCode::kNotFound);
    EXPECT_NE(end.error().message.find(name), std::string::npos) << end.error().message;
  }
}

TEST(RunProcess, NamesAFileThatIsNoProgram) {
  const test::TempDir dir;
  const auto path = dir.write("text", "hello");
  const auto end = run_process({path.string()});
  ASSERT_FALSE(end);
  EXPECT_EQ(end.error().code, ErrorCode::kIo);
  EXPECT_NE(end.error().message.find(path.string()), std::string::npos) << end.error().message;
}

}  // namespace
}  // namespace woolly::os
