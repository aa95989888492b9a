#include <algorithm>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

#include "cli/program.h"
#include "support/shared.h"

namespace woolly::test {
namespace {

class LogitsTest : public CliTest, public testing::WithParamInterface<const char*> {};

std::vector<float> floats_of(const std::string& bytes) {
  std::vector<float> values(bytes.size() / sizeof(float));
  std::memcpy(values.data(), bytes.data(), values.size() * sizeof(float));
  return values;
}

// The files have no usable tokenizer. 2e-3 is the bound that the project holds itself to against llama.cpp.
TEST_P(LogitsTest, Logits_AreThoseOfTheGoldenFiles) {
  const std::string name = std::string("golden/") + GetParam() + "-dense";
  WOOLLY_NEEDS_SHARED(name + ".gguf");
  const auto golden = nlohmann::json::parse(read_file(shared(name + ".json")));
  const std::vector<float> expected = floats_of(read_file(shared(name + ".f32")));
  for (const char* table : {"WOOLLY_DISABLE_SIMD=1 ", ""}) {
    const Outcome outcome = shell(std::string(table) + "woolly logits '" + shared(name + ".gguf").string() +
                                  "' --tokens " + comma_list(golden["tokens"]) + " -o out.f32");
    ASSERT_EQ(outcome.status, 0) << outcome.err;
    const std::vector<float> logits = floats_of(read_file("out.f32"));
    ASSERT_EQ(logits.size(), expected.size());
    double largest = 0.0;
    for (std::size_t i = 0; i < logits.size(); ++i) {
      largest = std::max(largest, std::abs(static_cast<double>(logits[i]) - static_cast<double>(expected[i])));
    }
    EXPECT_LE(largest, 2e-3) << table;
  }
}

INSTANTIATE_TEST_SUITE_P(Architectures, LogitsTest, testing::Values("llama", "qwen2", "qwen3"),
                         [](const auto& name) { return std::string(name.param); });

using LogitsFileTest = CliTest;

TEST_F(LogitsFileTest, Logits_LeaveNothingBesideTheFile) {
  std::filesystem::create_directory("out");
  write("out/logits.f32", "an older file");
  ASSERT_EQ(woolly({"logits", kModel, "--tokens", "1,2", "--tokens", "3", "-o", "out/logits.f32"}).status, 0);
  EXPECT_EQ(std::filesystem::file_size("out/logits.f32"), 3u * 512u * sizeof(float));
  EXPECT_NE(woolly({"logits", kModel, "--tokens", "1,999", "-o", "out/logits.f32"}).status, 0);
  EXPECT_EQ(std::filesystem::file_size("out/logits.f32"), 3u * 512u * sizeof(float));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator("out"), {}), 1);
}

TEST_F(LogitsFileTest, Logits_NamePlacesThatCannotBeWritten) {
  std::filesystem::create_directory("folder");
  expect_error(woolly({"logits", kModel, "--tokens", "1", "-o", "folder"}), 1, {"folder", "directory"});
  expect_error(woolly({"logits", kModel, "--tokens", "1", "-o", "nowhere/x"}), 1, {"nowhere/x", "No such file"});
  if (std::filesystem::exists("/dev/full")) {
    expect_error(woolly({"logits", kModel, "--tokens", "1", "-o", "/dev/full"}), 1, {"/dev/full"});
  }
}

TEST_F(LogitsFileTest, Logits_AFilePastTheLimitOfTheProcessIsAnError) {
  std::filesystem::create_directory("out");
  const Outcome outcome = shell("ulimit -f 1; woolly logits smollm2:135m --tokens 1,2,3,4 -o out/logits.f32");
  expect_error(outcome, 1, {"out/logits.f32", "File too large"});
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator("out"), {}), 0);
}

TEST_F(LogitsFileTest, Logits_KvTypeChangesTheResultOnlyALittle) {
  const auto logits = [&](const char* type) {
    const Outcome outcome =
        woolly({"logits", kModel, "--tokens", "1,403,407,261,378", "-o", "out.f32", "--kv-type", type});
    EXPECT_EQ(outcome.status, 0) << outcome.err;
    return floats_of(read_file("out.f32"));
  };
  const std::vector<float> f32 = logits("f32");
  const std::vector<float> f16 = logits("f16");
  ASSERT_EQ(f32.size(), f16.size());
  EXPECT_NE(f32, f16);
  // Logits of this model reach 10; rounding to 11 bits changes them by some units of 2^-11 of that.
  for (std::size_t i = 0; i < f32.size(); ++i) EXPECT_NEAR(f32[i], f16[i], 10.0 * 8 / 2048);
}

}  // namespace
}  // namespace woolly::test
