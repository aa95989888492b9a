// Logits of the tiny reference models, on every kernel table.
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "engine/support.h"

namespace woolly::test {
namespace {

/// What the issue of record allows: llama.cpp's F32 logits are summed in another order.
constexpr float kTolerance = 2e-3F;

struct Case {
  std::string model, isa;
};

class Golden : public testing::TestWithParam<Case> {};

TEST_P(Golden, LogitsMatchTheReference) {
  const std::string base = "golden/" + GetParam().model;
  WOOLLY_NEEDS_SHARED(base + ".gguf");
  const nlohmann::json json = nlohmann::json::parse(std::ifstream(shared(base + ".json")));
  std::ifstream file(shared(base + ".f32"), std::ios::binary);
  std::vector<float> expected(json["rows"].get<std::size_t>() * json["columns"].get<std::size_t>());
  file.read(reinterpret_cast<char*>(expected.data()), static_cast<std::streamsize>(expected.size() * sizeof(float)));
  ASSERT_TRUE(file);

  const auto engine = make_engine(GetParam().isa, 2);
  const auto session = make_session(load(*engine, base + ".gguf"), {.kv_type = KvType::kF32, .max_logit_rows = 16});
  const auto logits = all_logits(*session, ids(json["tokens"].get<std::vector<std::int32_t>>()));
  ASSERT_EQ(logits.size(), expected.size());
  float worst = 0;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    ASSERT_TRUE(std::isfinite(logits[i]));
    worst = std::max(worst, std::abs(logits[i] - expected[i]));
  }
  RecordProperty("largest_difference", std::to_string(worst));
  EXPECT_LE(worst, kTolerance);
}

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const char* model : {"llama-dense", "llama-moe", "mistral3-dense", "qwen2-dense", "qwen3-dense", "qwen3moe-moe", "gemma2-dense",
                            "gemma3-dense", "phi3-dense", "granite-dense", "granitemoe-moe", "olmo2-dense", "glm4-dense",
                            "smollm3-dense", "gpt-oss-moe", "lfm2-dense", "deepseek2-moe", "qwen35-dense"}) {
    for (const std::string& isa : table_names()) all.push_back({model, isa});
  }
  return all;
}

INSTANTIATE_TEST_SUITE_P(Engine, Golden, testing::ValuesIn(cases()), [](const auto& tested) {
  std::string name = tested.param.model + "_" + tested.param.isa;
  for (char& c : name) c = c == '-' ? '_' : c;
  return name;
});

}  // namespace
}  // namespace woolly::test
