#include "server/anthropic.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "sample/filters.h"
#include "server/server_test.h"

namespace woolly::server {
namespace {

using test::events;
using test::Reply;

class AnthropicMessages : public test::ServerTest {
 protected:
  static Json body(Json more = Json::object()) {
    Json body{{"model", kModel},
              {"messages", Json::array({{{"role", "user"}, {"content", "Once upon a time"}}})},
              {"temperature", 0},
              {"max_tokens", 8}};
    body.update(more);
    return body;
  }
  Reply send(const Json& more = Json::object()) { return post(anthropic::messages, body(more)); }
  std::size_t count(const Json& more) {
    const Reply reply = post(anthropic::count_tokens, body(more));
    EXPECT_EQ(reply.status, 200) << reply.body;
    return reply.json()["input_tokens"].get<std::size_t>();
  }
};

TEST_F(AnthropicMessages, AnswersWhole) {
  const Reply reply = send();
  ASSERT_EQ(reply.status, 200) << reply.body;
  const Json answer = reply.json();
  EXPECT_EQ(answer["type"], "message");
  EXPECT_EQ(answer["role"], "assistant");
  EXPECT_EQ(answer["model"], kModel);
  EXPECT_EQ(answer["content"], Json::array({{{"type", "text"}, {"text", continuation(8)}}}));
  EXPECT_EQ(answer["stop_reason"], "max_tokens");
  EXPECT_TRUE(answer["stop_sequence"].is_null());
  const Json& usage = answer["usage"];
  EXPECT_EQ(usage["output_tokens"], 8);
  EXPECT_EQ(usage["input_tokens"].get<std::size_t>() + usage["cache_read_input_tokens"].get<std::size_t>(),
            token_ids("Once upon a time").size());
  EXPECT_TRUE(answer["timings"].is_object());
}

TEST_F(AnthropicMessages, StreamsEvents) {
  const Reply reply = send({{"stream", true}});
  EXPECT_EQ(reply.content_type, "text/event-stream");
  EXPECT_EQ(reply.ping, "event: ping\ndata: {\"type\":\"ping\"}\n\n");
  std::vector<std::string> types;
  std::string text;
  Json delta;
  for (const std::string& data : events(reply.body)) {
    const Json event = Json::parse(data);
    const auto type = event["type"].get<std::string>();
    EXPECT_NE(reply.body.find("event: " + type + "\ndata: " + data + "\n\n"), std::string::npos) << data;
    if (type == "content_block_delta") {
      text += event["delta"]["text"].get<std::string>();
    } else {
      types.push_back(type);
    }
    if (type == "message_delta") delta = event;
  }
  EXPECT_EQ(types, (std::vector<std::string>{"message_start", "content_block_start", "content_block_stop",
                                             "message_delta", "message_stop"}));
  EXPECT_EQ(text, continuation(8));
  EXPECT_EQ(delta["delta"]["stop_reason"], "max_tokens");
  EXPECT_EQ(delta["usage"]["output_tokens"], 8);
}

TEST_F(AnthropicMessages, NamesTheStopSequence) {
  const std::string stop = continuation(8).substr(5, 4);
  const Json answer = send({{"stop_sequences", {"nowhere", stop}}}).json();
  EXPECT_EQ(answer["stop_reason"], "stop_sequence");
  EXPECT_EQ(answer["stop_sequence"], stop);
  EXPECT_EQ(answer["content"][0]["text"], continuation(8).substr(0, continuation(8).find(stop)));
}

TEST_F(AnthropicMessages, TakesTheSystemPromptAsTextOrBlocks) {
  const Json blocks = Json::array({{{"type", "text"}, {"text", "Be"}, {"cache_control", {{"type", "ephemeral"}}}},
                                   {{"type", "text"}, {"text", "kind."}}});
  EXPECT_EQ(count({{"system", blocks}}), count({{"system", "Be\nkind."}}));
  EXPECT_GT(count({{"system", blocks}}), count(Json::object()));
}

TEST_F(AnthropicMessages, LeavesTheBillingHeaderOut) {
  EXPECT_EQ(anthropic::without_billing_header("x-anthropic-billing-header: cch=1;\nBe kind."), "Be kind.");
  EXPECT_EQ(anthropic::without_billing_header("x-anthropic-billing-header: cch=1;"), "");
  EXPECT_EQ(anthropic::without_billing_header("Of x-anthropic-billing-header: nothing"),
            "Of x-anthropic-billing-header: nothing");
  const auto prompt = [this](const Json& system) {
    auto asked = anthropic::read_message(services(), request(body({{"system", system}})));
    EXPECT_TRUE(asked) << asked.error().message;
    return asked->requests[0].prompt;
  };
  const Json kind{{"type", "text"}, {"text", "Be kind."}};
  const auto with = [&kind](std::string_view header) {
    return Json::array({{{"type", "text"}, {"text", header}}, kind});
  };
  EXPECT_EQ(prompt(with("x-anthropic-billing-header: cc_version=2; cch=01ab;")), prompt("Be kind."));
  EXPECT_EQ(prompt("x-anthropic-billing-header: cch=ff\nBe kind."), prompt("Be kind."));
}

TEST_F(AnthropicMessages, HoldsEveryNumberToItsRange) {
  const auto read = [this](const Json& body) { return anthropic::read_message(services(), request(body)); };
  test::expect_range(body(), Json::json_pointer(""), "max_tokens", read);
  for (const sample::Filter& filter : sample::all_filters()) {
    test::expect_range(body(), Json::json_pointer(""), std::string(filter.name), read);
  }
}

TEST_F(AnthropicMessages, RefusesByName) {
  const std::vector<std::pair<Json, std::string>> cases = {
      {{{"max_tokens", nullptr}}, "max_tokens: missing, allowed is a whole number, at least 1 and at most 2147483648"},
      {{{"max_tokens", 0}}, "max_tokens: 0, allowed is a whole number, at least 1 and at most 2147483648"},
      {{{"top_k", -1}}, "top_k: -1, allowed is a whole number, at least 0 and at most 2147483647"},
      {{{"temperature", -0.5}}, "temperature: -0.5, allowed is a number, at least 0, finite"},
      {{{"stop_sequences", "x"}}, "stop_sequences: a string, allowed is an array"},
      {{{"system", 1}}, "system: 1, allowed is a string or an array of text blocks"},
      {{{"tools", {{{"name", "f"}}}}}, "tools: an array, which is not supported; allowed is to leave it out"},
      {{{"tool_choice", {{"type", "any"}}}},
       "tool_choice: an object, which is not supported; allowed is {\"type\":\"none\"}"},
      {{{"thinking", {{"type", "enabled"}}}},
       "thinking: an object, which is not supported; allowed is {\"type\":\"disabled\"}"},
      {{{"output_config", {{"format", {{"type", "json_schema"}}}}}},
       "output_config.format: an object, which is not supported; allowed is to leave it out"},
      {{{"messages", {{{"role", "system"}, {"content", "x"}}}}},
       "messages.0.role: \"system\", allowed is user, assistant"},
      {{{"messages", {{{"role", "user"}, {"content", {{{"type", "tool_result"}}}}}}}},
       "messages.0.content.0.type: \"tool_result\", which is not supported; allowed is \"text\""},
  };
  for (const auto& [more, message] : cases) {
    const Reply reply = send(more);
    EXPECT_EQ(reply.status, 400);
    EXPECT_EQ(reply.json()["type"], "error");
    EXPECT_EQ(reply.json()["error"]["message"], message);
  }
  EXPECT_EQ(
      send(
          {{"thinking", {{"type", "disabled"}}}, {"tool_choice", {{"type", "none"}}}, {"metadata", {{"user_id", "u"}}}})
          .status,
      200);
}

}  // namespace
}  // namespace woolly::server
