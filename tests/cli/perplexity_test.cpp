#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "cli/program.h"
#include "support/shared.h"

namespace woolly::test {
namespace {

using nlohmann::json;

class PerplexityTest : public CliTest {
 protected:
  json score(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "perplexity");
    arguments.emplace_back("--json");
    const Outcome outcome = woolly(arguments);
    EXPECT_EQ(outcome.status, 0) << outcome.err;
    return json::parse(outcome.out, nullptr, false);
  }
};

// An engine is faithful to the exact results when it is no further from them than llama.cpp is; the bound allows for
// what rounding adds.
TEST_F(PerplexityTest, Perplexity_IsAsCloseToTheExactResultsAsTheReference) {
  WOOLLY_NEEDS_SHARED("models/reference-exact.json");
  const json reference = json::parse(read_file(shared("models/reference-exact.json")));
  int n_models = 0;
  for (const json& model : reference["models"]) {
    const std::filesystem::path file = shared("models/" + model["file"].get<std::string>());
    if (!std::filesystem::exists(file)) continue;
    const json result = score({file.string(), "--tokens", comma_list(model["tokens"])});
    const auto exact = model["exact"].get<std::vector<double>>();
    const auto log_probabilities = result["logprobs"].get<std::vector<double>>();
    ASSERT_EQ(log_probabilities.size(), exact.size()) << file;
    double difference = 0.0;
    for (std::size_t i = 0; i < exact.size(); ++i) difference += std::abs(log_probabilities[i] - exact[i]);
    difference /= static_cast<double>(exact.size());
    EXPECT_LE(difference, 1.1 * model["distance"].get<double>() + 0.002) << file;
    ++n_models;
  }
  EXPECT_GT(n_models, 20);
}

TEST_F(PerplexityTest, Perplexity_IsExpOfMinusTheMeanLogProbability) {
  const json result = score({kModel, "--tokens", "1,403,407,261,378,432"});
  double sum = 0.0;
  for (const double value : result["logprobs"]) sum += value;
  EXPECT_EQ(result["tokens"], 5);
  EXPECT_EQ(result["logprobs"].size(), 5u);
  EXPECT_NEAR(result["ppl"].get<double>(), std::exp(-sum / 5), 1e-12);
  EXPECT_EQ(result.size(), 3u);
}

TEST_F(PerplexityTest, Perplexity_TakesIdsInWindowsWhoseFirstTokenIsNotScored) {
  const std::vector<int> ids{1, 403, 407, 261, 378, 432, 383, 286, 261};
  const json all = score({kModel, "-c", "4", "--tokens", comma_list(ids)});
  // Windows of 4, 4 and 1: the last one has nothing to score.
  const json first = score({kModel, "--tokens", "1,403,407,261"});
  const json second = score({kModel, "--tokens", "378,432,383,286"});
  json expected = first["logprobs"];
  for (const json& value : second["logprobs"]) expected.push_back(value);
  EXPECT_EQ(all["logprobs"], expected);
}

TEST_F(PerplexityTest, Perplexity_BeginsEveryWindowOfATextWithBos) {
  write("text.txt", "Once upon a time, there");  // 403 407 261 378 432 383
  const json all = score({kModel, "-c", "4", "-f", "text.txt"});
  const json first = score({kModel, "--tokens", "1,403,407,261"});
  const json second = score({kModel, "--tokens", "1,378,432,383"});
  json expected = first["logprobs"];
  for (const json& value : second["logprobs"]) expected.push_back(value);
  EXPECT_EQ(all["logprobs"], expected);
  EXPECT_EQ(all["tokens"], 6);
}

TEST_F(PerplexityTest, Perplexity_HumanOutputIsOneLine) {
  const Outcome outcome = woolly({"perplexity", kModel, "--tokens", "1,403,407"});
  EXPECT_TRUE(outcome.out.starts_with("perplexity ")) << outcome.out;
  EXPECT_NE(outcome.out.find("2 tokens"), std::string::npos) << outcome.out;
}

}  // namespace
}  // namespace woolly::test
