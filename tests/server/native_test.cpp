#include "server/native.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "server/server_test.h"

namespace woolly::server {
namespace {

using test::Reply;

class Native : public test::ServerTest {};

TEST_F(Native, Root_IsKnownToOllamasClients) {
  const Reply reply = get(native::root, "/");
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.body, "Ollama is running");
}

TEST_F(Native, Health_AndReady_AnswerWithoutAModel) {
  EXPECT_EQ(get(native::health, "/health").json()["status"], "ok");
  const Reply ready = get(native::ready, "/ready");
  EXPECT_EQ(ready.status, 200);
  EXPECT_EQ(ready.json()["status"], "ready");
}

TEST_F(Native, Tokenize_GivesIdsAndDetokenizeTheText) {
  const Reply reply = post(native::tokenize, {{"model", kModel}, {"content", "Once upon a time"}, {"add_special", true}});
  ASSERT_EQ(reply.status, 200) << reply.body;
  EXPECT_EQ(reply.json()["tokens"], token_ids("Once upon a time"));
  Json ids = reply.json()["tokens"];
  ids.erase(ids.begin());
  const Reply without = post(native::tokenize, {{"model", kModel}, {"content", "Once upon a time"}});
  EXPECT_EQ(without.json()["tokens"], ids);
  const Reply text = post(native::detokenize, {{"model", kModel}, {"tokens", ids}});
  ASSERT_EQ(text.status, 200) << text.body;
  EXPECT_EQ(text.json()["content"], "Once upon a time");
}

TEST_F(Native, Tokenize_GivesPiecesAndBytesOfWhatIsNoUtf8) {
  const Reply reply = post(native::tokenize, {{"model", kModel}, {"content", "a\xE2\x98\x83"}, {"with_pieces", true}});
  ASSERT_EQ(reply.status, 200) << reply.body;
  std::string bytes;
  bool has_numbers = false;
  const Json answer = reply.json();
  for (const Json& token : answer["tokens"]) {
    EXPECT_TRUE(token["id"].is_number_integer());
    if (token["piece"].is_string()) {
      bytes += token["piece"].get<std::string>();
    } else {
      has_numbers = true;
      for (const Json& byte : token["piece"]) bytes += static_cast<char>(byte.get<int>());
    }
  }
  EXPECT_TRUE(has_numbers) << reply.body;
  EXPECT_TRUE(bytes.ends_with("a\xE2\x98\x83")) << reply.body;
}

TEST_F(Native, Tokenize_RecognisesControlTokensUnlessToldNotTo) {
  const Json recognised = post(native::tokenize, {{"model", kModel}, {"content", "</s>"}}).json()["tokens"];
  EXPECT_EQ(recognised, Json::array({2}));
  const Json plain =
      post(native::tokenize, {{"model", kModel}, {"content", "</s>"}, {"parse_special", false}}).json()["tokens"];
  EXPECT_GT(plain.size(), 1U);
}

TEST_F(Native, Model_IsTheOneOfTheStartWhereNoneIsSaid) {
  const Reply none = post(native::tokenize, {{"content", "a"}});
  EXPECT_EQ(none.status, 400);
  EXPECT_NE(none.body.find("model"), std::string::npos) << none.body;
  const Services with_default{services().catalogue, services().scheduler, "0.1.0", kModel};
  const auto exchange = std::make_shared<test::FakeExchange>(request({{"content", "a"}}));
  native::tokenize(with_default, exchange);
  EXPECT_EQ(exchange->wait().status, 200);
  EXPECT_EQ(post(native::tokenize, {{"model", "other"}, {"content", "a"}}).status, 404);
}

TEST_F(Native, Detokenize_RefusesWhatIsNoToken) {
  for (const char* tokens : {"[512]", "[-1]", "[\"a\"]", "[1.5]", "[99999999999999999999]", "\"a\"", "[[1]]"}) {
    const Reply reply = post(native::detokenize, {{"model", kModel}, {"tokens", Json::parse(tokens)}});
    EXPECT_EQ(reply.status, 400) << tokens;
    EXPECT_NE(reply.body.find("tokens"), std::string::npos) << reply.body;
  }
}

TEST_F(Native, ApplyTemplate_GivesThePrompt) {
  const Json messages = Json::array({{{"role", "user"}, {"content", "a"}}, {{"role", "assistant"}, {"content", "b"}}});
  const Reply reply = post(native::apply_template, {{"model", kModel}, {"messages", messages}});
  ASSERT_EQ(reply.status, 200) << reply.body;
  EXPECT_EQ(reply.json()["prompt"], "a\nb");  // stories260K has no template
  const Reply tools =
      post(native::apply_template, {{"model", kModel}, {"messages", messages}, {"tools", Json::array({Json::object()})}});
  EXPECT_EQ(tools.status, 400);
  EXPECT_NE(tools.body.find("tools"), std::string::npos) << tools.body;
}

TEST(MetricsText, HasEveryCountOnce) {
  serve::Snapshot snapshot;
  snapshot.n_requests = 7;
  snapshot.n_prompt_tokens = 11;
  snapshot.queue.add(0.003);
  snapshot.queue.add(0.003);
  snapshot.queue.add(1000);
  const std::string text = native::metrics_text(snapshot);
  EXPECT_NE(text.find("\nwoolly_requests_total 7\n"), std::string::npos) << text;
  EXPECT_NE(text.find("\nwoolly_prompt_tokens_total 11\n"), std::string::npos) << text;
  EXPECT_NE(text.find("\nllamacpp:prompt_tokens_total 11\n"), std::string::npos) << text;
  EXPECT_NE(text.find("woolly_queue_seconds_bucket{le=\"0.002\"} 0\n"), std::string::npos) << text;
  EXPECT_NE(text.find("woolly_queue_seconds_bucket{le=\"0.004\"} 2\n"), std::string::npos) << text;
  EXPECT_NE(text.find("woolly_queue_seconds_bucket{le=\"+Inf\"} 3\n"), std::string::npos) << text;
  EXPECT_NE(text.find("woolly_queue_seconds_count 3\n"), std::string::npos) << text;
}

/// Prometheus' text format: every sample follows the TYPE of its name, and no name has two.
TEST(MetricsText, DeclaresEachNameBeforeItsSamples) {
  std::istringstream lines(native::metrics_text({}));
  std::vector<std::string> names;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("# TYPE ")) {
      const std::string name = line.substr(7, line.find(' ', 7) - 7);
      EXPECT_EQ(std::ranges::find(names, name), names.end()) << line;
      names.push_back(name);
    } else if (!line.starts_with("# HELP ")) {
      ASSERT_FALSE(names.empty());
      EXPECT_TRUE(line.starts_with(names.back())) << line;
    }
  }
  EXPECT_GT(names.size(), 15U);
}

}  // namespace
}  // namespace woolly::server
