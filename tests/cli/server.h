// `woolly serve` as a process of its own, and requests to it.
#pragma once

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

#include "cli/program.h"
#include "support/http_client.h"

namespace woolly::test {

/// A server that listens, on a port that the system chose.
class Server {
 public:
  /// `command` is a whole command line without a port, for the shell, which it takes the place of.
  /// `before` are commands of the shell that come first: "ulimit -n 40; ".
  explicit Server(const std::string& command, const std::string& before = "") : process_(start(command, before)) {
    // Within half a minute, as with a sanitizer on a busy machine.
    for (int i = 0; i < 3000 && port_ == 0; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
      std::ifstream file("out");
      std::string line;
      if (!std::getline(file, line) || file.eof()) continue;
      address_ = line;
      port_ = static_cast<std::uint16_t>(std::atoi(line.substr(line.rfind(':') + 1).c_str()));
    }
    EXPECT_NE(port_, 0) << command;
  }

  [[nodiscard]] std::uint16_t port() const { return port_; }
  [[nodiscard]] const std::string& address() const { return address_; }  ///< The line that said it.

  [[nodiscard]] HttpAnswer get(const std::string& path, const std::string& header = "") const {
    const std::string line = header.empty() ? "" : header + "\r\n";
    HttpClient client(port_);
    client.send("GET " + path + " HTTP/1.1\r\nHost: localhost\r\n" + line + "Connection: close\r\n\r\n");
    return client.receive();
  }
  [[nodiscard]] HttpAnswer post(const std::string& path, const std::string& body) const {
    HttpClient client(port_);
    client.send(post_text(path, body));
    return client.receive();
  }
  static std::string post_text(const std::string& path, const std::string& body) {
    return "POST " + path + " HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + std::to_string(body.size()) +
           "\r\n\r\n" + body;
  }

  void interrupt() const { process_.interrupt(); }
  void terminate() const { process_.terminate(); }
  int wait() { return process_.wait(); }
  [[nodiscard]] pid_t id() const { return process_.id(); }

 private:
  static Process start(const std::string& command, const std::string& before) {
    std::filesystem::remove("out");  // of the server before
    return {{"sh", "-c", before + "exec " + command + " --port 0"}, "/dev/null", "out", "err"};
  }

  Process process_;
  std::string address_;
  std::uint16_t port_ = 0;
};

/// Eight tokens of the model of the store.
inline constexpr const char* kCompletion =
    R"({"model":"smollm2-135m","prompt":"Once upon a time","max_tokens":8,"temperature":0})";

}  // namespace woolly::test
