#include "http/connection.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/string.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/status.hpp>
#include <cctype>
#include <ctime>

#include "http/message.h"

namespace woolly::http {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace field = boost::beast::http;

using Clock = std::chrono::steady_clock;
using IoError = boost::system::error_code;

std::string_view view(beast::string_view text) { return {text.data(), text.size()}; }

std::string lower_case(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

int status_of(const IoError& error) {
  if (error == field::error::header_limit) return 431;
  if (error == field::error::body_limit) return 413;
  return 400;
}

std::string message_of(const IoError& error, const Limits& limits) {
  if (error == field::error::header_limit) return fmt::format("the header is longer than {} bytes", limits.header);
  if (error == field::error::body_limit) return fmt::format("the body is longer than {} bytes", limits.body);
  return fmt::format("the request cannot be read: {}", error.message());
}

/// Why a request whose header was parsed is refused all the same, or empty: what two programs on the way could read in
/// two ways (RFC 9112, 6.3 and 11.2; RFC 9110, 7.2).
template <typename Message>
std::string_view ambiguity_of(const Message& message) {
  const bool is_1_1 = message.version() >= 11;
  const std::size_t n_hosts = message.count(field::field::host);
  if (n_hosts > 1 || (is_1_1 && n_hosts == 0)) return "a request has one Host";
  const std::size_t n_lengths = message.count(field::field::content_length);
  const std::size_t n_encodings = message.count(field::field::transfer_encoding);
  if (n_lengths > 1) return "a request has one Content-Length";
  if (n_lengths == 1 && message[field::field::content_length].find(',') != beast::string_view::npos) {
    return "a request has one Content-Length";
  }
  if (n_encodings == 0) return {};
  if (n_lengths > 0) return "a request has Content-Length or Transfer-Encoding, not both";
  if (!is_1_1) return "HTTP/1.0 has no Transfer-Encoding";
  if (n_encodings > 1 || !beast::iequals(message[field::field::transfer_encoding], "chunked")) {
    return "of Transfer-Encoding, only \"chunked\" is known";
  }
  return {};
}

/// Answers of these have no body (RFC 9110, 6.4.1).
bool has_no_body(int status) { return status < 200 || status == 204 || status == 304; }

class ConnectionExchange final : public Exchange {
 public:
  ConnectionExchange(std::shared_ptr<Turn> turn, std::shared_ptr<Mailbox> mailbox, std::weak_ptr<Connection> connection)
      : turn_(std::move(turn)), mailbox_(std::move(mailbox)), connection_(std::move(connection)) {}

  ~ConnectionExchange() override {
    if (turn_->advance(Turn::State::kOpen, Turn::State::kComplete) ||
        turn_->advance(Turn::State::kBegun, Turn::State::kComplete)) {
      try {
        post([](Connection& connection, const std::shared_ptr<Turn>& turn) { connection.abandon(turn); });
      } catch (const std::exception&) {
        // Out of memory: the connection ends with its client.
      }
    }
  }
  ConnectionExchange(const ConnectionExchange&) = delete;
  ConnectionExchange& operator=(const ConnectionExchange&) = delete;

  const Request& request() const override { return turn_->request; }

  void respond(Response response) override {
    if (!turn_->advance(Turn::State::kOpen, Turn::State::kComplete)) return;
    post([response = std::move(response)](Connection& connection, const std::shared_ptr<Turn>& turn) mutable {
      connection.respond(turn, std::move(response));
    });
  }
  void begin(int status, std::string content_type, std::string ping) override {
    if (!turn_->advance(Turn::State::kOpen, Turn::State::kBegun)) return;
    post([status, content_type = std::move(content_type), ping = std::move(ping)](
             Connection& connection, const std::shared_ptr<Turn>& turn) mutable {
      connection.begin(turn, status, content_type, std::move(ping));
    });
  }
  void write(std::string bytes) override {
    if (bytes.empty() || turn_->state() != Turn::State::kBegun) return;
    post([bytes = std::move(bytes)](Connection& connection, const std::shared_ptr<Turn>& turn) {
      connection.write(turn, bytes);
    });
  }
  void end() override {
    if (!turn_->advance(Turn::State::kBegun, Turn::State::kComplete)) return;
    post([](Connection& connection, const std::shared_ptr<Turn>& turn) { connection.end(turn); });
  }
  bool is_gone() const override { return turn_->state() == Turn::State::kGone; }
  void on_gone(std::function<void()> notify) override { turn_->on_gone(std::move(notify)); }
  void note(Note note) override { turn_->note(std::move(note)); }

 private:
  /// Runs `work` on the I/O thread, if the connection still lives then.
  template <typename Work>
  void post(Work work) {
    mailbox_->post([turn = turn_, connection = connection_, work = std::move(work)]() mutable {
      if (const std::shared_ptr<Connection> locked = connection.lock()) work(*locked, turn);
    });
  }

  std::shared_ptr<Turn> turn_;
  std::shared_ptr<Mailbox> mailbox_;
  std::weak_ptr<Connection> connection_;
};

}  // namespace

std::shared_ptr<Exchange> make_exchange(std::shared_ptr<Turn> turn, std::shared_ptr<Mailbox> mailbox,
                                        const std::shared_ptr<Connection>& connection) {
  return std::make_shared<ConnectionExchange>(std::move(turn), std::move(mailbox), connection);
}

Connection::Connection(Hub& hub, asio::ip::tcp::socket socket)
    : hub_(hub),
      socket_(std::move(socket)),
      deadline_(socket_.get_executor()),
      stall_(socket_.get_executor()),
      silence_(socket_.get_executor()) {
  IoError ignored;  // a stream is written token by token: none may wait for the next
  socket_.set_option(asio::ip::tcp::no_delay(true), ignored);
}

void Connection::start() {
  await_request();
  // Who connects has something to say.
  set_deadline(hub_.limits().header_time);
  read();
}

void Connection::start_refused(std::string_view message) {
  refuse(503, message);
  read();
}

// Reading.

void Connection::await_request() {
  phase_ = Phase::kHeader;
  parser_.emplace();
  parser_->header_limit(static_cast<std::uint32_t>(hub_.limits().header));
  parser_->body_limit(hub_.limits().body);
  set_deadline(input_.size() > 0 ? hub_.limits().header_time : hub_.limits().idle_time);
}

/// A read is pending at all times, so that a client's leaving is seen at once. Only a client that sends its next requests
/// before it has the answer has to wait with them.
void Connection::read() {
  if (is_reading_ || phase_ == Phase::kClosed) return;
  if (phase_ == Phase::kAnswer && input_.size() >= hub_.limits().header) return;
  is_reading_ = true;
  socket_.async_read_some(asio::buffer(chunk_),
                          [self = shared_from_this()](const IoError& error, std::size_t n_bytes) {
                            self->is_reading_ = false;
                            self->take(error, n_bytes);
                          });
}

/// A client that closes its side only is taken to have left as well: no way to tell the two apart.
void Connection::take(const IoError& error, std::size_t n_bytes) {
  if (error || phase_ == Phase::kClosed) return close();
  if (phase_ == Phase::kHeader && input_.size() == 0 && !parser_->got_some()) set_deadline(hub_.limits().header_time);
  if (phase_ != Phase::kLinger) {
    input_.commit(asio::buffer_copy(input_.prepare(n_bytes), asio::buffer(chunk_, n_bytes)));
    parse();
  }
  read();
}

void Connection::parse() {
  while ((phase_ == Phase::kHeader || phase_ == Phase::kBody) && input_.size() > 0) {
    IoError error;
    const std::size_t n_bytes = parser_->put(input_.data(), error);
    input_.consume(n_bytes);
    if (error && error != field::error::need_more) {
      return refuse(status_of(error), message_of(error, hub_.limits()));
    }
    if (phase_ == Phase::kHeader && parser_->is_header_done()) {
      take_header();
    } else if (phase_ == Phase::kBody) {
      take_body(n_bytes);
    }
    if (phase_ == Phase::kBody && parser_->is_done()) dispatch();
    if (error) break;
  }
  // Beside headers, which have their limit, only the lines between chunks are not taken until they are complete.
  if (phase_ == Phase::kBody && input_.size() > hub_.limits().header) refuse(400, "the line before a chunk is too long");
}

void Connection::take_header() {
  const auto& message = parser_->get();
  turn_ = std::make_shared<Turn>();
  turn_->is_http_1_0 = message.version() < 11;
  keep_alive_ = parser_->keep_alive() && !hub_.is_draining();
  Request& request = turn_->request;
  request.id = hub_.next_id();
  request.method = view(message.method_string());
  for (const auto& header : message) {
    request.headers.emplace_back(lower_case(view(header.name_string())), view(header.value()));
  }
  if (const std::string_view reason = ambiguity_of(message); !reason.empty()) return refuse(400, reason);
  std::optional<Target> target = parse_target(view(message.target()));
  if (!target) return refuse(400, "the target of the request is not a path");
  request.path = std::move(target->path);
  request.query = std::move(target->query);
  if (hub_.is_draining()) return refuse(503, "the server is shutting down");
  if (std::optional<Response> refusal = hub_.service().admit(request)) return refuse(std::move(*refusal));

  phase_ = Phase::kBody;
  body_begin_ = Clock::now();
  set_deadline(hub_.limits().body_time);
  parser_->eager(true);
  if (!parser_->is_done() && beast::iequals(message[field::field::expect], "100-continue")) {
    send("HTTP/1.1 100 Continue\r\n\r\n");
  }
}

void Connection::take_body(std::size_t n_bytes) {
  n_body_bytes_ += n_bytes;
  hub_.n_body_bytes += n_bytes;
  const Limits& limits = hub_.limits();
  if (hub_.n_body_bytes > limits.all_bodies) {
    return refuse(503, fmt::format("the requests at hand hold {} bytes, allowed are {}", hub_.n_body_bytes,
                                   limits.all_bodies));
  }
  const auto time_for_bytes =
      std::chrono::milliseconds(static_cast<std::int64_t>(n_body_bytes_ * 1000 / limits.body_rate));
  const auto passed = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - body_begin_);
  set_deadline(limits.body_time + time_for_bytes - passed);
}

