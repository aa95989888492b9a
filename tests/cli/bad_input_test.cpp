#include <cstring>
#include <limits>
#include <map>

#include "cli/program.h"
#include "support/shared.h"

namespace woolly::test {
namespace {

/// Bytes of a model that tests damage.
class Bytes {
 public:
  explicit Bytes(std::string bytes) : bytes_(std::move(bytes)) {}

  /// Overwrites `value` at `offset` bytes behind the end of the first occurrence of `text`.
  template <typename T>
  Bytes& set_after(std::string_view text, std::size_t offset, T value) {
    const std::size_t at = bytes_.find(text);
    EXPECT_NE(at, std::string::npos) << text;
    std::memcpy(bytes_.data() + at + text.size() + offset, &value, sizeof(value));
    return *this;
  }
  [[nodiscard]] const std::string& get() const { return bytes_; }

 private:
  std::string bytes_;
};

template <typename T>
void append(std::string& bytes, T value) {
  bytes.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

/// A header of 160 bytes: version 3, `n_tensors`, `n_keys`, then one array of `n_elements` strings.
std::string greedy_header(std::uint64_t n_tensors, std::uint64_t n_keys, std::uint64_t n_elements) {
  constexpr std::string_view kKey = "tokenizer.ggml.tokens";
  std::string bytes = "GGUF";
  append(bytes, std::uint32_t{3});
  append(bytes, n_tensors);
  append(bytes, n_keys);
  append(bytes, std::uint64_t{kKey.size()});
  bytes += kKey;
  append(bytes, std::uint32_t{9});  // an array
  append(bytes, std::uint32_t{8});  // of strings
  append(bytes, n_elements);
  bytes.resize(160);
  return bytes;
}

class BadInputTest : public CliTest {
 protected:
  /// Commands that read MODEL, each complete but for it.
  Outcome with_model(const std::string& command, const std::string& model) {
    if (command == "logits") return woolly({command, model, "--tokens", "1,2", "-o", "out.f32"});
    if (command == "perplexity") return woolly({command, model, "--tokens", "1,2"});
    if (command == "info" || command == "plan") return woolly({command, model});
    return woolly({command, model, "-p", "a"});
  }
};

TEST_F(BadInputTest, Model_EveryCommandRefusesWhatIsNoModel) {
  const std::string model = read_file(shared("models/stories260K.gguf"));
  const std::map<std::string, std::string> files = {
      {"empty.gguf", ""},
      {"text.gguf", "This is a text and not a model, however long it may be."},
      {"cut-in-header.gguf", model.substr(0, 1000)},
      {"cut-in-tensors.gguf", model.substr(0, model.size() / 2)},
      {"cut-by-a-byte.gguf", model.substr(0, model.size() - 1)},
      {"greedy-tensors.gguf", greedy_header(std::uint64_t{1} << 28, 1, 0)},
      {"greedy-keys.gguf", greedy_header(0, std::uint64_t{1} << 62, 0)},
      {"greedy-array.gguf", greedy_header(0, 1, std::uint64_t{1} << 29)},
      // Behind a tensor's name: dimensions (u32), one extent (u64), type (u32), offset (u64).
      {"past-the-end.gguf", Bytes(model).set_after("output_norm.weight", 16, std::uint64_t{1} << 30).get()},
      {"offset-overflow.gguf", Bytes(model).set_after("output_norm.weight", 16, ~std::uint64_t{31}).get()},
      {"unknown-type.gguf", Bytes(model).set_after("output_norm.weight", 12, std::uint32_t{999}).get()},
  };
  for (const auto& [name, bytes] : files) {
    write(name, bytes);
    for (const char* command : {"run", "info", "plan", "tokenize", "logits", "perplexity"}) {
      SCOPED_TRACE(std::string(command) + " " + name);
      expect_error(with_model(command, name), 1, {name});
    }
  }
  EXPECT_FALSE(std::filesystem::exists("out.f32"));
}

TEST_F(BadInputTest, Model_ZeroHeadsAreRefused) {
  const std::string model = read_file(shared("models/stories260K.gguf"));
  // Behind the key: the value's type (u32), the value (u32). The zero byte tells it from head_count_kv.
  for (const std::string_view key : {std::string_view("llama.attention.head_count\x04", 27),
                                     std::string_view("llama.attention.head_count_kv\x04", 30)}) {
    write("headless.gguf", Bytes(model).set_after(key, 3, std::uint32_t{0}).get());
    for (const char* command : {"run", "plan", "logits", "perplexity"}) {
      expect_error(with_model(command, "headless.gguf"), 1, {"head_count", "0"});
    }
    EXPECT_EQ(with_model("info", "headless.gguf").status, 0);
  }
}

TEST_F(BadInputTest, Model_LogitsThatAreNoNumbersEndTheText) {
  std::string model = read_file(shared("models/stories260K.gguf"));
  const float nan = std::numeric_limits<float>::quiet_NaN();
  std::memcpy(model.data() + model.size() - sizeof(nan), &nan, sizeof(nan));  // in a matrix that every token passes
  write("nan.gguf", model);
  for (const char* temperature : {"0", "0.8"}) {
    expect_error(woolly({"run", "nan.gguf", "-p", "a", "-n", "4", "--temp", temperature}), 1, {"logits", "not finite"});
  }
  expect_error(woolly({"perplexity", "nan.gguf", "-p", "Once upon a time"}), 1, {"logits", "not finite"});
}

TEST_F(BadInputTest, Model_MissingFilesAndFoldersAreNamed) {
  std::filesystem::create_directory("folder");
  for (const char* command : {"run", "info", "plan", "tokenize", "logits", "perplexity"}) {
    expect_error(with_model(command, "./missing.gguf"), 1, {"./missing.gguf", "No such file"});
    expect_error(with_model(command, "folder"), 1, {"folder", "directory"});
    expect_error(with_model(command, "other:1b"), 1, {"other:1b", "other-1b.gguf", "smollm2-135m", "scripts/demo"});
    expect_error(with_model(command, "../x:y z"), 1, {"../x:y z"});
    expect_error(with_model(command, "bad name\n"), 1, {"bad name\\n"});
  }
}

TEST_F(BadInputTest, Text_InvalidUtf8IsNamed) {
  write("bad.txt", "good \xE4\xBD then bad");
  for (const char* command : {"run", "tokenize", "perplexity"}) {
    expect_error(woolly({command, kModel, "-f", "bad.txt"}), 1, {"bad.txt", "0xE4", "offset 5", "UTF-8"});
    expect_error(woolly({command, kModel, "-p", "\xFF"}), 1, {"-p", "0xFF", "offset 0", "UTF-8"});
    expect_error(woolly({command, kModel}, "a\xC0\x80"), 1, {"standard input", "0xC0", "offset 1", "UTF-8"});
  }
}

TEST_F(BadInputTest, Text_MissingFilesAndFoldersAreNamed) {
  std::filesystem::create_directory("folder");
  for (const char* command : {"run", "tokenize", "perplexity"}) {
    expect_error(woolly({command, kModel, "-f", "missing.txt"}), 1, {"missing.txt", "No such file"});
    expect_error(woolly({command, kModel, "-f", "folder"}), 1, {"folder", "directory"});
  }
}

TEST_F(BadInputTest, Text_OfGigabytesIsRefusedBeforeItIsRead) {
  write("long.txt", "");
  std::filesystem::resize_file("long.txt", (std::uintmax_t{1} << 30U) + 1);  // a hole: takes no space
  for (const char* command : {"run", "tokenize", "perplexity"}) {
    expect_error(woolly({command, kModel, "-f", "long.txt"}), 1, {"long.txt", "1073741825", "at most 1073741824"});
  }
}

TEST_F(BadInputTest, Tokens_OutsideOfTheVocabularyAreNamed) {
  expect_error(woolly({"logits", kModel, "--tokens", "1,512", "-o", "out.f32"}), 1, {"--tokens: 512", "has 512"});
  expect_error(woolly({"perplexity", kModel, "--tokens", "1,512"}), 1, {"--tokens: 512", "has 512"});
  expect_error(woolly({"perplexity", kModel, "--tokens", "1"}), 1, {"nothing to score", "1 tokens"});
  EXPECT_FALSE(std::filesystem::exists("out.f32"));
}

TEST_F(BadInputTest, Tokens_BeyondTheContextAreCounted) {
  const std::string tokens = comma_list(std::vector<int>(2049, 1));
  expect_error(woolly({"logits", kModel, "--tokens", tokens, "-o", "out.f32"}), 1, {"--tokens: 2049 ids", "holds 2048"});
  EXPECT_FALSE(std::filesystem::exists("out.f32"));
}

}  // namespace
}  // namespace woolly::test
