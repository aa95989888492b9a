#include <nlohmann/json.hpp>

#include "cli/program.h"
#include "support/shared.h"

namespace woolly::test {
namespace {

using InfoTest = CliTest;
using nlohmann::json;

TEST_F(InfoTest, Info_JsonSaysWhatTheFileHolds) {
  const Outcome outcome = woolly({"info", kModel, "--json", "--tensors"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  const json info = json::parse(outcome.out);
  EXPECT_EQ(info["architecture"], "llama");
  EXPECT_EQ(info["gguf_version"], 3);
  EXPECT_EQ(info["file_bytes"], std::filesystem::file_size(shared("models/stories260K.gguf")));
  EXPECT_EQ(info["n_parameters"], 292800);
  EXPECT_EQ(info["n_tensors"], 48);
  EXPECT_EQ(info["types"]["F32"]["tensors"], 48);
  EXPECT_EQ(info["context_length"], 2048);
  EXPECT_EQ(info["n_layers"], 5);
  EXPECT_EQ(info["hidden_dim"], 64);
  EXPECT_EQ(info["n_heads"], 8);
  EXPECT_EQ(info["n_kv_heads"], 4);
  EXPECT_EQ(info["tokenizer"]["model"], "llama");
  EXPECT_EQ(info["tokenizer"]["vocab_size"], 512);
  EXPECT_EQ(info["tokenizer"]["bos"]["id"], 1);
  EXPECT_EQ(info["tokenizer"]["adds_bos"], true);
  ASSERT_EQ(info["tensors"].size(), 48u);
  EXPECT_EQ(info["tensors"][0]["name"], "token_embd.weight");
  EXPECT_EQ(info["tensors"][0]["shape"], (json{512, 64}));
  EXPECT_EQ(info["tensors"][0]["bytes"], 131072);
}

TEST_F(InfoTest, Info_TensorsOnlyWhenAsked) {
  EXPECT_FALSE(json::parse(woolly({"info", kModel, "--json"}).out).contains("tensors"));
  EXPECT_EQ(woolly({"info", kModel}).out.find("token_embd.weight"), std::string::npos);
  EXPECT_NE(woolly({"info", kModel, "--tensors"}).out.find("token_embd.weight"), std::string::npos);
}

TEST_F(InfoTest, Info_WorksOnEveryReferenceFile) {
  int n_files = 0;
  for (const char* folder : {"golden", "models", "tokenizers"}) {
    for (const auto& entry : std::filesystem::directory_iterator(shared(folder))) {
      if (entry.path().extension() != ".gguf") continue;
      const Outcome outcome = woolly({"info", entry.path().string(), "--json", "--tensors"});
      EXPECT_EQ(outcome.status, 0) << outcome.err;
      const json info = json::parse(outcome.out, nullptr, false);
      ASSERT_TRUE(info.is_object()) << entry.path();
      EXPECT_TRUE(info["architecture"].is_string()) << entry.path();
      EXPECT_TRUE(info["tokenizer"].contains("vocab_size") != info["tokenizer"].contains("error")) << entry.path();
      EXPECT_EQ(woolly({"info", entry.path().string()}).status, 0) << entry.path();
      ++n_files;
    }
  }
  EXPECT_GT(n_files, 30);
}

TEST_F(InfoTest, Info_FilesWithOnlyAVocabularyHaveATokenizerAndNoParameters) {
  WOOLLY_NEEDS_SHARED("tokenizers/ggml-vocab-phi-3.gguf");
  const json info = json::parse(woolly({"info", shared("tokenizers/ggml-vocab-phi-3.gguf").string(), "--json"}).out);
  EXPECT_EQ(info["architecture"], "phi3");
  EXPECT_EQ(info["n_parameters"], 0);
  EXPECT_EQ(info["tokenizer"]["vocab_size"], 32064);
}

}  // namespace
}  // namespace woolly::test