void Connection::dispatch() {
  deadline_.cancel();
  phase_ = Phase::kAnswer;
  turn_->request.body = std::move(parser_->get().body());
  hub_.handle(make_exchange(turn_, hub_.mailbox(), shared_from_this()));
}

void Connection::set_deadline(std::chrono::milliseconds time) {
  deadline_.expires_after(time);
  deadline_.async_wait([self = shared_from_this()](const IoError& error) {
    // One that was set anew may have been on its way here already.
    if (!error && self->deadline_.expiry() <= Clock::now()) self->pass_deadline();
  });
}

void Connection::pass_deadline() {
  if (phase_ == Phase::kHeader && parser_->got_some()) return refuse(408, "the header did not come in time");
  if (phase_ == Phase::kBody) return refuse(408, "the body did not come in time");
  if (phase_ != Phase::kAnswer) close();
}

// Answering.

void Connection::refuse(int status, std::string_view message) {
  if (!turn_) {
    turn_ = std::make_shared<Turn>();
    turn_->request.id = hub_.next_id();
  }
  keep_alive_ = false;  // who knows what follows
  refuse(hub_.service().refuse(turn_->request, status, message));
}

void Connection::refuse(Response response) {
  // What was not read of the body would be taken for the next request.
  if (!parser_ || !parser_->is_done()) keep_alive_ = false;
  phase_ = Phase::kAnswer;
  deadline_.cancel();
  turn_->advance(Turn::State::kOpen, Turn::State::kComplete);
  respond(turn_, std::move(response));
}

