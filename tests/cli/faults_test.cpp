// What may go wrong around a server that runs: each costs the requests that it hits, and nothing else.
#include <sys/resource.h>
#include <unistd.h>

#include <memory>
#include <utility>
#include <vector>

#include "cli/server.h"

namespace woolly::test {
namespace {

/// The most bytes of memory that a process has had.
std::uint64_t peak_memory(pid_t process) {
  std::ifstream file("/proc/" + std::to_string(process) + "/status");
  std::string word;
  while (file >> word && word != "VmHWM:") {
  }
  std::uint64_t kib = 0;
  file >> kib;
  EXPECT_GT(kib, 0U);
  return kib << 10U;
}

/// As many files as this process may open.
void open_many_files() {
  rlimit limit{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  limit.rlim_cur = limit.rlim_max;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

class FaultsTest : public CliTest {
 protected:
  /// That the server answers the next good request.
  static void expect_alive(const Server& server) {
    const HttpAnswer answer = server.post("/v1/completions", kCompletion);
    EXPECT_EQ(answer.status, 200) << answer.body;
  }
  static void expect_end(Server& server) {
    server.terminate();
    EXPECT_EQ(server.wait(), 0) << read_file("err");
  }
};

/// Many long streams at once.
std::string many_streams(const std::string& model) {
  std::string prompts = R"("Once upon a time")";
  for (int i = 0; i < 60; ++i) prompts += R"(,"Once upon a time")";
  return R"({"model":")" + model + R"(","prompt":[)" + prompts + R"(],"max_tokens":400,"logit_bias":{"1":-100,"2":-100},"stream":true})";
}

TEST_F(FaultsTest, ModelFileThatIsCutWhileItIsMapped_EndsItsRequests) {
  const std::filesystem::path whole = "data/woolly/models/smollm2-135m.gguf";
  std::filesystem::copy_file(whole, "cut.gguf");
  Server server("woolly serve cut.gguf --mmap");
  HttpClient client(server.port());
  client.send(Server::post_text("/v1/completions", many_streams("cut")));
  while (server.get("/metrics").body.find("\nwoolly_generated_tokens_total 0\n") != std::string::npos) {
  }
  std::filesystem::resize_file("cut.gguf", 4096);
  const HttpAnswer answer = client.receive();
  EXPECT_NE(answer.body.find("cut.gguf: cannot be read any more"), std::string::npos) << answer.body;
  EXPECT_EQ(answer.body.find(std::filesystem::current_path().string()), std::string::npos) << answer.body;
  expect_alive(server);
  const std::string request = R"({"model":"cut","prompt":"Once upon a time","max_tokens":8,"temperature":0})";
  EXPECT_NE(server.post("/v1/completions", request).status, 200);
  std::filesystem::copy_file(whole, "cut.gguf", std::filesystem::copy_options::overwrite_existing);
  EXPECT_EQ(server.post("/v1/completions", request).status, 200);
  expect_end(server);
}

TEST_F(FaultsTest, ModelFileThatIsCutWhileARunHasItMapped_IsOneLine) {
  const std::filesystem::path whole = "data/woolly/models/smollm2-135m.gguf";
  std::filesystem::copy_file(whole, "cut.gguf");
  // The scalar kernels take their time.
  Process run({"sh", "-c", "WOOLLY_DISABLE_SIMD=1 exec woolly run cut.gguf --mmap -t 1 -p 'Once upon a time' -n 400"},
              "/dev/null", "out", "err");
  while (!std::filesystem::exists("out") || std::filesystem::file_size("out") == 0) std::this_thread::yield();
  std::filesystem::resize_file("cut.gguf", 4096);
  EXPECT_EQ(run.wait(), 1);
  EXPECT_NE(read_file("err").find("woolly: error: cut.gguf: cannot be read any more"), std::string::npos)
      << read_file("err");
}

TEST_F(FaultsTest, NoFileDescriptorsLeft_DelaysOnly) {
  // 40: the program's own, and some connections.
  Server server("woolly serve", "ulimit -n 40; ");
  expect_alive(server);
  {
    std::vector<std::unique_ptr<HttpClient>> clients;
    for (int i = 0; i < 100; ++i) clients.push_back(std::make_unique<HttpClient>(server.port()));
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
  }
  expect_alive(server);
  expect_end(server);
}

TEST_F(FaultsTest, ThousandConnectionsThatSayNothing_HinderNobody) {
  open_many_files();
  Server server("woolly serve", "ulimit -Sn 256; ");
  std::vector<std::unique_ptr<HttpClient>> clients;
  for (int i = 0; i < 1000; ++i) clients.push_back(std::make_unique<HttpClient>(server.port()));
  expect_alive(server);
  for (const auto& client : clients) client->send("P");
  expect_alive(server);
  expect_end(server);
}

#ifndef WOOLLY_SANITIZED
// Sanitizers need terabytes of address space, and come before any other library.

/// The bytes of address space that a process has.
std::uint64_t address_space(pid_t process) {
  std::ifstream file("/proc/" + std::to_string(process) + "/statm");
  std::uint64_t pages = 0;
  file >> pages;
  return pages * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
}

TEST_F(FaultsTest, ThreadThatCannotStart_IsOneLine) {
  // 511 stacks of 8 MB do not fit.
  const Outcome outcome = shell("ulimit -s 8192; ulimit -v 2000000; woolly run smollm2:135m -p a -n 1 -t 512");
  expect_error(outcome, 1, {"thread", "of 512"});
}

std::string repeated(std::size_t n, const std::string& part) {
  std::string text = part;
  for (std::size_t i = 1; i < n; ++i) text.append(",").append(part);
  return text;
}

TEST_F(FaultsTest, NoMemoryForARequest_EndsItOnly) {
  const std::string model = R"({"model":"smollm2-135m",)";
  const std::pair<const char*, std::string> requests[] = {
      {"/v1/completions", model + R"("prompt":[)" + repeated(3'000'000, "1") + "]}"},
      {"/v1/completions", model + R"("prompt":"a","more":[)" + repeated(300'000, "[[[[]]]]") + "]}"},
      {"/v1/chat/completions", model + R"("messages":[)" + repeated(300'000, R"({"role":"user","content":"a"})") + "]}"},
      {"/tokenize", model + R"("with_pieces":true,"content":")" + std::string(1'000'000, 'b') + "\"}"},
  };
  for (const unsigned mib : {2U, 64U}) {
    Server server("woolly serve smollm2:135m --drain-seconds 1");
    expect_alive(server);
    const rlimit limit{address_space(server.id()) + (std::uint64_t{mib} << 20U), RLIM_INFINITY};
    ASSERT_EQ(prlimit(server.id(), RLIMIT_AS, &limit, nullptr), 0);
    for (const auto& [path, body] : requests) EXPECT_NE(server.post(path, body).status, 0) << path << " " << mib;
    expect_alive(server);
    expect_end(server);
  }
}

TEST_F(FaultsTest, ClockThatJumps_ChangesNothing) {
  Server server("woolly serve smollm2:135m", "export LD_PRELOAD=" WOOLLY_JUMPING_CLOCK "; ");
  for (int i = 0; i < 20; ++i) expect_alive(server);
  const HttpAnswer answer = server.post("/v1/completions", R"({"model":"smollm2-135m","prompt":"Once upon a time",)"
                                                           R"("max_tokens":300,"stream":true})");
  EXPECT_TRUE(answer.body.ends_with("data: [DONE]\n\n")) << answer.body;
  expect_end(server);
}

#endif

TEST_F(FaultsTest, FullDiskBehindTheLog_HindersNobody) {
  Server server("woolly serve smollm2:135m 2>/dev/full");
  for (int i = 0; i < 3; ++i) expect_alive(server);
  server.terminate();
  EXPECT_EQ(server.wait(), 0);
}

TEST_F(FaultsTest, GigabyteOfBrackets_IsRefusedBeforeItHasCome) {
  Server server("woolly serve smollm2:135m");
  const std::string brackets(std::size_t{1} << 20U, '[');
  {
    HttpClient client(server.port());
    client.send("POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1073741824\r\n\r\n");
    EXPECT_EQ(client.receive().status, 413);
  }
  {  // In chunks, so that its size is not told.
    HttpClient client(server.port());
    client.send("POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 1024 && client.send("100000\r\n" + brackets + "\r\n"); ++i) {
    }
  }
  EXPECT_LT(peak_memory(server.id()), std::uint64_t{512} << 20U);
  std::string body;
  for (int i = 0; i < 31; ++i) body += brackets;
  EXPECT_EQ(server.post("/v1/completions", body).status, 400);
  expect_alive(server);
  expect_end(server);
}

}  // namespace
}  // namespace woolly::test
