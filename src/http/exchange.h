// A request and its answer, apart from sockets: what the handlers of the interfaces see of HTTP.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace woolly::http {

using Headers = std::vector<std::pair<std::string, std::string>>;

struct Request {
  std::string method;   ///< "GET"
  std::string path;     ///< Percent-decoded, without the query.
  std::string query;    ///< Raw, without '?'.
  Headers headers;      ///< Names in lower case.
  std::string body;     ///< Complete, at most Limits::body bytes.
  std::string id;       ///< Ours, unique: "req-..."; answered as x-request-id.
  std::string key;      ///< Who asks: a name for the API key that was accepted, not the key; empty without keys.
  std::string route;    ///< The row of the table of routes, for log and metrics: "/v1/models/{id}"; empty: none.
  Headers with_answer;  ///< What every answer to this request carries beside its own headers (CORS).

  /// Empty: none. The first where there are several.
  [[nodiscard]] std::string_view header(std::string_view lower_case_name) const {
    for (const auto& [name, value] : headers) {
      if (name == lower_case_name) return value;
    }
    return {};
  }
};

struct Response {
  int status = 200;
  std::string content_type = "application/json";
  std::string body;
  Headers headers{};
};

/// Something to tell in the log line of a request: ("model", "smollm2-135m"), ("n_prompt", 12). Neither text nor keys.
struct Note {
  std::string name;
  std::variant<std::int64_t, double, std::string> value;
};

/// One request and the one answer to it. Any thread may call anything at any time; nothing blocks; what is called after
/// the client has left, or after the answer is complete, does nothing. Held by shared_ptr; letting go of it without an
/// answer answers 500, and of one that has begun but not ended breaks the connection, so that the client sees that
/// something is missing.
class Exchange {
 public:
  virtual ~Exchange() = default;
  [[nodiscard]] virtual const Request& request() const = 0;

  /// The whole answer.
  virtual void respond(Response response) = 0;

  /// A streamed answer: begin once, write, end. Whenever nothing was written for Limits::ping_after, `ping` is written,
  /// if not empty.
  virtual void begin(int status, std::string content_type, std::string ping) = 0;
  virtual void write(std::string bytes) = 0;  ///< Queued; a reader that lets Limits::unread pile up counts as gone.
  virtual void end() = 0;

  [[nodiscard]] virtual bool is_gone() const = 0;
  /// `notify` is called once when the client leaves before the answer is complete (at once, if it has left), on any
  /// thread; it must not block.
  virtual void on_gone(std::function<void()> notify) = 0;

  /// Adds to the request's line in the log; before the answer is complete.
  virtual void note(Note note) = 0;
};

/// Runs on one of the server's worker threads. What it throws is answered by 500.
using Handler = std::function<void(std::shared_ptr<Exchange>)>;

}  // namespace woolly::http
