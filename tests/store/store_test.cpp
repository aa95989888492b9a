#include "store/store.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <optional>

#include "support/temp_dir.h"

namespace woolly::store {
namespace {

namespace fs = std::filesystem;

/// A temporary folder as the working directory, with a store inside.
class StoreTest : public testing::Test {
 protected:
  StoreTest() : before_(fs::current_path()) {
    fs::create_directories(folder());
    fs::current_path(root_.path());
  }
  ~StoreTest() override { fs::current_path(before_); }

  [[nodiscard]] fs::path folder() const { return root_.path() / "models"; }
  void write(const std::string& name) const { root_.write(name, "x"); }
  [[nodiscard]] std::string resolved(std::string_view model) const {
    const Result<fs::path> path = Store(folder()).resolve(model);
    return path ? path.value().string() : path.error().message;
  }

  fs::path before_;
  test::TempDir root_;
};

/// Sets or unsets a variable while it lives.
class Variable {
 public:
  Variable(const char* name, const char* value) : name_(name) {
    if (const char* now = std::getenv(name)) before_ = now;
    value != nullptr ? setenv(name, value, 1) : unsetenv(name);
  }
  ~Variable() { before_ ? setenv(name_, before_->c_str(), 1) : unsetenv(name_); }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;

 private:
  const char* name_;
  std::optional<std::string> before_;
};

TEST(Store, FromEnvironment_FollowsTheXdgSpecification) {
  const Variable home("HOME", "/home/me");
  {
    const Variable data("XDG_DATA_HOME", "/data");
    EXPECT_EQ(Store::from_environment().folder(), "/data/woolly/models");
  }
  for (const char* value : {"", "relative/path", static_cast<const char*>(nullptr)}) {
    const Variable data("XDG_DATA_HOME", value);
    EXPECT_EQ(Store::from_environment().folder(), "/home/me/.local/share/woolly/models");
  }
}

TEST(Store, FromEnvironment_HasNoStoreWithoutAHome) {
  const Variable home("HOME", nullptr);
  const Variable data("XDG_DATA_HOME", nullptr);
  const Store store = Store::from_environment();
  EXPECT_TRUE(store.folder().empty());
  EXPECT_TRUE(store.resolve("./model.gguf"));
  const Result<fs::path> path = store.resolve("a:b");
  ASSERT_FALSE(path);
  EXPECT_EQ(path.error().message,
            "model \"a:b\": no such file, and no store: neither XDG_DATA_HOME nor HOME is an absolute path");
}

TEST_F(StoreTest, Resolve_TakesAColonForAHyphen) {
  write("models/smollm2-135m.gguf");
  EXPECT_EQ(resolved("smollm2:135m"), (folder() / "smollm2-135m.gguf").string());
  EXPECT_EQ(resolved("smollm2-135m"), (folder() / "smollm2-135m.gguf").string());
}

TEST_F(StoreTest, Resolve_LeavesPathsAlone) {
  write("here");
  write("models/here.gguf");
  EXPECT_EQ(resolved("here"), "here");
  EXPECT_EQ(resolved("./missing"), "./missing");
  EXPECT_EQ(resolved("missing.gguf"), "missing.gguf");
  EXPECT_EQ(resolved("a/b:c"), "a/b:c");
}

TEST_F(StoreTest, Resolve_PrefersTheStoreToAFolderOfTheSameName) {
  fs::create_directory("stories");
  EXPECT_EQ(resolved("stories"), "stories");
  write("models/stories.gguf");
  EXPECT_EQ(resolved("stories"), (folder() / "stories.gguf").string());
}

TEST_F(StoreTest, Resolve_ListsWhatThereIs) {
  EXPECT_EQ(resolved("a:b"), "model \"a:b\": no such file, and no " + (folder() / "a-b.gguf").string() +
                                 "; the store has no models; scripts/demo fetches smollm2:135m");
  write("models/two.gguf");
  write("models/one-1b.gguf");
  write("models/one-1b.gguf.part");
  fs::create_directory(folder() / "folder.gguf");
  EXPECT_EQ(resolved("a:b"), "model \"a:b\": no such file, and no " + (folder() / "a-b.gguf").string() +
                                 "; the store has one-1b, two; scripts/demo fetches smollm2:135m");
}

TEST_F(StoreTest, Resolve_RefusesWhatIsNoName) {
  for (const char* model : {"", ":", "a:", ":b", "a:b:c", "a..b", "..", "a b", "caf\xC3\xA9", "a\nb", "a\\b", "*"}) {
    const Result<fs::path> path = Store(folder()).resolve(model);
    ASSERT_FALSE(path) << model;
    EXPECT_EQ(path.error().code, ErrorCode::kInvalidArgument) << model;
  }
}

TEST_F(StoreTest, Names_OfAMissingFolderAreNone) { EXPECT_TRUE(Store(root_.path() / "nowhere").names().empty()); }

}  // namespace
}  // namespace woolly::store
