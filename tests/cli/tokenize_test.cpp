#include <sstream>

#include "cli/program.h"
#include "support/shared.h"

namespace woolly::test {
namespace {

using TokenizeTest = CliTest;

std::vector<std::string> split(const std::string& text, std::string_view separator) {
  std::vector<std::string> parts;
  std::size_t at = 0;
  for (std::size_t next; (next = text.find(separator, at)) != std::string::npos; at = next + separator.size()) {
    parts.push_back(text.substr(at, next - at));
  }
  parts.push_back(text.substr(at));
  return parts;
}

/// The numbers of a line, parted by single spaces.
std::string numbers(const std::string& line) {
  std::istringstream in(line);
  std::string result;
  for (std::string number; in >> number;) result.append(result.empty() ? "" : " ").append(number);
  return result;
}

TEST_F(TokenizeTest, Tokenize_GivesTheExpectedIdsForFilesWithOnlyAVocabulary) {
  for (const char* name : {"ggml-vocab-gpt-2.gguf", "ggml-vocab-bert-bge.gguf"}) {
    const std::string model = shared(std::string("tokenizers/") + name).string();
    WOOLLY_NEEDS_SHARED(std::string("tokenizers/") + name);
    const std::vector<std::string> texts = split(read_file(model + ".inp"), "\n__ggml_vocab_test__\n");
    const std::vector<std::string> expected = split(read_file(model + ".out"), "\n");
    ASSERT_GE(expected.size(), texts.size());
    for (std::size_t i = 0; i < texts.size(); ++i) {
      write("text.txt", texts[i]);
      const Outcome outcome = woolly({"tokenize", model, "-f", "text.txt", "--ids"});
      EXPECT_EQ(outcome.status, 0) << outcome.err;
      EXPECT_EQ(outcome.out, numbers(expected[i]) + "\n") << name << " text " << i;
    }
  }
}

TEST_F(TokenizeTest, Tokenize_ShowsATokenOnEachLine) {
  EXPECT_EQ(woolly({"tokenize", kModel, "-p", "Once upon\na\\"}).out,
            "403\t Once\n407\t upon\n13\t\\n\n412\ta\n500\t\\\\\n");
}

TEST_F(TokenizeTest, Tokenize_TakesBytesAsTheyAre) {
  write("text.txt", "Once\n");
  EXPECT_EQ(woolly({"tokenize", kModel, "-f", "text.txt", "--ids"}).out, "403 13\n");
  EXPECT_EQ(woolly({"tokenize", kModel, "--ids"}, "Once\n").out, "403 13\n");
  EXPECT_EQ(woolly({"tokenize", kModel, "-p", "Once", "--ids"}).out, "403\n");
}

TEST_F(TokenizeTest, Tokenize_EmptyTextHasNoTokens) {
  EXPECT_EQ(woolly({"tokenize", kModel, "-p", "", "--ids"}).out, "\n");
  EXPECT_EQ(woolly({"tokenize", kModel, "-p", ""}).out, "");
}

TEST_F(TokenizeTest, Tokenize_RecognisesControlTokensOnlyWhenAsked) {
  EXPECT_EQ(woolly({"tokenize", kModel, "-p", "</s>", "--special"}).out, "2\t</s>\n");
  EXPECT_NE(woolly({"tokenize", kModel, "-p", "</s>"}).out, "2\t</s>\n");
}

}  // namespace
}  // namespace woolly::test
