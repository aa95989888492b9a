// The server's log: a line for each request and for what happens to models. Neither prompts nor keys are in it.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <deque>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

#include "http/server.h"

namespace woolly::server {

enum class LogForm : std::uint8_t {
  kHuman,  ///< "15:20:30 POST /v1/chat/completions 200 1.234 s, model smollm2-135m, n_prompt 12 [req-1]"
  kJson,   ///< {"time":"2026-11-25T15:20:30.000000000Z","request":"req-1","method":"POST",...}
};

/// The line of a request, without an end of line. The path is told as its row of the table of routes where it has one, and
/// at most kMaxLoggedPath bytes of it otherwise.
std::string log_line(LogForm form, std::int64_t now_ns, const http::Completed& completed);
inline constexpr std::size_t kMaxLoggedPath = 100;

/// Any thread may call; nothing blocks. Lines are written by a thread of the log's own, so that whoever reads them slowly
/// delays nobody; those for which there is no room are counted, and their number is told.
class Log {
 public:
  /// `out` must outlive the log.
  Log(LogForm form, std::FILE* out);
  /// Writes what has been told.
  ~Log();
  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;

  void request(const http::Completed& completed);
  /// Something else that happened.
  void event(std::string_view message);

 private:
  void push(std::string line);
  void write();

  const LogForm form_;
  std::FILE* const out_;
  std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  std::deque<std::string> lines_;
  std::size_t n_lost_ = 0;
  bool must_end_ = false;
  std::thread thread_;
};

}  // namespace woolly::server
