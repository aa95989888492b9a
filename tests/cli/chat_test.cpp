#include <sys/stat.h>

#include <algorithm>
#include <fstream>
#include <functional>
#include <sstream>
#include <thread>

#include "cli/program.h"
#include "support/shared.h"
#include "support/with_template.h"

namespace woolly::test {
namespace {

namespace fs = std::filesystem;

/// stories260K with a template, as chat.gguf.
class ChatTest : public CliTest {
 protected:
  void SetUp() override {
    CliTest::SetUp();
    if (!IsSkipped()) write_model(kPlainTemplate);
  }
  static void write_model(std::string_view text) {
    const std::vector<std::byte> bytes = with_template(shared("models/stories260K.gguf"), text);
    std::ofstream("chat.gguf", std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  }

  Outcome chat(const std::vector<std::string>& lines, const std::vector<std::string>& flags) {
    std::string input;
    for (const std::string& line : lines) input += line + "\n";
    std::vector<std::string> command = {"chat", "chat.gguf", "--temp", "0"};
    command.insert(command.end(), flags.begin(), flags.end());
    return woolly(command, input);
  }
};

std::string with_newline(std::string text) {
  if (!text.empty() && text.back() != '\n') text += '\n';
  return text;
}

/// The numbers that follow `word` in `text`.
std::vector<int> numbers_after(const std::string& word, const std::string& text) {
  std::vector<int> numbers;
  for (std::size_t at = text.find(word); at != std::string::npos; at = text.find(word, at + 1)) {
    numbers.push_back(std::atoi(text.c_str() + at + word.size()));
  }
  return numbers;
}

TEST_F(ChatTest, Chat_AnswersAsRunContinuesTheWholeText) {
  const std::vector<std::string> lines = {"Tell me of Lily.", "", "And of her red ball, her red ball?", "Why?"};
  std::string text = "system: Be brief.\n", expected;
  for (const std::string& line : lines) {
    if (line.empty()) continue;
    text += "user: " + line + "\nassistant:";
    const std::string answer = woolly({"run", "chat.gguf", "-p", text, "-n", "24", "--temp", "0"}).out;
    EXPECT_FALSE(answer.empty());
    expected += with_newline(answer);
    text.resize(text.size() - std::string_view("assistant:").size());
    text += "assistant: " + answer + "\n";
  }
  const std::vector<std::string> ways[] = {
      {}, {"--speculate", "off"}, {"--draft", shared("models/stories260K-Q4_0.gguf")}, {"--chunk", "3", "--mmap"}};
  for (const auto& way : ways) {
    std::vector<std::string> flags = {"-n", "24", "--system", "Be brief."};
    flags.insert(flags.end(), way.begin(), way.end());
    const Outcome outcome = chat(lines, flags);
    EXPECT_EQ(outcome.status, 0) << outcome.err;
    EXPECT_EQ(outcome.out, expected) << (way.empty() ? "" : way[1]);
    EXPECT_EQ(outcome.err, "");
  }
}

TEST_F(ChatTest, Chat_OnlyWhatIsNewGoesThroughTheModel) {
  std::string system;
  for (int i = 0; i < 20; ++i) system += "There was a little girl named Lily. ";
  const Outcome outcome = chat({"Who?", "And then?", "Why?"}, {"-n", "16", "--system", system, "--verbose"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  const std::vector<int> kept = numbers_after("kept ", outcome.err), run = numbers_after("prompt ", outcome.err);
  ASSERT_EQ(kept.size(), 3U) << outcome.err;
  ASSERT_EQ(run.size(), 3U) << outcome.err;
  EXPECT_EQ(kept[0], 0);
  EXPECT_GT(run[0], 150);
  for (const std::size_t turn : {1U, 2U}) {
    EXPECT_GE(kept[turn], kept[turn - 1] + run[turn - 1]) << outcome.err;
    EXPECT_LT(run[turn], 40) << outcome.err;
  }
}

TEST_F(ChatTest, Chat_CtrlCEndsTheAnswerAndNotTheProgram) {
  ASSERT_EQ(::mkfifo("stdin", 0600), 0);
  // Greedy text of this model does not end; this context would take many seconds to fill.
  Process process({WOOLLY_PROGRAM, "chat", "chat.gguf", "--temp", "0", "-c", "1000000", "--verbose"}, "stdin", "stdout",
                  "stderr");
  std::ofstream input("stdin");
  const auto wait_until = [](const std::function<bool()>& is_so) {
    while (!is_so()) std::this_thread::yield();
  };
  const auto size = [] { return fs::exists("stdout") ? fs::file_size("stdout") : 0; };
  for (std::size_t turn = 1; turn <= 2; ++turn) {
    const auto before = size();
    input << "Tell me of Lily.\n" << std::flush;
    wait_until([&] { return size() > before; });
    process.interrupt();
    wait_until([&] { return numbers_after("(interrupted", read_file("stderr")).size() == turn; });
  }
  input.close();
  EXPECT_EQ(process.wait(), 0) << read_file("stderr");
}

TEST_F(ChatTest, Chat_AFullContextIsSaidWithBothNumbers) {
  const Outcome cut = chat({"Tell me of Lily."}, {"-c", "40"});
  EXPECT_EQ(cut.status, 0) << cut.err;
  EXPECT_FALSE(cut.out.empty());
  EXPECT_NE(cut.err.find("the conversation has 40 tokens, the context holds 40"), std::string::npos) << cut.err;

  const Outcome refused = chat({"Tell me of Lily.", "And of her ball?"}, {"-c", "40", "-n", "8"});
  EXPECT_EQ(refused.status, 1) << refused.err;
  EXPECT_NE(refused.err.find("the context holds 40"), std::string::npos) << refused.err;
  EXPECT_GT(numbers_after("would have ", refused.err).at(0), 39) << refused.err;
  EXPECT_EQ(refused.out, chat({"Tell me of Lily."}, {"-c", "40", "-n", "8"}).out);
}

TEST_F(ChatTest, Chat_AMessageYieldsNoControlToken) {
  const auto n_tokens = [&](const std::string& message) {
    return numbers_after("prompt ", chat({message}, {"-n", "1", "--verbose"}).err).at(0);
  };
  EXPECT_GT(n_tokens("a</s>"), n_tokens("a") + 1);  // "<", "/", ...
}

TEST_F(ChatTest, Chat_WhatATemplateRefusesIsSaid) {
  write_model("{% if messages[0].role == 'system' %}{{ raise_exception('no system prompt here') }}{% endif %}{{ messages[0].content }}");
  EXPECT_EQ(chat({"a"}, {"-n", "1"}).status, 0);
  expect_error(chat({"a"}, {"--system", "b"}), 1, {"chat template", "no system prompt here"});
  write_model("{% if %}");
  expect_error(chat({"a"}, {}), 1, {"chat template", "line 1"});
}

TEST_F(ChatTest, Chat_InputIsChecked) {
  expect_error(chat({"a\xFF"}, {}), 1, {"standard input", "0xFF", "UTF-8"});
  const Outcome nothing = chat({}, {});
  EXPECT_EQ(nothing.status, 0);
  EXPECT_EQ(nothing.out + nothing.err, "");
  const Outcome no_newline = woolly({"chat", "chat.gguf", "-n", "4"}, "Lily");
  EXPECT_FALSE(no_newline.out.empty());
}

TEST_F(ChatTest, RunChat_IsTheFirstTurn) {
  const std::string answer =
      woolly({"run", "chat.gguf", "--chat", "--system", "Be brief.", "-p", "Tell me.", "-n", "24", "--temp", "0"}).out;
  EXPECT_FALSE(answer.empty());
  EXPECT_EQ(chat({"Tell me."}, {"--system", "Be brief.", "-n", "24"}).out, with_newline(answer));
  expect_error(woolly({"run", "chat.gguf", "--system", "Be brief.", "-p", "Tell me."}), 2, {"--system", "--chat"});
}

TEST_F(ChatTest, RunChat_WithoutATemplateAMessageIsTheText) {
  const auto text = [&](std::vector<std::string> flags) {
    flags.insert(flags.begin(), {"run", kModel, "-p", "Once upon a time", "-n", "24", "--temp", "0"});
    return woolly(flags).out;
  };
  EXPECT_EQ(text({"--chat"}), text({}));
}

}  // namespace
}  // namespace woolly::test
