// A client over a plain socket, that can send what no library would: halves of requests, wrong ones, one byte at a time.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>

namespace woolly::test {

struct HttpAnswer {
  int status = 0;    ///< 0: none came.
  std::string head;  ///< With the status line, up to the blank line.
  std::string body;  ///< Chunks put together.
  bool is_complete = false;

  [[nodiscard]] bool has_header(std::string_view line) const {
    return head.find("\r\n" + std::string(line) + "\r\n") != std::string::npos;
  }
};

/// One connection. What it waits for comes within 20 s, or counts as not coming.
class HttpClient {
 public:
  explicit HttpClient(std::uint16_t port, int receive_buffer = 0) : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
    const timeval patience{20, 0};
    ::setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    if (receive_buffer > 0) ::setsockopt(socket_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof(receive_buffer));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  }
  ~HttpClient() { close(); }
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  /// False where the server has closed the connection.
  bool send(std::string_view bytes) const {
    while (!bytes.empty()) {
      const ssize_t n = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n <= 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(n));
    }
    return true;
  }

  /// The next answer; of one to HEAD, there is only a head.
  HttpAnswer receive(bool is_head = false) {
    HttpAnswer answer;
    const std::size_t head_end = wait_for("\r\n\r\n");
    if (head_end == std::string::npos) return answer;
    answer.head = input_.substr(0, head_end + 2);
    input_.erase(0, head_end + 4);
    answer.status = std::atoi(answer.head.substr(answer.head.find(' ')).c_str());
    if (answer.status == 100) return receive(is_head);
    if (is_head || answer.status == 204) {
      answer.is_complete = true;
    } else if (answer.has_header("Transfer-Encoding: chunked")) {
      for (std::string chunk; next_chunk(chunk); answer.body += chunk) answer.is_complete = chunk.empty();
    } else if (const std::size_t at = answer.head.find("\r\nContent-Length: "); at != std::string::npos) {
      const auto size = static_cast<std::size_t>(std::atoll(answer.head.c_str() + at + 18));
      while (input_.size() < size && receive_more()) {
      }
      answer.is_complete = input_.size() >= size;
      answer.body = input_.substr(0, size);
      input_.erase(0, size);
    } else {
      while (receive_more()) {
      }
      answer.is_complete = true;
      answer.body = std::exchange(input_, {});
    }
    return answer;
  }

  /// Sends a request and gives its answer.
  HttpAnswer ask(std::string_view request) {
    send(request);
    return receive(request.starts_with("HEAD "));
  }
  HttpAnswer get(std::string_view path) {
    return ask("GET " + std::string(path) + " HTTP/1.1\r\nHost: localhost\r\n\r\n");
  }
  HttpAnswer post(std::string_view path, std::string_view body) {
    return ask("POST " + std::string(path) + " HTTP/1.1\r\nHost: localhost\r\nContent-Length: " +
               std::to_string(body.size()) + "\r\n\r\n" + std::string(body));
  }

  /// Where `text` begins in what has come and was not taken yet; npos where it does not come.
  std::size_t wait_for(std::string_view text) {
    for (;;) {
      if (const std::size_t at = input_.find(text); at != std::string::npos) return at;
      if (!receive_more()) return std::string::npos;
    }
  }

  /// Whether the server has closed the connection, or does so within the time of patience.
  bool is_closed_by_server() {
    while (receive_more()) {
    }
    return was_closed_;
  }

  void close() {
    if (socket_ >= 0) ::close(std::exchange(socket_, -1));
  }

 private:
  bool receive_more() {
    std::array<char, 65536> bytes;
    const ssize_t n = ::recv(socket_, bytes.data(), bytes.size(), 0);
    // A reset is a way of closing as well.
    was_closed_ = n == 0 || (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK);
    if (n > 0) input_.append(bytes.data(), static_cast<std::size_t>(n));
    return n > 0;
  }

  /// The next chunk; empty for the last. False where it does not come.
  bool next_chunk(std::string& chunk) {
    const bool was_last = is_last_chunk_;
    is_last_chunk_ = false;
    if (was_last) return false;
    const std::size_t line_end = wait_for("\r\n");
    if (line_end == std::string::npos) return false;
    const std::size_t size = std::strtoul(input_.c_str(), nullptr, 16);
    while (input_.size() < line_end + 2 + size + 2 && receive_more()) {
    }
    if (input_.size() < line_end + 2 + size + 2) return false;
    chunk = input_.substr(line_end + 2, size);
    input_.erase(0, line_end + 2 + size + 2);
    is_last_chunk_ = size == 0;
    return true;
  }

  int socket_;
  std::string input_;
  bool was_closed_ = false;
  bool is_last_chunk_ = false;
};

}  // namespace woolly::test
