#include "server/ollama.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "sample/filters.h"
#include "server/server_test.h"

namespace woolly::server {
namespace {

using test::Reply;

class Ollama : public test::ServerTest {
 protected:
  static Json body(Json more = Json::object()) {
    Json body{{"model", kModel},
              {"prompt", "Once upon a time"},
              {"stream", false},
              {"options", {{"temperature", 0}, {"num_predict", 8}}}};
    body.update(more);
    return body;
  }
  static Json chat_body(Json more = Json::object()) {
    Json chat = body();
    chat["messages"] = Json::array({{{"role", "user"}, {"content", "Once upon a time"}}});
    chat.update(more);
    return chat;
  }
  Reply generate(const Json& more = Json::object()) { return post(ollama::generate, body(more)); }
  Reply chat(const Json& more = Json::object()) { return post(ollama::chat, chat_body(more)); }

  static std::string refusal(const Reply& reply) {
    EXPECT_EQ(reply.status, 400) << reply.body;
    return reply.json()["error"].get<std::string>();
  }
  static std::vector<Json> lines(const std::string& body) {
    std::vector<Json> read;
    for (std::size_t at = 0; at < body.size();) {
      const std::size_t end = body.find('\n', at);
      read.push_back(Json::parse(body.substr(at, end - at)));
      at = end + 1;
    }
    return read;
  }
};

TEST_F(Ollama, GeneratesWhole) {
  const Reply reply = generate();
  ASSERT_EQ(reply.status, 200) << reply.body;
  EXPECT_EQ(reply.content_type, "application/json");
  const Json answer = reply.json();
  EXPECT_EQ(answer["model"], kModel);
  EXPECT_EQ(answer["response"], continuation(8));
  EXPECT_EQ(answer["done"], true);
  EXPECT_EQ(answer["done_reason"], "length");
  EXPECT_EQ(answer["prompt_eval_count"], token_ids("Once upon a time").size());
  EXPECT_EQ(answer["eval_count"], 8);
  for (const char* field : {"total_duration", "load_duration", "prompt_eval_duration", "eval_duration"}) {
    EXPECT_TRUE(answer[field].is_number_integer()) << field;
  }
  EXPECT_EQ(answer["context"].size(), token_ids("Once upon a time").size() + 8);
  EXPECT_EQ(answer["created_at"].get<std::string>().size(), std::string("2026-11-25T10:20:30.123456789Z").size());
  EXPECT_EQ(generate({{"raw", true}}).json()["response"], continuation(8));
}

TEST_F(Ollama, StreamsLinesUnlessToldOtherwise) {
  const Reply reply = generate({{"stream", nullptr}});
  EXPECT_EQ(reply.content_type, "application/x-ndjson");
  const Json ping = Json::parse(reply.ping);
  EXPECT_EQ(ping["response"], "");
  EXPECT_EQ(ping["done"], false);
  const std::vector<Json> read = lines(reply.body);
  std::string text;
  for (const Json& line : read) {
    text += line["response"].get<std::string>();
    EXPECT_EQ(line["done"], &line == &read.back());
  }
  EXPECT_EQ(text, continuation(8));
  EXPECT_EQ(read.back()["eval_count"], 8);
}

TEST_F(Ollama, Chats) {
  const Json answer = chat().json();
  EXPECT_EQ(answer["message"], Json({{"role", "assistant"}, {"content", continuation(8)}}));
  EXPECT_EQ(answer["done_reason"], "length");
  EXPECT_FALSE(answer.contains("context"));
  std::string text;
  for (const Json& line : lines(chat({{"stream", true}}).body)) text += line["message"]["content"].get<std::string>();
  EXPECT_EQ(text, continuation(8));
}

TEST_F(Ollama, GoesOnFromAContext) {
  const auto prompt = [this](const Json& more) {
    auto asked = ollama::read_generate(services(), request(body(more)));
    EXPECT_TRUE(asked) << asked.error().message;
    return asked->requests[0].prompt;
  };
  std::vector<TokenId> expected = prompt(Json::object());
  const std::vector<TokenId> once = expected;
  expected.insert(expected.end(), once.begin() + 1, once.end());  // without a second BOS
  EXPECT_EQ(prompt({{"context", token_ids("Once upon a time")}}), expected);
}

TEST_F(Ollama, ReadsOptions) {
  const auto read = [this](const Json& options) {
    auto asked = ollama::read_generate(services(), request(body({{"options", options}})));
    EXPECT_TRUE(asked) << asked.error().message;
    return std::move(asked->requests[0]);
  };
  const serve::GenerateRequest plain = read(Json::object());
  EXPECT_EQ(plain.sampling.temperature, 0.8F);
  EXPECT_EQ(plain.sampling.top_k, 40);
  EXPECT_EQ(plain.sampling.top_p, 0.9F);
  EXPECT_EQ(plain.sampling.repeat_penalty, 1.0F);
  EXPECT_EQ(plain.max_tokens, SIZE_MAX);
  EXPECT_FALSE(plain.keep_alive);
  const serve::GenerateRequest full = read({{"temperature", 0.5},
                                            {"min_p", 0.1},
                                            {"repeat_last_n", -1},
                                            {"seed", 3},
                                            {"num_predict", -1},
                                            {"num_ctx", 20},
                                            {"num_thread", 3},
                                            {"stop", {"a", "b"}}});
  EXPECT_EQ(full.sampling.temperature, 0.5F);
  EXPECT_EQ(full.sampling.repeat_last_n, -1);
  EXPECT_EQ(full.sampling.seed, 3U);
  EXPECT_EQ(full.stops, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(full.max_tokens, 20 - full.prompt.size());
}

TEST_F(Ollama, ReadsEveryFormOfKeepAlive) {
  const auto keep_alive = [](const Json& value) {
    const auto read = ollama::read_keep_alive({{"keep_alive", value}});
    EXPECT_TRUE(read) << value;
    return read ? read.value() : std::nullopt;
  };
  EXPECT_EQ(keep_alive(nullptr), std::nullopt);
  EXPECT_EQ(keep_alive(0), 0);
  EXPECT_EQ(keep_alive(90), 90);
  EXPECT_EQ(keep_alive(-1), -1);
  EXPECT_EQ(keep_alive("5m"), 300);
  EXPECT_EQ(keep_alive("1h30m"), 5400);
  EXPECT_EQ(keep_alive("1.5h"), 5400);
  EXPECT_EQ(keep_alive("500ms"), 0.5);
  EXPECT_EQ(keep_alive("-1s"), -1);
  EXPECT_EQ(keep_alive("-1"), -1);
  EXPECT_EQ(keep_alive("24h"), 86400);
  for (const Json& value : {Json("soon"), Json(""), Json("-"), Json("5 m"), Json("1h30"), Json("5x"), Json("--5m"),
                            Json("inf"), Json("nan"), Json("1e5s"), Json(1e308), Json("99999999999h"), Json(true)}) {
    const auto read = ollama::read_keep_alive({{"keep_alive", value}});
    ASSERT_FALSE(read) << value;
    EXPECT_TRUE(read.error().message.starts_with("keep_alive: ")) << read.error().message;
  }
}

TEST_F(Ollama, LoadsAndUnloads) {
  const Json loaded = generate({{"prompt", ""}, {"stream", true}, {"keep_alive", "5m"}}).json();
  EXPECT_EQ(loaded["done_reason"], "load");
  EXPECT_EQ(loaded["response"], "");
  const Json running = get(ollama::ps, "/api/ps").json()["models"];
  ASSERT_EQ(running.size(), 1U);
  EXPECT_EQ(running[0]["name"], kModel);
  EXPECT_GT(running[0]["size"].get<std::size_t>(), 0U);
  EXPECT_EQ(chat({{"messages", Json::array()}, {"keep_alive", 0}}).json()["done_reason"], "unload");
}

TEST_F(Ollama, DescribesModels) {
  const Json tag = get(ollama::tags, "/api/tags").json()["models"][0];
  EXPECT_EQ(tag["name"], kModel);
  EXPECT_EQ(tag["model"], kModel);
  EXPECT_EQ(tag["digest"].get<std::string>().size(), 64U);
  EXPECT_EQ(tag["details"]["format"], "gguf");
  EXPECT_EQ(tag["details"]["family"], "llama");
  EXPECT_EQ(tag["details"]["quantization_level"], "F32");
  EXPECT_EQ(tag["details"]["parameter_size"], "293K");
  const Json shown = post(ollama::show, {{"name", std::string(kModel) + ":latest"}}).json();
  EXPECT_EQ(shown["details"], tag["details"]);
  EXPECT_EQ(shown["model_info"]["general.architecture"], "llama");
  EXPECT_EQ(shown["model_info"]["llama.context_length"], n_ctx());
  EXPECT_FALSE(shown["model_info"].contains("tokenizer.ggml.tokens"));
  EXPECT_EQ(shown["capabilities"], Json::array({"completion"}));
  const Json verbose = post(ollama::show, {{"model", kModel}, {"verbose", true}}).json();
  EXPECT_EQ(verbose["model_info"]["tokenizer.ggml.tokens"].size(), 512U);
  EXPECT_EQ(get(ollama::version, "/api/version").json()["version"], services().version);
}

TEST_F(Ollama, HoldsEveryNumberToItsRange) {
  const auto read = [this](const Json& body) { return ollama::read_generate(services(), request(body)); };
  const Json::json_pointer options("/options");
  for (const char* name : {"num_ctx", "num_predict", "seed", "typical_p", "tfs_z", "mirostat"}) {
    test::expect_range(body(), options, name, read);
  }
  for (const sample::Filter& filter : sample::all_filters()) {
    test::expect_range(body(), options, std::string(filter.name), read);
  }
  for (const char* name : {"keep_alive", "top_logprobs"}) {
    test::expect_range(body(), Json::json_pointer(""), name, read);
  }
}

TEST_F(Ollama, RefusesByName) {
  const std::vector<std::pair<Json, std::string>> cases = {
      {{{"options", {{"temperature", -1}}}}, "options.temperature: -1, allowed is a number, at least 0, finite"},
      {{{"options", {{"num_predict", -3}}}},
       "options.num_predict: -3, allowed is a whole number, at least -2 and at most 2147483648"},
      {{{"options", {{"num_ctx", 0}}}},
       "options.num_ctx: 0, allowed is a whole number, at least 1 and at most 1073741824"},
      {{{"options", {{"num_ctx", 3}}}},
       "options.num_ctx: 3, and the prompt has 5 tokens; allowed is more than those, up to 2048"},
      {{{"options", {{"mirostat", 2}}}}, "options.mirostat: 2, which is not supported; allowed is 0"},
      {{{"options", {{"stop", 1}}}},
       "options.stop: 1, allowed is a string, or an array of at most 64 that are not empty"},
      {{{"options", 1}}, "options: 1, allowed is an object"},
      {{{"format", "json"}}, "format: a string, which is not supported; allowed is to leave it out"},
      {{{"format", {{"type", "object"}}}}, "format: an object, which is not supported; allowed is to leave it out"},
      {{{"think", true}}, "think: true, which is not supported; allowed is to leave it out"},
      {{{"think", "low"}}, "think: a string, which is not supported; allowed is to leave it out"},
      {{{"images", {"AA"}}}, "images: an array, which is not supported; allowed is to leave it out"},
      {{{"suffix", "x"}}, "suffix: a string, which is not supported; allowed is to leave it out"},
      {{{"template", "{{ .Prompt }}"}}, "template: a string, which is not supported; allowed is to leave it out"},
      {{{"context", {-1}}}, "context: an array with -1, allowed is token ids, at least 0 and at most 511"},
      {{{"prompt", 1}}, "prompt: 1, allowed is a string"},
  };
  for (const auto& [more, message] : cases) EXPECT_EQ(refusal(generate(more)), message);
  EXPECT_EQ(refusal(chat({{"tools", {1}}})), "tools: an array, which is not supported; allowed is to leave it out");
  EXPECT_EQ(refusal(chat({{"messages", {{{"role", "user"}, {"content", "x"}, {"images", {"AA"}}}}}})),
            "messages.0.images: an array, which is not supported; allowed is to leave it out");
  EXPECT_EQ(generate({{"model", "nobody"}}).status, 404);
  EXPECT_EQ(post(ollama::show, {{"model", "nobody"}}).status, 404);
  EXPECT_EQ(generate({{"think", false}, {"format", ""}, {"suffix", ""}, {"images", Json::array()}, {"truncate", true}})
                .status,
            200);
}

}  // namespace
}  // namespace woolly::server
