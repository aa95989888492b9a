#include "cli/program.h"
#include "support/shared.h"

namespace woolly::test {
namespace {

using ImatrixTest = CliTest;

TEST_F(ImatrixTest, Imatrix_IsWhatQuantizeTakes) {
  write("story.txt", "Once upon a time, there was a little girl named Lily. She liked to play.\n");
  const Outcome outcome = woolly({"imatrix", kModel, "-f", "story.txt", "-c", "16", "-o", "im.gguf"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  ASSERT_EQ(woolly({"quantize", kModel, "with.gguf", "--type", "Q4_0", "--imatrix", "im.gguf"}).status, 0);
  ASSERT_EQ(woolly({"quantize", kModel, "without.gguf", "--type", "Q4_0"}).status, 0);
  EXPECT_NE(read_file("with.gguf"), read_file("without.gguf"));
  EXPECT_EQ(woolly({"run", "with.gguf", "-p", "Once", "-n", "4", "--temp", "0"}).status, 0);
  // One that is none, and a text without a token.
  expect_error(woolly({"quantize", kModel, "new.gguf", "--type", "Q4_0", "--imatrix", "with.gguf"}), 1,
               {"with.gguf", "expected an importance matrix"});
  expect_error(woolly({"imatrix", kModel, "-p", "", "-o", "none.gguf"}), 1, {"the text has no tokens"});
  EXPECT_FALSE(std::filesystem::exists("none.gguf"));
}

}  // namespace
}  // namespace woolly::test
