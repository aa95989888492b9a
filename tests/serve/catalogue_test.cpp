#include "serve/catalogue.h"

#include <gtest/gtest.h>

#include <fstream>

#include "support/shared.h"
#include "support/temp_dir.h"

namespace woolly::test {
namespace {

TEST(Catalogue, FindsModelsByTheirFilesNames) {
  WOOLLY_NEEDS_SHARED("models/stories260K.gguf");
  const TempDir dir;
  std::filesystem::copy_file(shared("models/stories260K-Q8_0.gguf"), dir.path() / "tiny-q8.gguf");
  serve::Catalogue catalogue({shared("models/stories260K.gguf")}, store::Store(dir.path()), 100);
  EXPECT_EQ(catalogue.names(), (std::vector<std::string>{"stories260K", "tiny-q8"}));
  const auto card = catalogue.find("stories260K");
  ASSERT_TRUE(card) << card.error().message;
  EXPECT_EQ((*card)->name, "stories260K");
  EXPECT_EQ((*card)->context_length, 100U);
  EXPECT_EQ((*card)->n_choices, 512U);
  EXPECT_EQ(catalogue.find("stories260K")->get(), card->get()) << "read once";
  const auto by_colon = catalogue.find("tiny:q8");
  ASSERT_TRUE(by_colon) << by_colon.error().message;
  EXPECT_EQ((*by_colon)->name, "tiny-q8");
}

TEST(Catalogue, NeverOpensWhatIsNotListed) {
  WOOLLY_NEEDS_SHARED("models/stories260K.gguf");
  serve::Catalogue catalogue({shared("models/stories260K.gguf")}, store::Store(""), 0);
  for (const std::string& name : {shared("models/stories260K-Q8_0.gguf").string(), std::string("../stories260K"), std::string(),
                                  std::string("stories260K.gguf")}) {
    const auto card = catalogue.find(name);
    ASSERT_FALSE(card) << name;
    EXPECT_EQ(card.error().code, ErrorCode::kNotFound);
    EXPECT_NE(card.error().message.find("here are stories260K"), std::string::npos) << card.error().message;
  }
}

TEST(Catalogue, ReadsAFileAgainThatHasChanged) {
  WOOLLY_NEEDS_SHARED("models/stories260K.gguf");
  const TempDir dir;
  const auto path = dir.path() / "m.gguf";
  std::filesystem::copy_file(shared("models/stories260K.gguf"), path);
  serve::Catalogue catalogue({path}, store::Store(""), 0);
  const auto first = catalogue.find("m");
  ASSERT_TRUE(first);
  std::filesystem::copy_file(shared("models/stories260K-Q8_0.gguf"), path, std::filesystem::copy_options::overwrite_existing);
  const auto second = catalogue.find("m");
  ASSERT_TRUE(second);
  EXPECT_NE(first->get(), second->get());
  std::ofstream(path) << "nonsense";
  const Error error = catalogue.find("m").error();
  EXPECT_EQ(error.code, ErrorCode::kInvalidFile);
  EXPECT_TRUE(error.message.starts_with("m.gguf: ")) << error.message;
}

}  // namespace
}  // namespace woolly::test
