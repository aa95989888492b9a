#include <sstream>

#include "cli/program.h"

namespace woolly::test {
namespace {

class ExamplesTest : public CliTest, public testing::WithParamInterface<const char*> {};

/// The lines of a command's help that follow "Examples:".
std::vector<std::string> examples_in(const std::string& help) {
  std::vector<std::string> examples;
  std::istringstream lines(help);
  bool is_example = false;
  for (std::string line; std::getline(lines, line);) {
    if (is_example && line.starts_with("  ")) examples.push_back(line.substr(2));
    is_example = is_example || line == "Examples:";
  }
  return examples;
}

TEST_P(ExamplesTest, Help_ExamplesWork) {
  write("story.txt", "Once upon a time, there was a little girl named Lily.\n");
  const std::vector<std::string> examples = examples_in(woolly({GetParam(), "--help"}).out);
  EXPECT_FALSE(examples.empty());
  for (const std::string& example : examples) {
    const Outcome outcome = shell(example);
    EXPECT_EQ(outcome.status, 0) << example << "\n" << outcome.err;
    EXPECT_TRUE(!outcome.out.empty() || std::filesystem::exists("logits.f32") || std::filesystem::exists("imatrix.gguf") ||
                std::filesystem::exists("smollm2-q4.gguf")) << example;
  }
}

INSTANTIATE_TEST_SUITE_P(Commands, ExamplesTest,
                         testing::Values("run", "chat", "info", "plan", "tokenize", "logits", "perplexity", "imatrix", "quantize", "bench"),
                         [](const auto& command) { return std::string(command.param); });

}  // namespace
}  // namespace woolly::test
