#include <cstdint>
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

#ifndef WOOLLY_SANITIZED  // whose memory is several times that of the program
/// Of a process that fills its context, and drafts.
TEST_F(InfoTest, Info_EstimateIsWithinFivePercentOfWhatRunTakes) {
  WOOLLY_NEEDS_SHARED("corpora/frankenstein.txt");
  struct Case {
    std::filesystem::path model;
    int n_ctx;
    std::vector<std::string> flags;
    std::size_t n_bytes;  ///< Of a text that leaves a little of the context.
  };
  std::vector<Case> cases = {{shared("models/stories260K.gguf"), 8192, {"--kv-type", "f32"}, 13'000},
                             {shared("models/stories260K.gguf"), 4096, {"--kv-type", "f32", "--mmap", "-t", "1"}, 6'000}};
  const std::filesystem::path cached = users_store() / "smollm2-135m.gguf";
  if (std::filesystem::exists(cached)) {
    cases.push_back({cached, 768, {}, 3'000});
    cases.push_back({cached, 512, {"--mmap", "--kv-type", "q8_0", "--chunk", "64"}, 2'000});
  }
  const std::string corpus = read_file(shared("corpora/frankenstein.txt"));
  for (const Case& given : cases) {
    std::vector<std::string> info = {"info", given.model.string(), "--json", "--estimate", "-c", std::to_string(given.n_ctx)};
    info.insert(info.end(), given.flags.begin(), given.flags.end());
    const json estimate = json::parse(woolly(info).out)["estimate"];
    EXPECT_EQ(estimate["context"], given.n_ctx);
    EXPECT_EQ(estimate["sequences"], 1);

    std::vector<std::string> run = {"run", given.model.string(), "-c", std::to_string(given.n_ctx), "--temp", "0"};
    run.insert(run.end(), given.flags.begin(), given.flags.end());
    const Outcome outcome = woolly(run, corpus.substr(0, given.n_bytes));
    ASSERT_EQ(outcome.status, 0) << outcome.err;
    EXPECT_NE(outcome.err.find("full context"), std::string::npos) << outcome.err;
    const double found = estimate["total"].get<double>(), needed = static_cast<double>(outcome.most_memory);
    EXPECT_NEAR(found, needed, 0.05 * needed) << given.model << estimate.dump(2) << outcome.err;
  }
}
#endif

TEST_F(InfoTest, Info_EstimateCountsEverySequenceAndSumsUp) {
  const auto estimate = [&](std::vector<std::string> flags) {
    flags.insert(flags.begin(), {"info", kModel, "--json", "--estimate"});
    return json::parse(woolly(flags).out)["estimate"];
  };
  const json one = estimate({}), four = estimate({"--parallel", "4"}), mapped = estimate({"--mmap"});
  EXPECT_EQ(one["context"], 2048);  // the model's own
  EXPECT_EQ(four["sequences"], 4);
  EXPECT_EQ(four["keys_and_values"], 4 * one["keys_and_values"].get<std::uint64_t>());
  EXPECT_EQ(four["weights"], one["weights"]);
  EXPECT_EQ(one["mapped"], 0);
  EXPECT_GT(mapped["mapped"], mapped["weights"]);
  for (const json& each : {one, four, mapped}) {
    std::uint64_t sum = 0;
    for (const char* key : {"weights", "mapped", "keys_and_values", "workspace", "rest"}) sum += each[key].get<std::uint64_t>();
    EXPECT_EQ(each["total"], sum);
  }
  EXPECT_NE(woolly({"info", kModel, "--estimate", "--parallel", "4"}).out.find("4 sequences of 2048 tokens"), std::string::npos);
}

TEST_F(InfoTest, Info_WhatEstimatesNeedIsSaid) {
  expect_error(woolly({"info", kModel, "-c", "64"}), 2, {"-c", "--estimate"});
  WOOLLY_NEEDS_SHARED("tokenizers/ggml-vocab-phi-3.gguf");
  expect_error(woolly({"info", shared("tokenizers/ggml-vocab-phi-3.gguf").string(), "--estimate"}), 1, {"token_embd.weight"});
}

}  // namespace
}  // namespace woolly::test
