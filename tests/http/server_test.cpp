#include "http/server.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "support/http_client.h"

namespace woolly::http {
namespace {

using namespace std::chrono_literals;
using test::HttpAnswer;
using test::HttpClient;

constexpr auto kPatience = 20s;

/// Things that other threads hand over.
template <typename T>
class Handed {
 public:
  void put(T value) {
    const std::lock_guard lock(mutex_);
    values_.push_back(std::move(value));
    changed_.notify_all();
  }
  /// The next one, which comes within the time of patience.
  T take() {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(changed_.wait_for(lock, kPatience, [this] { return !values_.empty(); }));
    if (values_.empty()) return T{};
    T value = std::move(values_.front());
    values_.pop_front();
    return value;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<T> values_;
};

struct LogLine {
  std::string method;
  std::string path;
  int status = 0;
  bool is_gone = false;
  std::size_t n_notes = 0;
};

/// A server whose /echo answers by the request's body, and whose /held hands the exchange to the test.
class ServerTest : public testing::Test {
 protected:
  void start(const Limits& limits = {}) {
    Service service;
    service.admit = [](Request& request) -> std::optional<Response> {
      if (request.path == "/forbidden") return Response{403, "text/plain", "no", {}};
      if (request.path == "/cors") request.with_answer = {{"Access-Control-Allow-Origin", "http://localhost"}};
      return std::nullopt;
    };
    service.handle = [this](std::shared_ptr<Exchange> exchange) {
      const Request& request = exchange->request();
      if (request.path == "/held") return held_.put(std::move(exchange));
      if (request.path == "/dropped") return;
      if (request.path == "/thrown") throw std::runtime_error("on purpose");
      if (request.path == "/note") exchange->note({"n_prompt", std::int64_t{3}});
      exchange->respond({200, "text/plain", request.method == "GET" ? request.path : request.body, {{"X-Ours", "1"}}});
    };
    service.refuse = [](const Request&, int status, std::string_view message) {
      return Response{status, "text/plain", std::string(message), {}};
    };
    service.log = [this](const Completed& completed) {
      log_.put({completed.request.method, completed.request.path, completed.status, completed.is_gone,
                completed.notes.size()});
    };
    auto server = Server::start({.port = 0, .limits = limits}, std::move(service));
    ASSERT_TRUE(server) << server.error().message;
    server_ = std::move(server).value();
  }

  [[nodiscard]] std::uint16_t port() const { return server_->port(); }

  /// Whether the server still serves.
  void expect_alive() {
    HttpClient client(port());
    EXPECT_EQ(client.get("/alive").body, "/alive");
  }