void Connection::respond(const std::shared_ptr<Turn>& turn, Response response) {
  if (turn != turn_ || phase_ != Phase::kAnswer || is_answered_) return;
  const bool is_bare = has_no_body(response.status);
  std::string bytes = head(response.status, is_bare ? "" : response.content_type, response.headers,
                           is_bare ? "" : fmt::format("Content-Length: {}\r\n", response.body.size()));
  if (!is_bare && turn->request.method != "HEAD") {
    bytes += response.body;
    turn->n_bytes = response.body.size();
  }
  turn->status = response.status;
  is_answered_ = true;
  send(std::move(bytes));
}

void Connection::begin(const std::shared_ptr<Turn>& turn, int status, std::string_view content_type, std::string ping) {
  if (turn != turn_ || phase_ != Phase::kAnswer || is_answered_) return;
  is_chunked_ = !turn->is_http_1_0;
  if (!is_chunked_) keep_alive_ = false;  // the end of the connection is the end of the answer
  turn->status = status;
  // The second is for nginx, which would collect the stream.
  send(head(status, content_type, {{"Cache-Control", "no-cache"}, {"X-Accel-Buffering", "no"}},
            is_chunked_ ? "Transfer-Encoding: chunked\r\n" : ""));
  ping_ = std::move(ping);
  last_write_ = Clock::now();
  if (!ping_.empty()) await_silence();
}

void Connection::write(const std::shared_ptr<Turn>& turn, std::string_view bytes) {
  if (turn != turn_ || phase_ != Phase::kAnswer || is_answered_) return;
  turn->n_bytes += bytes.size();
  last_write_ = Clock::now();
  send(is_chunked_ ? fmt::format("{:x}\r\n{}\r\n", bytes.size(), bytes) : std::string(bytes));
  if (output_.size() > hub_.limits().unread) close();
}

