#include <sstream>

#include "cli/server.h"

namespace woolly::test {
namespace {

class ServeTest : public CliTest {};

TEST_F(ServeTest, Serve_AnswersAsRunDoesAndEndsWith0) {
  const Outcome run = woolly({"run", kModel, "-p", "Once upon a time", "-n", "8", "--temp", "0"});
  for (const bool is_interrupted : {true, false}) {
    Server server("woolly serve smollm2:135m");
    EXPECT_TRUE(server.address().starts_with("listening on http://127.0.0.1:")) << server.address();
    EXPECT_EQ(server.get("/").body, "Ollama is running");
    const HttpAnswer answer = server.post("/v1/completions", kCompletion);
    EXPECT_EQ(answer.status, 200) << answer.body;
    const std::size_t at = answer.body.find("\"text\":\"");
    ASSERT_NE(at, std::string::npos) << answer.body;
    const std::string text = answer.body.substr(at + 8, answer.body.find('"', at + 8) - at - 8);
    EXPECT_NE(run.out.find(text), std::string::npos) << run.out << "\n" << answer.body;
    EXPECT_FALSE(text.empty());
    if (is_interrupted) {
      server.interrupt();
    } else {
      server.terminate();
    }
    EXPECT_EQ(server.wait(), 0) << read_file("err");
    EXPECT_NE(read_file("err").find("shutting down"), std::string::npos);
  }
}

TEST_F(ServeTest, Serve_LoadsAModelOfTheStoreWhenItIsAskedFor) {
  const Server server("woolly serve");
  EXPECT_EQ(server.get("/ready").status, 200);
  EXPECT_EQ(server.post("/v1/completions", kCompletion).status, 200);
  const HttpAnswer other = server.post("/v1/completions", R"({"model":"other","prompt":"a"})");
  EXPECT_EQ(other.status, 404);
  EXPECT_NE(other.body.find("smollm2-135m"), std::string::npos) << other.body;
  server.terminate();
}

TEST_F(ServeTest, Serve_BecomesReadyWhenTheModelIsLoaded) {
  const Server server("woolly serve smollm2:135m --log json");
  int status = 503;
  for (int i = 0; i < 3000 && status == 503; ++i) {
    status = server.get("/ready").status;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_EQ(status, 200);
  EXPECT_NE(server.get("/metrics").body.find("\nwoolly_models_loaded 1\n"), std::string::npos);
  server.terminate();
}

/// What was begun is finished, and nothing else is let in.
TEST_F(ServeTest, Serve_FinishesAStreamBeforeItEnds) {
  Server server("woolly serve smollm2:135m");
  HttpClient client(server.port());
  client.send(Server::post_text("/v1/completions", R"({"model":"smollm2-135m","prompt":"Once upon a time",)"
                                                   R"("max_tokens":400,"temperature":0,"stream":true})"));
  while (server.get("/metrics").body.find("\nwoolly_requests_total 0\n") != std::string::npos) {
  }
  server.terminate();
  const HttpAnswer answer = client.receive();
  EXPECT_TRUE(answer.is_complete);
  EXPECT_TRUE(answer.body.ends_with("data: [DONE]\n\n")) << answer.body;
  EXPECT_EQ(server.wait(), 0);
}

TEST_F(ServeTest, Serve_CutsAStreamAtTheDeadline) {
  Server server("woolly serve smollm2:135m --drain-seconds 0");
  HttpClient client(server.port());
  std::string prompts = R"("Once upon a time")";
  for (int i = 0; i < 60; ++i) prompts += R"(,"Once upon a time")";
  client.send(Server::post_text("/v1/completions", R"({"model":"smollm2-135m","prompt":[)" + prompts +
                                                       R"(],"max_tokens":400,"logit_bias":{"1":-100,"2":-100},"stream":true})"));
  while (server.get("/metrics").body.find("\nwoolly_requests_total 0\n") != std::string::npos) {
  }
  server.terminate();
  const HttpAnswer answer = client.receive();
  EXPECT_EQ(answer.body.find("[DONE]"), std::string::npos);
  EXPECT_EQ(server.wait(), 0);
}

TEST_F(ServeTest, Serve_LetsInWhoKnowsAKeyAndLogsNone) {
  write("keys.txt", "# ours\nfirst-secret\n\nsecond-secret\n");
  Server server("woolly serve --api-key third-secret --api-key-file keys.txt --log json");
  EXPECT_EQ(server.get("/health").status, 200);
  EXPECT_EQ(server.get("/v1/models").status, 401);
  EXPECT_EQ(server.get("/v1/models", "Authorization: Bearer wrong-secret").status, 401);
  for (const char* key : {"first-secret", "second-secret", "third-secret"}) {
    EXPECT_EQ(server.get("/v1/models", std::string("Authorization: Bearer ") + key).status, 200) << key;
  }
  server.terminate();
  EXPECT_EQ(server.wait(), 0);
  const std::string log = read_file("err");
  EXPECT_NE(log.find("\"path\":\"/v1/models\""), std::string::npos) << log;
  EXPECT_EQ(log.find("secret"), std::string::npos) << log;
}

TEST_F(ServeTest, Serve_ListensBeyondThisMachineOnlyWithKeys) {
  expect_error(woolly({"serve", "--host", "0.0.0.0", "--port", "0"}), 1, {"0.0.0.0", "--api-key", "--insecure"});
  expect_error(woolly({"serve", "--host", "::", "--port", "0"}), 1, {"::", "--api-key", "--insecure"});
  const Server server("woolly serve --host 0.0.0.0 --insecure");
  EXPECT_EQ(server.get("/v1/models").status, 200);
  server.terminate();
}

TEST_F(ServeTest, Serve_RefusesWhatItCannotServe) {
  write("cut.gguf", "GGUF");
  write("keys.txt", "# none\n");
  expect_error(woolly({"serve", "cut.gguf", "--port", "0"}), 1, {"cut.gguf"});
  expect_error(woolly({"serve", "missing", "--port", "0"}), 1, {"missing"});
  expect_error(woolly({"serve", "--api-key-file", "keys.txt", "--port", "0"}), 1, {"keys.txt", "no key"});
  expect_error(woolly({"serve", "--api-key-file", "missing.txt", "--port", "0"}), 1, {"missing.txt"});
  expect_error(woolly({"serve", "--host", "no.such.host.invalid", "--port", "0"}), 1, {"no.such.host.invalid"});
  expect_error(woolly({"serve", kModel, kModel, "--port", "0"}), 1, {"smollm2-135m", "both"});
  const Server first("woolly serve");
  expect_error(woolly({"serve", "--port", std::to_string(first.port())}), 1, {std::to_string(first.port())});
  first.terminate();
}

TEST_F(ServeTest, Serve_WrongFlagsAreStatus2) {
  const std::vector<std::vector<std::string>> cases = {
      {"--port", "65536"},  {"--parallel", "0"}, {"--memory", "8X"},      {"--memory", "0"},
      {"--memory", "1.5G"}, {"--memory", ""},    {"--memory", "9999999T"}, {"--keep-alive", "-2"},
      {"--log", "xml"},     {"--queue", "0"},    {"-c", "0"},             {"--drain-seconds", "86401"},
  };
  for (const auto& flags : cases) {
    std::vector<std::string> arguments = {"serve", "--port", "0"};
    arguments.insert(arguments.end(), flags.begin(), flags.end());
    expect_error(woolly(arguments), 2, {flags[0], flags[1]});
  }
}

TEST_F(ServeTest, Help_ExamplesWork) {
  write("keys.txt", "secret\n");
  std::istringstream help(woolly({"serve", "--help"}).out);
  int n_examples = 0;
  for (std::string line; std::getline(help, line);) {
    if (!line.starts_with("  woolly serve ")) continue;
    ++n_examples;
    // The test's server has a port of its own.
    if (const std::size_t at = line.find(" --port "); at != std::string::npos) {
      line.erase(at, line.find(' ', at + 8) - at);
    }
    Server server(line.substr(2));
    EXPECT_EQ(server.get("/health").status, 200) << line;
    server.interrupt();
    EXPECT_EQ(server.wait(), 0) << line << "\n" << read_file("err");
  }
  EXPECT_GE(n_examples, 3);
}

}  // namespace
}  // namespace woolly::test