  Handed<std::shared_ptr<Exchange>> held_;
  Handed<LogLine> log_;
  std::unique_ptr<Server> server_;
};

constexpr std::string_view kHeld = "GET /held HTTP/1.1\r\nHost: a\r\n\r\n";

TEST_F(ServerTest, KeepAlive_AnswersOneRequestAfterTheOther) {
  start();
  HttpClient client(port());
  const HttpAnswer first = client.get("/a%20b?c");
  EXPECT_EQ(first.status, 200);
  EXPECT_EQ(first.body, "/a b");
  EXPECT_TRUE(first.has_header("Connection: keep-alive"));
  EXPECT_TRUE(first.has_header("X-Ours: 1"));
  EXPECT_NE(first.head.find("x-request-id: req-"), std::string::npos);
  EXPECT_EQ(client.post("/echo", "body").body, "body");
  const std::string chunked = "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
  EXPECT_EQ(client.ask(chunked + "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n").body, "abcde");
  EXPECT_EQ(client.ask("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").status, 200);
  EXPECT_TRUE(client.is_closed_by_server());
}

TEST_F(ServerTest, Pipelining_AnswersInOrder) {
  start();
  HttpClient client(port());
  client.send(
      "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n"
      "POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx"
      "GET /3 HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_EQ(client.receive().body, "/1");
  EXPECT_EQ(client.receive().body, "x");
  EXPECT_EQ(client.receive().body, "/3");
}

TEST_F(ServerTest, Requests_MayComeByteByByte) {
  start();
  HttpClient client(port());
  for (const char byte : std::string_view("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")) {
    EXPECT_TRUE(client.send({&byte, 1}));
  }
  EXPECT_EQ(client.receive().body, "abc");
}

TEST_F(ServerTest, Head_HasNoBody) {
  start();
  HttpClient client(port());
  const HttpAnswer answer = client.ask("HEAD /echo HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(client.get("/next").body, "/next");
}

TEST_F(ServerTest, Expect_IsToldToContinue) {
  start();
  HttpClient client(port());
  client.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_EQ(client.wait_for("HTTP/1.1 100 Continue\r\n\r\n"), 0U);
  client.send("abc");
  EXPECT_EQ(client.receive().body, "abc");
}

TEST_F(ServerTest, Refusal_ComesBeforeTheBody) {
  start();
  HttpClient client(port());
  const HttpAnswer answer = client.ask("POST /forbidden HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n");
  EXPECT_EQ(answer.status, 403);
  EXPECT_EQ(answer.body, "no");
  EXPECT_TRUE(client.is_closed_by_server());
  EXPECT_EQ(log_.take().status, 403);
  HttpClient other(port());
  EXPECT_EQ(other.get("/forbidden").status, 403);
  EXPECT_EQ(other.get("/after").status, 200) << "nothing was left unread: the connection goes on";
  EXPECT_TRUE(other.get("/cors").has_header("Access-Control-Allow-Origin: http://localhost"));
}

class BadRequestTest : public ServerTest, public testing::WithParamInterface<std::pair<const char*, int>> {};

TEST_P(BadRequestTest, Server_RefusesAndGoesOn) {
  start();
  HttpClient client(port());
  const HttpAnswer answer = client.ask(GetParam().first);
  EXPECT_EQ(answer.status, GetParam().second) << GetParam().first;
  EXPECT_TRUE(client.is_closed_by_server());
  expect_alive();
}

INSTANTIATE_TEST_SUITE_P(
    Requests, BadRequestTest,
    testing::Values(
        std::pair("\r\n\r\n", 400), std::pair("nonsense\r\n\r\n", 400), std::pair("GET\r\n\r\n", 400),
        std::pair("GET / HTTP/9.9\r\nHost: a\r\n\r\n", 400), std::pair("GET / HTTP/1.1\r\n\r\n", 400),
        std::pair("GET / HTTP/1.1\nHost: a\n\n\r\n\r\n", 400), std::pair("\x16\x03\x01\x02\x00\x01\r\n\r\n", 400),
        std::pair("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        std::pair("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        std::pair("GET http://evil/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        std::pair("GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", 400), std::pair("GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        std::pair("GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400), std::pair("GET / HTTP/1.1\r\n: a\r\n\r\n", 400),
        std::pair("GET / HTTP/1.1\r\nHost: a\r\nX: \x01\r\n\r\n", 400),
        std::pair("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        std::pair("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n", 400),
        std::pair("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n", 400),
        std::pair("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n", 400),
        std::pair("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 3\r\n\r\n", 400),
        std::pair("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400),
        std::pair("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n", 400),
        std::pair("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551616\r\n\r\n", 400),
        std::pair("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551615\r\n\r\n", 413),
        std::pair("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 33554433\r\n\r\n", 413),
        std::pair("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 400),
        std::pair("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 400),
        std::pair("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n", 400),
        std::pair("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n", 400),
        std::pair("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        std::pair("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        std::pair("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n", 400),
        std::pair("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n", 400),
        std::pair("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n", 400)));

TEST_F(ServerTest, Limits_OfHeaderBodyAndChunkLines) {
  start({.header = 2048, .body = 1000});
  const std::string filler(3000, 'a');
  EXPECT_EQ(HttpClient(port()).get("/" + filler).status, 431);
  EXPECT_EQ(HttpClient(port()).ask("GET / HTTP/1.1\r\nHost: a\r\nX: " + filler + "\r\n\r\n").status, 431);
  EXPECT_EQ(HttpClient(port()).post("/echo", filler).status, 413);
  const std::string chunked = "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
  EXPECT_EQ(HttpClient(port()).ask(chunked + "7d0\r\n" + filler).status, 413);
  EXPECT_EQ(HttpClient(port()).ask(chunked + "1;" + filler).status, 400);
  expect_alive();
}

TEST_F(ServerTest, Limits_OfAllBodiesTogether) {
  start({.all_bodies = 1500});
  HttpClient held(port());
  held.send("POST /held HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n" + std::string(1000, 'a'));
  const auto exchange = held_.take();
  EXPECT_EQ(HttpClient(port()).post("/echo", std::string(1000, 'b')).status, 503);
  exchange->respond({});
  EXPECT_EQ(held.receive().status, 200);
  EXPECT_EQ(HttpClient(port()).post("/echo", std::string(1000, 'b')).status, 200);
}

TEST_F(ServerTest, Limits_OfConnections) {
  start({.connections = 2});
  HttpClient first(port());
  HttpClient second(port());
  EXPECT_EQ(first.get("/").status, 200);
  EXPECT_EQ(second.get("/").status, 200);
  HttpClient third(port());
  EXPECT_EQ(third.receive().status, 503);
  EXPECT_TRUE(third.is_closed_by_server());
  EXPECT_EQ(first.get("/").status, 200);
}

TEST_F(ServerTest, Deadlines_EndSlowRequests) {
  start({.header_time = 100ms, .idle_time = 100ms, .body_time = 100ms});
  HttpClient silent(port());
  EXPECT_TRUE(silent.is_closed_by_server());
  HttpClient half_header(port());
  EXPECT_EQ(half_header.ask("GET / HTTP/1.1\r\nHo").status, 408);
  HttpClient half_body(port());
  EXPECT_EQ(half_body.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc").status, 408);
  HttpClient idle(port());
  EXPECT_EQ(idle.get("/").status, 200);
  EXPECT_TRUE(idle.is_closed_by_server());
}

TEST_F(ServerTest, Stream_ArrivesInPieces) {
  start();
  HttpClient client(port());
  client.send(kHeld);
  auto exchange = held_.take();
  exchange->begin(200, "text/event-stream", "");
  exchange->write("one");
  EXPECT_NE(client.wait_for("one"), std::string::npos) << "a piece waits for no other";
  exchange->write("");
  exchange->write("two");
  exchange->end();
  exchange->write("late");
  const HttpAnswer answer = client.receive();
  EXPECT_TRUE(answer.is_complete);
  EXPECT_EQ(answer.body, "onetwo");
  EXPECT_TRUE(answer.has_header("Content-Type: text/event-stream"));
  EXPECT_EQ(client.get("/next").body, "/next");
}

TEST_F(ServerTest, Stream_ToHttp10EndsWithTheConnection) {
  start();
  HttpClient client(port());
  client.send("GET /held HTTP/1.0\r\n\r\n");
  auto exchange = held_.take();
  exchange->begin(200, "text/plain", "");
  exchange->write("one");
  exchange->end();
  const HttpAnswer answer = client.receive();
  EXPECT_EQ(answer.body, "one");
  EXPECT_EQ(answer.head.find("chunked"), std::string::npos);
}

TEST_F(ServerTest, Stream_IsPingedWhileItIsSilent) {
  start({.ping_after = 20ms});
  HttpClient client(port());
  client.send(kHeld);
  auto exchange = held_.take();
  exchange->begin(200, "text/event-stream", ":\n\n");
  EXPECT_NE(client.wait_for(":\n\n\r\n3\r\n:\n\n"), std::string::npos);
  exchange->end();
  EXPECT_TRUE(client.receive().is_complete);
}

TEST_F(ServerTest, Leaving_IsToldAtOnce) {
  start();
  for (const bool is_stream : {false, true}) {
    HttpClient client(port());
    client.send(kHeld);
    auto exchange = held_.take();
    Handed<bool> gone;
    exchange->on_gone([&gone] { gone.put(true); });
    if (is_stream) {
      exchange->begin(200, "text/plain", "");
      exchange->write("one");
      EXPECT_NE(client.wait_for("one"), std::string::npos);
    }
    client.close();
    EXPECT_TRUE(gone.take());
    EXPECT_TRUE(exchange->is_gone());
    exchange->on_gone([&gone] { gone.put(true); });
    EXPECT_TRUE(gone.take()) << "at once, as it has left";
    exchange->write("two");
    exchange->end();
    exchange->respond({});
    const LogLine line = log_.take();
    EXPECT_TRUE(line.is_gone);
    EXPECT_EQ(line.status, is_stream ? 200 : 0);
  }
  expect_alive();
}

TEST_F(ServerTest, Leaving_IsNotToldOnceTheAnswerIsComplete) {
  start();
  HttpClient client(port());
  client.send(kHeld);
  auto exchange = held_.take();
  std::atomic<int> n_told = 0;
  const auto alive = std::make_shared<int>();
  exchange->on_gone([&n_told, alive] { ++n_told; });
  exchange->respond({});
  EXPECT_EQ(alive.use_count(), 1) << "what is told goes with the answer";
  EXPECT_EQ(client.receive().status, 200);
  client.close();
  server_.reset();
  EXPECT_EQ(n_told, 0);
}

TEST_F(ServerTest, SlowReader_CostsOneConnection) {
  start({.unread = 1 << 20});
  HttpClient client(port(), 4096);
  client.send(kHeld);
  auto exchange = held_.take();
  Handed<bool> gone;
  exchange->on_gone([&gone] { gone.put(true); });
  exchange->begin(200, "text/plain", "");
  // More than the limit and all that the system may keep for the two sockets.
  for (int i = 0; i < 64 && !exchange->is_gone(); ++i) exchange->write(std::string(1 << 20, 'a'));
  EXPECT_TRUE(gone.take());
  expect_alive();
}

TEST_F(ServerTest, SlowReader_IsLeftAfterAWhile) {
  start({.stall_time = 100ms});
  HttpClient client(port(), 4096);
  client.send(kHeld);
  held_.take()->respond({200, "text/plain", std::string(64 << 20, 'a'), {}});
  EXPECT_TRUE(log_.take().is_gone);
  expect_alive();
}

TEST_F(ServerTest, Handler_ThatFailsIsAnsweredBy500) {
  start();
  HttpClient client(port());
  EXPECT_EQ(client.get("/dropped").status, 500);
  EXPECT_EQ(client.get("/thrown").status, 500);
  EXPECT_EQ(client.get("/note").status, 200);
  EXPECT_EQ(log_.take().n_notes, 0U);
  log_.take();
  const LogLine line = log_.take();
  EXPECT_EQ(line.path, "/note");
  EXPECT_EQ(line.n_notes, 1U);
}

TEST_F(ServerTest, Stream_ThatIsGivenUpBreaksTheConnection) {
  start();
  HttpClient client(port());
  client.send(kHeld);
  auto exchange = held_.take();
  exchange->begin(200, "text/plain", "");
  exchange->write("one");
  exchange.reset();
  const HttpAnswer answer = client.receive();
  EXPECT_TRUE(std::string_view("one").starts_with(answer.body)) << "what was on its way may be lost: " << answer.body;
  EXPECT_FALSE(answer.is_complete);
}

TEST_F(ServerTest, Draining_LetsAnswersEndAndTakesNoMore) {
  start();
  HttpClient idle(port());
  EXPECT_EQ(idle.get("/").status, 200);
  HttpClient busy(port());
  busy.send(kHeld);
  auto exchange = held_.take();
  exchange->begin(200, "text/plain", "");
  HttpClient late(port());
  EXPECT_EQ(late.get("/").status, 200);
  late.send("POST / HTTP/1.1\r\n");
  server_->stop_accepting();
  EXPECT_TRUE(idle.is_closed_by_server());
  EXPECT_FALSE(server_->wait_until_idle(0ms));
  late.send("Host: a\r\nContent-Length: 1\r\n\r\nx");
  const int status = late.receive().status;
  EXPECT_TRUE(status == 503 || status == 0) << status;  // 0: the first line had not been read yet
  exchange->write("one");
  exchange->end();
  EXPECT_EQ(busy.receive().body, "one");
  busy.close();
  late.close();
  EXPECT_TRUE(server_->wait_until_idle(kPatience));
}

TEST_F(ServerTest, End_OfTheServerIsToldAndExchangesOutliveIt) {
  start();
  HttpClient client(port());
  client.send(kHeld);
  auto exchange = held_.take();
  Handed<bool> gone;
  exchange->on_gone([&gone] { gone.put(true); });
  server_.reset();
  EXPECT_TRUE(gone.take());
  exchange->respond({});
  EXPECT_TRUE(client.is_closed_by_server());
}

TEST_F(ServerTest, ManyClients_AtOnceGetTheirOwnAnswers) {
  start();
  std::vector<std::thread> clients;
  for (int i = 0; i < 16; ++i) {
    clients.emplace_back([this, i] {
      HttpClient client(port());
      for (int k = 0; k < 50; ++k) {
        const std::string path = "/" + std::to_string(i) + "/" + std::to_string(k);
        EXPECT_EQ(client.get(path).body, path);
      }
    });
  }
  for (std::thread& client : clients) client.join();
}

TEST(ServerStartTest, Start_TellsWhatIsWrong) {
  Service service;
  service.log = [](const Completed&) {};
  const auto first = Server::start({.port = 0}, service);
  ASSERT_TRUE(first);
  const auto second = Server::start({.port = first.value()->port()}, service);
  ASSERT_FALSE(second);
  EXPECT_NE(second.error().message.find(std::to_string(first.value()->port())), std::string::npos);
  EXPECT_FALSE(Server::start({.host = "no such host", .port = 0}, service));
}

TEST(LoopbackTest, IsLoopback_ReadsAddressesAndNames) {
  EXPECT_TRUE(is_loopback("127.0.0.1").value());
  EXPECT_TRUE(is_loopback("[::1]").value());
  EXPECT_TRUE(is_loopback("localhost").value());
  EXPECT_FALSE(is_loopback("0.0.0.0").value());
  EXPECT_FALSE(is_loopback("10.0.0.1").value());
}

}  // namespace
}  // namespace woolly::http
