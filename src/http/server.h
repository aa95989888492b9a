// The server of HTTP/1.1: connections, limits, streaming. One I/O thread does all that touches sockets, a few workers run
// the handlers. What a request means, who may ask and what an error looks like is told by a Service.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "http/exchange.h"
#include "woolly/error.h"

namespace woolly::http {

/// What one client may cost. Sizes in bytes.
struct Limits {
  std::size_t header = std::size_t{16} << 10U;  ///< Request line and headers.
  std::size_t body = std::size_t{32} << 20U;
  std::size_t all_bodies = std::size_t{512} << 20U;  ///< Of all requests that are not answered yet; beyond: 503.
  std::size_t unread = std::size_t{4} << 20U;        ///< Of a stream that its reader has not taken.
  std::size_t connections = 1024;                    ///< Beyond: 503.
  std::chrono::milliseconds header_time{10'000};     ///< From the first byte of a request to the end of its header.
  std::chrono::milliseconds idle_time{75'000};       ///< Between two requests of a connection.
  /// A body may take this long and as much longer as its bytes at `body_rate` a second, those that have come.
  std::chrono::milliseconds body_time{10'000};
  std::size_t body_rate = std::size_t{16} << 10U;
  std::chrono::milliseconds stall_time{60'000};  ///< Without the reader taking a byte that is ready for it.
  /// Below the 5 s that clients are promised, as the ping has a way to go.
  std::chrono::milliseconds ping_after{4'500};
  std::chrono::milliseconds linger_time{2'000};  ///< For a client to read why it was refused, before it is cut off.
};

/// A request whose answer is complete, or will never be.
struct Completed {
  const Request& request;
  int status;                ///< 0: the client left before there was one.
  bool is_gone;              ///< The client left before the answer was complete.
  std::uint64_t n_bytes;     ///< Of the answer's body.
  double seconds;            ///< Since the header was read.
  const std::vector<Note>& notes;
};

/// What the server serves. `admit` and `log` are called on the I/O thread, `refuse` on any; they must not take long.
struct Service {
  /// Called when a header is there, before the body is read. Sets `route`, `key` and `with_answer` of the request; an
  /// answer refuses it.
  std::function<std::optional<Response>(Request& request)> admit;
  Handler handle;
  /// The answer to a request that the server itself refuses. Of a request that could not be read, path and method may be
  /// empty.
  std::function<Response(const Request& request, int status, std::string_view message)> refuse;
  std::function<void(const Completed& completed)> log;
};

struct ServerOptions {
  std::string host = "127.0.0.1";  ///< An address or a name of this machine.
  std::uint16_t port = 8080;       ///< 0: any that is free.
  Limits limits{};
  std::size_t n_workers = 2;
};

/// Listens from `start` until it is destroyed; then all connections are cut, and what handlers still do with their
/// exchanges has no effect.
class Server {
 public:
  /// kInvalidArgument for a host that is no address of this machine, kIo where the port cannot be had.
  static Result<std::unique_ptr<Server>> start(const ServerOptions& options, Service service);
  virtual ~Server() = default;

  [[nodiscard]] virtual std::uint16_t port() const = 0;
  [[nodiscard]] virtual std::string address() const = 0;  ///< The numeric one that is listened on.
  [[nodiscard]] virtual std::size_t n_connections() const = 0;

  /// Takes no more connections and requests; connections end when they are idle, answers that have begun go on.
  virtual void stop_accepting() = 0;
  /// Waits until all connections have ended; false after `timeout`.
  virtual bool wait_until_idle(std::chrono::milliseconds timeout) = 0;
};

/// Whether `host` (an address, or a name that this machine resolves) is reached from this machine only. kInvalidArgument
/// where it is neither.
Result<bool> is_loopback(const std::string& host);

}  // namespace woolly::http
