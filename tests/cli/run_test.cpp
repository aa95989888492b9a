#include <csignal>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <thread>

#include "cli/program.h"
#include "support/shared.h"

namespace woolly::test {
namespace {

using RunTest = CliTest;
namespace fs = std::filesystem;

constexpr const char* kPrompt = "Once upon a time";

TEST_F(RunTest, Run_GreedyTextsOfStoriesAreThoseOfTheReference) {
  const auto reference = nlohmann::json::parse(read_file(shared("models/reference-stories260K.json")));
  int n_texts = 0;
  for (const auto& model : reference["models"]) {
    if (model["file"] != "stories260K.gguf") continue;
    for (const auto& text : model["greedy"]) {
      const std::string n = std::to_string(text["gen_tokens"].size());
      const Outcome outcome = woolly({"run", kModel, "-p", text["prompt"], "-n", n, "--temp", "0"});
      EXPECT_EQ(outcome.status, 0) << outcome.err;
      EXPECT_EQ(outcome.out, text["text"].get<std::string>());
      ++n_texts;
    }
  }
  EXPECT_GT(n_texts, 0);
}

TEST_F(RunTest, Run_TextDoesNotDependOnThreadsOrPiecesOfThePrompt) {
  const std::string prompt =
      "Once upon a time, there was a little girl named Lily. She loved to play outside in the park. One day, she saw a "
      "big, red ball. She wanted to play with it, but it was too high. Her mom said, \"Lily, let us go home.\"";
  const auto text = [&](const char* threads, const char* chunk) {
    return woolly({"run", kModel, "-p", prompt, "-n", "100", "-t", threads, "--chunk", chunk, "--seed", "3"}).out;
  };
  const std::string expected = text("1", "512");
  EXPECT_FALSE(expected.empty());
  for (const char* threads : {"1", "2", "3"}) {
    for (const char* chunk : {"1", "7", "64", "512"})
      EXPECT_EQ(text(threads, chunk), expected) << threads << " " << chunk;
  }
}

TEST_F(RunTest, Run_DefaultModelIsTheSameForAnyThreadsAndPieces) {
  const fs::path model = users_store() / "smollm2-135m.gguf";
  if (!fs::exists(model)) {
    if (std::getenv("CI") != nullptr) FAIL() << "missing in CI: " << model;
    GTEST_SKIP() << "no " << model << "; scripts/model fetches it";
  }
  std::string prompt = "The history of the steam engine began";
  while (prompt.size() < 500) prompt += ", went on for many years";
  const auto text = [&](const char* threads, const char* chunk) {
    return woolly({"run", model.string(), "-p", prompt, "-n", "8", "--temp", "0", "-t", threads, "--chunk", chunk}).out;
  };
  const std::string expected = text("1", "512");
  EXPECT_FALSE(expected.empty());
  EXPECT_EQ(text("2", "512"), expected);
  for (const char* chunk : {"1", "7", "64"}) EXPECT_EQ(text("2", chunk), expected) << chunk;
}

TEST_F(RunTest, Run_TakesTheTextFromFlagFileOrStandardInput) {
  const std::string text = std::string(kPrompt) + "\n";
  write("prompt.txt", text);
  const std::string expected = woolly({"run", kModel, "-p", text, "-n", "20", "--temp", "0"}).out;
  EXPECT_FALSE(expected.empty());
  EXPECT_EQ(woolly({"run", kModel, "-f", "prompt.txt", "-n", "20", "--temp", "0"}).out, expected);
  EXPECT_EQ(woolly({"run", kModel, "-n", "20", "--temp", "0"}, text).out, expected);
  // No newline is stripped: it is a token that changes what follows.
  EXPECT_NE(woolly({"run", kModel, "-p", kPrompt, "-n", "20", "--temp", "0"}).out, expected);
}

TEST_F(RunTest, Run_StatisticsGoToStandardError) {
  const Outcome outcome = woolly({"run", kModel, "-p", kPrompt, "-n", "20", "--temp", "0"});
  EXPECT_NE(outcome.err.find("prompt 5 tokens"), std::string::npos) << outcome.err;
  EXPECT_NE(outcome.err.find("generated 20 tokens"), std::string::npos) << outcome.err;
  EXPECT_NE(outcome.err.find("tokens/s"), std::string::npos) << outcome.err;
  EXPECT_NE(outcome.err.find("load "), std::string::npos) << outcome.err;
  EXPECT_EQ(outcome.out.find("tokens/s"), std::string::npos) << outcome.out;
}

TEST_F(RunTest, Run_GeneratesNothingForZeroTokens) {
  const Outcome outcome = woolly({"run", kModel, "-p", kPrompt, "-n", "0"});
  EXPECT_EQ(outcome.status, 0);
  EXPECT_EQ(outcome.out, "");
}

TEST_F(RunTest, Run_StopsBeforeAStopStringThatSpansTokens) {
  const std::string whole = woolly({"run", kModel, "-p", kPrompt, "-n", "64", "--temp", "0"}).out;
  const std::string stop = "ily. She lov";
  ASSERT_NE(whole.find(stop), std::string::npos) << whole;
  const Outcome outcome =
      woolly({"run", kModel, "-p", kPrompt, "-n", "64", "--temp", "0", "--stop", "never", "--stop", stop});
  EXPECT_EQ(outcome.out, whole.substr(0, whole.find(stop)));
  EXPECT_NE(outcome.err.find("stop string"), std::string::npos) << outcome.err;
}

TEST_F(RunTest, Run_TakesStopStringsLiterally) {
  const std::string whole = woolly({"run", kModel, "-p", kPrompt, "-n", "30", "--temp", "0"}).out;
  EXPECT_EQ(woolly({"run", kModel, "-p", kPrompt, "-n", "30", "--temp", "0", "--stop", "{}", "--stop", "[a,was]"}).out,
            whole);
}

TEST_F(RunTest, Run_SameSeedGivesTheSameText) {
  const auto text = [&](const char* seed) {
    return woolly({"run", kModel, "-p", kPrompt, "-n", "40", "--temp", "1.5", "--seed", seed}).out;
  };
  EXPECT_EQ(text("11"), text("11"));
  EXPECT_NE(text("11"), text("12"));
}

TEST_F(RunTest, Run_TextIsTheSameWithDrafts) {
  const std::string prompt = "Lily had a red ball. Lily had a blue ball. Lily had a red ball. Lily had a";
  const std::vector<std::string> drafts[] = {
      {"--speculate", "lookup"}, {"--draft", kModel}, {"--draft", shared("models/stories260K-Q4_0.gguf")}};
  const std::vector<std::string> ways[] = {{"--temp", "0", "-n", "150"},
                                           {"--seed", "5", "-n", "100", "--chunk", "1"},
                                           {"--seed", "6", "-c", "120", "--repeat-penalty", "1.1", "--mmap"},
                                           {"--temp", "0", "-n", "150", "--stop", "park"}};
  for (const auto& way : ways) {
    std::vector<std::string> command = {"run", kModel, "-p", prompt};
    command.insert(command.end(), way.begin(), way.end());
    const auto with = [&](const std::vector<std::string>& more) {
      std::vector<std::string> whole = command;
      whole.insert(whole.end(), more.begin(), more.end());
      const Outcome outcome = woolly(whole);
      EXPECT_EQ(outcome.status, 0) << outcome.err;
      return outcome.out;
    };
    const std::string expected = with({"--speculate", "off"});
    EXPECT_FALSE(expected.empty());
    for (const auto& draft : drafts) EXPECT_EQ(with(draft), expected) << way[1] << " " << draft[1];
  }
}

TEST_F(RunTest, Run_RefusesDraftModelsOfAnotherVocabulary) {
  expect_error(woolly({"run", kModel, "-p", kPrompt, "--draft", shared("models/syn-llama-F16.gguf")}), 1,
               {"draft model", "2048", "512"});
  expect_error(woolly({"run", kModel, "-p", kPrompt, "--draft", "no-such-model"}), 1, {"no-such-model"});
  expect_error(woolly({"run", kModel, "-p", kPrompt, "--speculate", "always"}), 2, {"--speculate", "always", "lookup"});
}

TEST_F(RunTest, Run_EndsWithAFullContext) {
  const Outcome outcome = woolly({"run", kModel, "-p", kPrompt, "-c", "25", "--temp", "0"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_NE(outcome.err.find("prompt 5 tokens"), std::string::npos) << outcome.err;
  EXPECT_NE(outcome.err.find("generated 20 tokens"), std::string::npos) << outcome.err;
  EXPECT_NE(outcome.err.find("full context"), std::string::npos) << outcome.err;
}

TEST_F(RunTest, Run_RefusesAPromptThatIsLongerThanTheContext) {
  std::string prompt;
  while (prompt.size() < 20'000) prompt += "Once upon a time ";
  expect_error(woolly({"run", kModel, "-p", kPrompt, "-c", "4"}), 1, {"5 tokens", " 4 "});
  expect_error(woolly({"run", kModel, "-p", prompt}), 1, {"the prompt has", "2048"});
}

TEST_F(RunTest, Run_BeginsAnEmptyPromptWithBos) {
  const Outcome outcome = woolly({"run", kModel, "-p", "", "-n", "10", "--temp", "0"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_NE(outcome.err.find("prompt 1 tokens"), std::string::npos) << outcome.err;
  EXPECT_FALSE(outcome.out.empty());
}

TEST_F(RunTest, Run_EndsCleanlyOnCtrlC) {
  write("stdin", "");
  // Greedy text of this model does not end; this context would take many seconds to fill.
  Process process({WOOLLY_PROGRAM, "run", kModel, "-p", kPrompt, "--temp", "0", "-c", "1000000"}, "stdin", "stdout",
                  "stderr");
  while (!fs::exists("stdout") || fs::file_size("stdout") == 0) std::this_thread::yield();
  process.interrupt();
  EXPECT_EQ(process.wait(), 0);
  EXPECT_NE(read_file("stderr").find("interrupted"), std::string::npos) << read_file("stderr");
}

TEST_F(RunTest, Run_UserTextNeverTurnsIntoControlTokens) {
  const Outcome outcome = woolly({"run", kModel, "-p", "</s>", "-n", "1", "--temp", "0"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(outcome.err.find("prompt 2 tokens"), std::string::npos) << outcome.err;
}

}  // namespace
}  // namespace woolly::test
