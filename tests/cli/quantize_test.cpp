#include <thread>

#include "cli/program.h"
#include "support/shared.h"

namespace woolly::test {
namespace {

using QuantizeTest = CliTest;

TEST_F(QuantizeTest, Quantize_WritesAFileThatRuns) {
  const Outcome outcome = woolly({"quantize", kModel, "small.gguf", "--type", "q8_0"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(outcome.out, "");
  EXPECT_NE(outcome.err.find("small.gguf: Q8_0, "), std::string::npos) << outcome.err;
  EXPECT_EQ(woolly({"run", "small.gguf", "-p", "Once", "-n", "4", "--temp", "0"}).status, 0);
}

TEST_F(QuantizeTest, Quantize_LeavesWhatIsThere) {
  write("there.gguf", "precious");
  const Outcome outcome = woolly({"quantize", kModel, "there.gguf", "--type", "Q8_0"});
  EXPECT_EQ(outcome.status, 1);
  EXPECT_EQ(outcome.err, "woolly: error: there.gguf exists already, expected the name of a new file\n");
  EXPECT_EQ(read_file("there.gguf"), "precious");
}

TEST_F(QuantizeTest, Quantize_CtrlCLeavesNothing) {
  WOOLLY_NEEDS_SHARED("models/syn-llama-F32.gguf");
  std::filesystem::copy_file(shared("models/syn-llama-F32.gguf"), "model.gguf");
  write("stdin", "");
  Process process({WOOLLY_PROGRAM, "quantize", "model.gguf", "new.gguf", "--type", "IQ2_XXS"}, "stdin", "stdout", "stderr");
  const auto is_begun = [] {
    for (const auto& entry : std::filesystem::directory_iterator(".")) {
      if (entry.path().string().ends_with(".part")) return true;
    }
    return false;
  };
  while (!is_begun() && !std::filesystem::exists("new.gguf")) std::this_thread::yield();
  process.interrupt();
  if (process.wait() == 0) {
    EXPECT_TRUE(std::filesystem::exists("new.gguf"));  // it was done already
  }
  EXPECT_FALSE(is_begun());
}

/// Nothing is left of a file that could not be made.
TEST_F(QuantizeTest, Quantize_TellsWhatIsWrongAndLeavesNothing) {
  Outcome outcome = woolly({"quantize", kModel, "new.gguf", "--type", "Q9_K"});
  EXPECT_EQ(outcome.status, 2);
  EXPECT_NE(outcome.err.find("\"Q9_K\", expected one of F32, F16,"), std::string::npos) << outcome.err;
  ASSERT_EQ(woolly({"quantize", kModel, "q4.gguf", "--type", "Q4_0"}).status, 0);
  outcome = woolly({"quantize", "q4.gguf", "new.gguf", "--type", "Q8_0"});
  EXPECT_EQ(outcome.status, 1);
  EXPECT_NE(outcome.err.find("--requantize"), std::string::npos) << outcome.err;
  for (const auto& entry : std::filesystem::directory_iterator(".")) {
    EXPECT_EQ(entry.path().string().find("new.gguf"), std::string::npos) << entry.path();
  }
}

}  // namespace
}  // namespace woolly::test
