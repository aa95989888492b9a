#include "server/openai.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "sample/filters.h"
#include "server/server_test.h"

namespace woolly::server {
namespace {

using test::events;
using test::Reply;

class OpenAi : public test::ServerTest {
 protected:
  static Json chat(Json more = Json::object()) {
    Json body{{"model", kModel},
              {"messages", Json::array({{{"role", "user"}, {"content", "Once upon a time"}}})},
              {"temperature", 0},
              {"max_tokens", 8}};
    body.update(more);
    return body;
  }
  static Json text(Json more = Json::object()) {
    Json body{{"model", kModel}, {"prompt", "Once upon a time"}, {"temperature", 0}, {"max_tokens", 8}};
    body.update(more);
    return body;
  }
  Reply post_chat(const Json& more = Json::object()) { return post(openai::chat_completions, chat(more)); }
  Reply post_text(const Json& more = Json::object()) { return post(openai::completions, text(more)); }

  /// The message of a 400.
  static std::string refusal(const Reply& reply) {
    EXPECT_EQ(reply.status, 400) << reply.body;
    return reply.json()["error"]["message"].get<std::string>();
  }
};

TEST_F(OpenAi, AnswersAChatWhole) {
  const Reply reply = post_chat();
  ASSERT_EQ(reply.status, 200) << reply.body;
  const Json answer = reply.json();
  EXPECT_EQ(answer["object"], "chat.completion");
  EXPECT_EQ(answer["model"], kModel);
  EXPECT_TRUE(answer["id"].get<std::string>().starts_with("chatcmpl-")) << reply.body;
  ASSERT_EQ(answer["choices"].size(), 1U);
  const Json& choice = answer["choices"][0];
  EXPECT_EQ(choice["message"]["role"], "assistant");
  EXPECT_EQ(choice["message"]["content"], continuation(8));
  EXPECT_EQ(choice["finish_reason"], "length");
  EXPECT_TRUE(choice["logprobs"].is_null());
  EXPECT_EQ(answer["usage"]["completion_tokens"], 8);
  EXPECT_EQ(answer["usage"]["total_tokens"], answer["usage"]["prompt_tokens"].get<int>() + 8);
  EXPECT_TRUE(answer["usage"]["prompt_tokens_details"]["cached_tokens"].is_number());
  for (const char* part : {"queued_ms", "load_ms", "prefill_ms", "decode_ms", "sampling_ms"}) {
    EXPECT_GE(answer["timings"][part].get<double>(), 0) << part;
  }
}

TEST_F(OpenAi, StreamsAChat) {
  const Reply reply = post_chat({{"stream", true}, {"stream_options", {{"include_usage", true}}}});
  EXPECT_EQ(reply.content_type, "text/event-stream");
  EXPECT_EQ(reply.ping, ":\n\n");
  std::vector<std::string> data = events(reply.body);
  ASSERT_GE(data.size(), 4U) << reply.body;
  EXPECT_EQ(data.back(), "[DONE]");
  data.pop_back();
  const Json last = Json::parse(data.back());
  data.pop_back();
  EXPECT_EQ(last["choices"], Json::array());
  EXPECT_EQ(last["usage"]["completion_tokens"], 8);
  std::string content;
  for (const std::string& line : data) {
    const Json chunk = Json::parse(line);
    EXPECT_EQ(chunk["object"], "chat.completion.chunk");
    EXPECT_TRUE(chunk["usage"].is_null());
    const Json& choice = chunk["choices"][0];
    const bool is_last = &line == &data.back();
    EXPECT_EQ(choice["finish_reason"], is_last ? Json("length") : Json());
    if (!is_last) content += choice["delta"]["content"].get<std::string>();
  }
  EXPECT_EQ(Json::parse(data.front())["choices"][0]["delta"]["role"], "assistant");
  EXPECT_EQ(content, continuation(8));
}

TEST_F(OpenAi, StreamsNoUsageUnlessAsked) {
  const Reply reply = post_chat({{"stream", true}});
  EXPECT_EQ(reply.body.find("usage"), std::string::npos) << reply.body;
}

TEST_F(OpenAi, CompletesTextsTokensAndListsOfThem) {
  const std::string expected = continuation(8);
  EXPECT_EQ(post_text().json()["choices"][0]["text"], expected);
  const Json ids = token_ids("Once upon a time");
  EXPECT_EQ(post_text({{"prompt", ids}}).json()["choices"][0]["text"], expected);
  const Json many = post_text({{"prompt", {"Once upon a time", "Once upon a time"}}, {"n", 2}}).json();
  ASSERT_EQ(many["choices"].size(), 4U);
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(many["choices"][i]["index"], i);
    EXPECT_EQ(many["choices"][i]["text"], expected);
  }
  EXPECT_EQ(many["usage"]["prompt_tokens"], 2 * ids.size());
  EXPECT_EQ(many["usage"]["completion_tokens"], 32);
  EXPECT_EQ(post_text({{"prompt", Json::array({ids, ids})}}).json()["choices"].size(), 2U);
  std::string streamed;
  for (const std::string& data : events(post_text({{"stream", true}}).body)) {
    if (data != "[DONE]") streamed += Json::parse(data)["choices"][0]["text"].get<std::string>();
  }
  EXPECT_EQ(streamed, expected);
}

TEST_F(OpenAi, CompletesSixteenTokensUnlessToldOtherwise) {
  EXPECT_EQ(post_text({{"max_tokens", nullptr}}).json()["usage"]["completion_tokens"], 16);
}

TEST_F(OpenAi, TellsLogprobsInBothForms) {
  const Json chat = post_chat({{"logprobs", true}, {"top_logprobs", 2}}).json()["choices"][0];
  const Json& tokens = chat["logprobs"]["content"];
  ASSERT_EQ(tokens.size(), 8U);
  std::string joined;
  for (const Json& token : tokens) {
    joined += token["token"].get<std::string>();
    EXPECT_LE(token["logprob"].get<double>(), 0);
    ASSERT_EQ(token["top_logprobs"].size(), 2U);
    EXPECT_EQ(token["top_logprobs"][0]["token"], token["token"]);
    std::string bytes;
    for (const Json& byte : token["bytes"]) bytes += static_cast<char>(byte.get<int>());
    EXPECT_EQ(bytes, token["token"].get<std::string>());
  }
  EXPECT_EQ(joined, chat["message"]["content"].get<std::string>());
  const Json lists = post_text({{"logprobs", 1}}).json()["choices"][0]["logprobs"];
  std::size_t offset = 0;
  for (std::size_t i = 0; i < 8; ++i) {
    EXPECT_EQ(lists["tokens"][i], tokens[i]["token"]);
    EXPECT_EQ(lists["token_logprobs"][i], tokens[i]["logprob"]);
    EXPECT_EQ(lists["top_logprobs"][i].size(), 1U);
    EXPECT_EQ(lists["text_offset"][i], offset);
    offset += lists["tokens"][i].get<std::string>().size();
  }
  std::size_t n_streamed = 0;
  for (const std::string& data : events(post_chat({{"logprobs", true}, {"stream", true}}).body)) {
    if (data == "[DONE]") continue;
    const Json logprobs = Json::parse(data)["choices"][0]["logprobs"];
    if (!logprobs.is_null()) n_streamed += logprobs["content"].size();
  }
  EXPECT_EQ(n_streamed, 8U);
}

TEST_F(OpenAi, EndsAtAStopString) {
  const std::string stop = continuation(8).substr(5, 4);
  const Json answer = post_chat({{"stop", stop}}).json();
  EXPECT_EQ(answer["choices"][0]["message"]["content"], continuation(8).substr(0, continuation(8).find(stop)));
  EXPECT_EQ(answer["choices"][0]["finish_reason"], "stop");
}

TEST_F(OpenAi, ReadsWhatIsAskedFor) {
  const auto read = [this](const Json& body) {
    auto asked = openai::read_chat_completion(services(), request(body));
    EXPECT_TRUE(asked) << asked.error().message;
    return std::move(asked).value();
  };
  const Json messages = chat()["messages"];
  const Asked plain = read({{"model", kModel}, {"messages", messages}});
  EXPECT_EQ(plain.requests[0].sampling.temperature, 1.0F);
  EXPECT_EQ(plain.requests[0].sampling.top_k, 0);
  EXPECT_EQ(plain.requests[0].sampling.top_p, 1.0F);
  EXPECT_EQ(plain.requests[0].max_tokens, SIZE_MAX);
  EXPECT_FALSE(plain.is_streamed);
  const Asked full = read(chat({{"max_completion_tokens", 5},
                                {"min_p", 0.25},
                                {"top_k", 7},
                                {"repeat_penalty", 1.5},
                                {"seed", 9},
                                {"n", 3},
                                {"logit_bias", {{"5", -100}, {"6", 1.5}}}}));
  ASSERT_EQ(full.requests.size(), 3U);
  const serve::GenerateRequest& first = full.requests[0];
  EXPECT_EQ(first.max_tokens, 5U);
  EXPECT_EQ(first.sampling.min_p, 0.25F);
  EXPECT_EQ(first.sampling.top_k, 7);
  EXPECT_EQ(first.sampling.repeat_penalty, 1.5F);
  ASSERT_EQ(first.sampling.logit_bias.size(), 2U);
  EXPECT_EQ(first.sampling.logit_bias[0], std::pair(TokenId{5}, sample::kNever));
  EXPECT_EQ(first.sampling.logit_bias[1], std::pair(TokenId{6}, 1.5F));
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(full.requests[i].sampling.seed, 9 + i);
}

TEST_F(OpenAi, JoinsBlocksOfText) {
  const Json blocks = Json::array({{{"type", "text"}, {"text", "Once upon"}}, {{"type", "text"}, {"text", "a time"}}});
  const auto prompt = [this](const Json& content) {
    const Json body = chat({{"messages", Json::array({{{"role", "developer"}, {"content", content}}})}});
    auto asked = openai::read_chat_completion(services(), request(body));
    EXPECT_TRUE(asked) << asked.error().message;
    return asked->requests[0].prompt;
  };
  EXPECT_EQ(prompt(blocks), prompt("Once upon\na time"));
}

TEST_F(OpenAi, RefusesByName) {
  const std::vector<std::pair<Json, std::string>> cases = {
      {{{"temperature", -1}}, "temperature: -1, allowed is a number, at least 0, finite"},
      {{{"top_p", 0}}, "top_p: 0, allowed is a number, above 0 and at most 1"},
      {{{"n", 0}}, "n: 0, allowed is a whole number, at least 1 and at most 128"},
      {{{"n", 1e308}}, "n: 1e+308, allowed is a whole number, at least 1 and at most 128"},
      {{{"max_tokens", -1}}, "max_tokens: -1, allowed is a whole number, at least 1 and at most 2147483648"},
      {{{"max_completion_tokens", 0.5}},
       "max_completion_tokens: 0.5, allowed is a whole number, at least 1 and at most 2147483648"},
      {{{"top_logprobs", 21}, {"logprobs", true}},
       "top_logprobs: 21, allowed is a whole number, at least 0 and at most 20"},
      {{{"top_logprobs", 2}}, "top_logprobs: 2, allowed is 0 unless logprobs is true"},
      {{{"stream", "yes"}}, "stream: a string, allowed is true or false"},
      {{{"stream_options", {{"include_usage", 1}}}}, "stream_options.include_usage: 1, allowed is true or false"},
      {{{"logit_bias", {{"5", 101}}}}, "logit_bias.5: 101, allowed is a number, at least -100 and at most 100"},
      {{{"logit_bias", {{"512", 1}}}}, "logit_bias: \"512\", allowed is a token id from 0 to 511"},
      {{{"logit_bias", {{"-1", 1}}}}, "logit_bias: \"-1\", allowed is a token id from 0 to 511"},
      {{{"messages", Json::array()}}, "messages: an empty array, allowed is at least one message"},
      {{{"messages", "hi"}}, "messages: a string, allowed is an array"},
      {{{"messages", {1}}}, "messages.0: 1, allowed is an object"},
      {{{"messages", {{{"role", "user"}}}}},
       "messages.0.content: missing, allowed is a string or an array of text blocks"},
      {{{"messages", {{{"role", "cook"}, {"content", "x"}}}}},
       "messages.0.role: \"cook\", allowed is system, developer, user, assistant"},
      {{{"messages", {{{"role", "user"}, {"content", 5}}}}},
       "messages.0.content: 5, allowed is a string or an array of text blocks"},
      {{{"messages", {{{"role", "user"}, {"content", {{{"type", "image_url"}}}}}}}},
       "messages.0.content.0.type: \"image_url\", which is not supported; allowed is \"text\""},
      {{{"messages", {{{"role", "assistant"}, {"content", "x"}, {"tool_calls", {1}}}}}},
       "messages.0.tool_calls: an array, which is not supported; allowed is to leave it out"},
      {{{"model", nullptr}}, "model: missing, allowed is a string"},
  };
  for (const auto& [more, message] : cases) EXPECT_EQ(refusal(post_chat(more)), message);
  EXPECT_EQ(refusal(post_text({{"prompt", nullptr}})),
            "prompt: missing, allowed is a string, token ids, or an array of at least one of either");
  EXPECT_EQ(refusal(post_text({{"prompt", {512}}})),
            "prompt: an array with 512, allowed is token ids, at least 0 and at most 511");
  EXPECT_EQ(refusal(post_text({{"prompt", {"a", 1}}})), "prompt.1: 1, allowed is a string or token ids");
  EXPECT_EQ(refusal(post_text({{"prompt", {"a", "b"}}, {"n", 65}})),
            "prompt: 2 prompts times n = 65, allowed is at most 128 completions");
}

TEST_F(OpenAi, HoldsEveryNumberToItsRange) {
  const auto read_chat = [this](const Json& body) { return openai::read_chat_completion(services(), request(body)); };
  const auto read_text = [this](const Json& body) { return openai::read_completion(services(), request(body)); };
  const Json::json_pointer top("");
  for (const char* name : {"n", "max_tokens", "max_completion_tokens", "top_logprobs", "seed", "mirostat", "typical_p",
                           "min_tokens", "dry_multiplier", "xtc_probability"}) {
    test::expect_range(chat(), top, name, read_chat);
  }
  for (const char* name : {"n", "max_tokens", "logprobs", "best_of", "prompt"}) {
    test::expect_range(text(), top, name, read_text);
  }
  for (const sample::Filter& filter : sample::all_filters()) {
    test::expect_range(chat(), top, std::string(filter.name), read_chat);
  }
  test::expect_range(chat({{"logit_bias", Json::object()}}), Json::json_pointer("/logit_bias"), "5", read_chat);
}

TEST_F(OpenAi, RefusesWhatItDoesNotDo) {
  for (const char* field : {"tools", "functions", "response_format", "audio", "grammar", "guided_json", "chat_template",
                            "web_search_options", "json_schema", "structured_outputs"}) {
    EXPECT_TRUE(
        refusal(post_chat({{field, {{"type", "x"}}}})).starts_with(std::string(field) + ": an object, which is not"))
        << field;
  }
  EXPECT_EQ(refusal(post_chat({{"tool_choice", "auto"}})),
            "tool_choice: a string, which is not supported; allowed is \"none\"");
  for (const auto& [field, value] : {std::pair{"suffix", Json("x")}, {"echo", Json(true)}, {"best_of", Json(2)}}) {
    EXPECT_TRUE(refusal(post_text({{field, value}})).starts_with(std::string(field) + ": ")) << field;
  }
  const Json harmless{{"tools", Json::array()},
                      {"tool_choice", "none"},
                      {"response_format", {{"type", "text"}}},
                      {"user", "u"},
                      {"store", false},
                      {"metadata", {{"a", "b"}}},
                      {"service_tier", "auto"},
                      {"unknown", {1, 2}},
                      {"parallel_tool_calls", true}};
  EXPECT_EQ(post_chat(harmless).status, 200);
  EXPECT_EQ(post_text({{"best_of", 1}, {"echo", false}, {"suffix", nullptr}}).status, 200);
}

TEST_F(OpenAi, SaysBothNumbersOfAPromptOverTheContext) {
  std::string longer;
  for (int i = 0; i < 4096; ++i) longer += "once upon a time ";
  for (const bool is_streamed : {false, true}) {
    const Reply reply = post_text({{"prompt", longer}, {"stream", is_streamed}});
    EXPECT_EQ(reply.status, 400);
    const Json error = reply.json()["error"];
    EXPECT_EQ(error["code"], "context_length_exceeded");
    EXPECT_EQ(error["type"], "exceed_context_size_error");
    EXPECT_EQ(error["n_ctx"], n_ctx());
    EXPECT_EQ(error["n_prompt_tokens"], token_ids(longer).size());
  }
}

TEST_F(OpenAi, ListsModelsAndNamesThemToWhoAsksForAnother) {
  const Json models = get(openai::list_models, "/v1/models").json();
  EXPECT_EQ(models["object"], "list");
  ASSERT_EQ(models["data"].size(), 1U);
  EXPECT_EQ(models["data"][0]["id"], kModel);
  EXPECT_EQ(models["data"][0]["meta"]["n_ctx"], n_ctx());
  const std::string path = std::string("/v1/models/") + kModel;
  EXPECT_EQ(get(openai::get_model, path).json(), models["data"][0]);
  EXPECT_EQ(get(openai::get_model, path + ":latest").status, 200);
  for (const Reply& reply : {get(openai::get_model, "/v1/models/a/b"), post_chat({{"model", "a/b"}})}) {
    EXPECT_EQ(reply.status, 404);
    const Json error = reply.json()["error"];
    EXPECT_EQ(error["code"], "model_not_found");
    EXPECT_NE(error["message"].get<std::string>().find("a/b"), std::string::npos) << error;
    EXPECT_NE(error["message"].get<std::string>().find(kModel), std::string::npos) << error;
  }
}

}  // namespace
}  // namespace woolly::server
