// Log-probabilities against exact arithmetic on the same weights: no further away than llama.cpp is.
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "engine/support.h"

namespace woolly::test {
namespace {

double log_probability(std::span<const float> logits, TokenId token) {
  double max = -INFINITY, sum = 0;
  for (const float logit : logits) max = std::max(max, static_cast<double>(logit));
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - max);
  return static_cast<double>(logits[static_cast<std::size_t>(token.value)]) - max - std::log(sum);
}

class Faithful : public testing::TestWithParam<std::string> {};

TEST_P(Faithful, IsAsCloseToExactAsLlamaCpp) {
  WOOLLY_NEEDS_SHARED("models/reference-exact.json");
  const nlohmann::json json = nlohmann::json::parse(std::ifstream(shared("models/reference-exact.json")));
  const auto engine = make_engine(GetParam(), 2);
  std::size_t n_files = 0;
  for (const nlohmann::json& entry : json["models"]) {
    const auto file = entry["file"].get<std::string>();
    if (!std::filesystem::exists(shared("models/" + file))) continue;
    const auto tokens = ids(entry["tokens"].get<std::vector<std::int32_t>>());
    const auto exact = entry["exact"].get<std::vector<double>>();
    const auto session =
        make_session(load(*engine, "models/" + file), {.kv_type = KvType::kF32, .max_logit_rows = 64});
    double distance = 0;
    const Status status = session->append_each(tokens, [&](std::size_t i, std::span<const float> logits) {
      if (i + 1 < tokens.size()) distance += std::abs(log_probability(logits, tokens[i + 1]) - exact[i]);
    });
    ASSERT_TRUE(status) << status.error().message;
    distance /= static_cast<double>(exact.size());
    const double theirs = entry["distance"].get<double>();
    EXPECT_LE(distance, 1.1 * theirs + 0.002) << file;
    std::printf("%-24s %-8s distance %.6f, llama.cpp %.6f\n", file.c_str(), GetParam().c_str(), distance, theirs);
    ++n_files;
  }
  EXPECT_GT(n_files, 0U);
}

INSTANTIATE_TEST_SUITE_P(Engine, Faithful, testing::ValuesIn(table_names()),
                         [](const auto& tested) { return tested.param; });

/// The greedy texts of a real model, token for token.
TEST(Greedy, Stories260kMatchesTheReferenceTokenForToken) {
  WOOLLY_NEEDS_SHARED("models/reference-stories260K.json");
  const nlohmann::json json = nlohmann::json::parse(std::ifstream(shared("models/reference-stories260K.json")));
  for (const std::string& isa : table_names()) {
    const auto engine = make_engine(isa, 1);
    const auto model = load(*engine, "models/stories260K.gguf");
    std::size_t n_texts = 0;
    for (const nlohmann::json& entry : json["models"]) {
      if (entry["file"] != "stories260K.gguf") continue;
      for (const nlohmann::json& text : entry["greedy"]) {
        const auto session = make_session(model, {.kv_type = KvType::kF16});
        const auto expected = text["gen_tokens"].get<std::vector<std::int32_t>>();
        auto logits = session->append(ids(text["prompt_tokens"].get<std::vector<std::int32_t>>()));
        for (std::size_t i = 0; i < expected.size(); ++i) {
          ASSERT_TRUE(logits) << logits.error().message;
          const auto best = std::max_element(logits->begin(), logits->end()) - logits->begin();
          ASSERT_EQ(best, expected[i]) << isa << ", token " << i << " of " << text["prompt"];
          logits = session->append(ids({static_cast<std::int32_t>(best)}));
        }
        ++n_texts;
      }
    }
    EXPECT_GT(n_texts, 0U);
  }
}

}  // namespace
}  // namespace woolly::test