void Connection::end(const std::shared_ptr<Turn>& turn) {
  if (turn != turn_ || phase_ != Phase::kAnswer || is_answered_) return;
  is_answered_ = true;
  silence_.cancel();
  send(is_chunked_ ? "0\r\n\r\n" : "");
}

void Connection::abandon(const std::shared_ptr<Turn>& turn) {
  if (turn != turn_ || phase_ != Phase::kAnswer || is_answered_) return;
  if (turn->status != 0) return close();
  respond(turn, hub_.service().refuse(turn->request, 500, "the request was given up"));
}

void Connection::await_silence() {
  silence_.expires_at(last_write_ + hub_.limits().ping_after);
  silence_.async_wait([self = shared_from_this()](const IoError& error) {
    if (error || self->phase_ != Phase::kAnswer || self->is_answered_) return;
    if (Clock::now() - self->last_write_ >= self->hub_.limits().ping_after) self->write(self->turn_, self->ping_);
    if (self->phase_ == Phase::kAnswer) self->await_silence();
  });
}

std::string Connection::head(int status, std::string_view content_type, const Headers& headers,
                             std::string_view framing) const {
  const std::time_t now = std::time(nullptr);
  std::string out = fmt::format("HTTP/1.1 {} {}\r\nDate: {:%a, %d %b %Y %H:%M:%S} GMT\r\nx-request-id: {}\r\n", status,
                                view(field::obsolete_reason(field::int_to_status(static_cast<unsigned>(status)))),
                                fmt::gmtime(now), turn_->request.id);
  if (!content_type.empty()) out += fmt::format("Content-Type: {}\r\n", content_type);
  const auto add = [&out](const Headers& list) {
    for (const auto& [name, value] : list) out += fmt::format("{}: {}\r\n", name, value);
  };
  add(headers);
  add(turn_->request.with_answer);
  out += fmt::format("Connection: {}\r\n{}\r\n", keep_alive_ ? "keep-alive" : "close", framing);
  return out;
}

// Writing.

void Connection::send(std::string bytes) {
  output_ += bytes;
  flush();
}

void Connection::flush() {
  if (is_writing_ || phase_ == Phase::kClosed) return;
  if (n_sent_ == sending_.size()) {
    sending_ = std::exchange(output_, {});
    n_sent_ = 0;
  }
  is_writing_ = true;
  stall_.expires_after(hub_.limits().stall_time);
  stall_.async_wait([self = shared_from_this()](const IoError& error) {
    if (!error && self->is_writing_ && self->stall_.expiry() <= Clock::now()) self->close();
  });
  socket_.async_write_some(
      asio::buffer(sending_.data() + n_sent_, sending_.size() - n_sent_),
      [self = shared_from_this()](const IoError& error, std::size_t n_bytes) {
        self->is_writing_ = false;
        self->stall_.cancel();
        if (error || self->phase_ == Phase::kClosed) return self->close();
        self->n_sent_ += n_bytes;
        if (self->n_sent_ < self->sending_.size() || !self->output_.empty()) return self->flush();
        if (self->is_answered_) self->finish_answer();
      });
}

void Connection::finish_answer() {
  hub_.service().log({turn_->request, turn_->status, false, turn_->n_bytes,
                      std::chrono::duration<double>(Clock::now() - turn_->begin).count(), turn_->notes()});
  release_body();
  turn_.reset();
  is_answered_ = false;
  if (!keep_alive_ || hub_.is_draining()) return linger();
  await_request();
  parse();
  read();
}

/// Reads on for a while: bytes that nobody takes would make the system cut the connection before the client has the
/// answer.
void Connection::linger() {
  phase_ = Phase::kLinger;
  IoError ignored;
  socket_.shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
  set_deadline(hub_.limits().linger_time);
  read();
}

void Connection::release_body() { hub_.n_body_bytes -= std::exchange(n_body_bytes_, 0); }

void Connection::drain() {
  keep_alive_ = false;
  if (phase_ == Phase::kHeader && !parser_->got_some()) close();
}

void Connection::close() {
  if (phase_ == Phase::kClosed) return;
  const std::shared_ptr<Connection> self = shared_from_this();
  phase_ = Phase::kClosed;
  deadline_.cancel();
  stall_.cancel();
  silence_.cancel();
  IoError ignored;
  socket_.close(ignored);
  release_body();
  if (turn_) {
    turn_->leave();
    hub_.service().log({turn_->request, turn_->status, true, turn_->n_bytes,
                        std::chrono::duration<double>(Clock::now() - turn_->begin).count(), turn_->notes()});
    turn_.reset();
  }
  hub_.remove(*this);
}

}  // namespace woolly::http
