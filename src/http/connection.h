// One connection of the server: reads requests, one after the other, and writes their answers. On the I/O thread only.
#pragma once

#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "http/server.h"
#include "http/turn.h"

namespace woolly::http {

class Connection;

/// The way from any thread to the I/O thread, which may have ended. Thread-safe.
class Mailbox {
 public:
  explicit Mailbox(boost::asio::io_context& context) : context_(&context) {}

  template <typename Work>
  void post(Work work) {
    const std::lock_guard lock(mutex_);
    if (context_ != nullptr) boost::asio::post(*context_, std::move(work));
  }
  /// What is posted from now on is dropped.
  void close() {
    const std::lock_guard lock(mutex_);
    context_ = nullptr;
  }

 private:
  std::mutex mutex_;
  boost::asio::io_context* context_;
};

/// What the connections of a server share. On the I/O thread only, but for `mailbox`.
class Hub {
 public:
  Hub(const Hub&) = delete;
  Hub& operator=(const Hub&) = delete;

  [[nodiscard]] virtual const Limits& limits() const = 0;
  [[nodiscard]] virtual const Service& service() const = 0;
  [[nodiscard]] virtual const std::shared_ptr<Mailbox>& mailbox() const = 0;
  [[nodiscard]] virtual bool is_draining() const = 0;
  virtual std::string next_id() = 0;
  /// Runs the handler on a worker.
  virtual void handle(std::shared_ptr<Exchange> exchange) = 0;
  /// Lets go of a connection that has been closed.
  virtual void remove(const Connection& connection) = 0;

  std::size_t n_body_bytes = 0;  ///< Of requests that are not answered yet.

 protected:
  Hub() = default;
  ~Hub() = default;
};

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(Hub& hub, boost::asio::ip::tcp::socket socket);
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  /// Begins to read.
  void start();
  /// Instead of `start`: there are too many.
  void start_refused(std::string_view message);
  /// Takes no further requests.
  void drain();
  void close();

  // What the exchange of `turn` asks for; nothing where that is not the one being answered.
  void respond(const std::shared_ptr<Turn>& turn, Response response);
  void begin(const std::shared_ptr<Turn>& turn, int status, std::string_view content_type, std::string ping);
  void write(const std::shared_ptr<Turn>& turn, std::string_view bytes);
  void end(const std::shared_ptr<Turn>& turn);
  void abandon(const std::shared_ptr<Turn>& turn);

 private:
  enum class Phase : std::uint8_t { kHeader, kBody, kAnswer, kLinger, kClosed };
  using Parser = boost::beast::http::request_parser<boost::beast::http::string_body>;

  void await_request();
  void read();
  void take(const boost::system::error_code& error, std::size_t n_bytes);
  void parse();
  void take_header();
  void take_body(std::size_t n_bytes);
  void dispatch();
  /// Answers by an error and reads no more requests.
  void refuse(int status, std::string_view message);
  void refuse(Response response);

  void send(std::string bytes);
  void flush();
  void finish_answer();
  void linger();

  [[nodiscard]] std::string head(int status, std::string_view content_type, const Headers& headers,
                                 std::string_view framing) const;
  void set_deadline(std::chrono::milliseconds time);
  void pass_deadline();
  void release_body();
  void await_silence();

  Hub& hub_;
  boost::asio::ip::tcp::socket socket_;
  boost::asio::steady_timer deadline_;  ///< Of what is read in this phase.
  boost::asio::steady_timer stall_;     ///< Of what is written.
  boost::asio::steady_timer silence_;   ///< Of a stream.
  Phase phase_ = Phase::kHeader;

  std::array<char, 16384> chunk_;      ///< Where the pending read puts its bytes.
  boost::beast::flat_buffer input_;   ///< What was read and not parsed.
  std::optional<Parser> parser_;
  bool is_reading_ = false;
  std::chrono::steady_clock::time_point body_begin_{};
  std::size_t n_body_bytes_ = 0;

  std::shared_ptr<Turn> turn_;  ///< The request that is read or answered.
  bool keep_alive_ = false;
  bool is_chunked_ = false;
  bool is_answered_ = false;  ///< All of the answer is in `output_`.
  std::string ping_;
  std::chrono::steady_clock::time_point last_write_{};
  std::string output_;   ///< What waits for `sending_`.
  std::string sending_;  ///< What the socket has; sent up to `n_sent_`.
  std::size_t n_sent_ = 0;
  bool is_writing_ = false;
};

/// The exchange of a request that `connection` has read.
std::shared_ptr<Exchange> make_exchange(std::shared_ptr<Turn> turn, std::shared_ptr<Mailbox> mailbox,
                                        const std::shared_ptr<Connection>& connection);

}  // namespace woolly::http
