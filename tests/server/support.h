// Handlers without sockets: requests as a client writes them, answers as it reads them.
#pragma once

#include <gtest/gtest.h>

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "http/exchange.h"
#include "server/json.h"
#include "server/services.h"

namespace woolly::test {

/// What a client got.
struct Reply {
  int status = 0;
  std::string content_type;
  std::string ping;
  std::string body;
  [[nodiscard]] server::Json json() const { return server::Json::parse(body); }
};

/// Keeps the answer; `wait` returns when it is complete.
class FakeExchange final : public http::Exchange {
 public:
  explicit FakeExchange(http::Request request) : request_(std::move(request)) {}

  [[nodiscard]] const http::Request& request() const override { return request_; }
  void respond(http::Response response) override {
    const std::scoped_lock lock(mutex_);
    reply_.status = response.status;
    reply_.content_type = std::move(response.content_type);
    reply_.body = std::move(response.body);
    finish();
  }
  void begin(int status, std::string content_type, std::string ping) override {
    const std::scoped_lock lock(mutex_);
    reply_.status = status;
    reply_.content_type = std::move(content_type);
    reply_.ping = std::move(ping);
  }
  void write(std::string bytes) override {
    const std::scoped_lock lock(mutex_);
    reply_.body += bytes;
    changed_.notify_all();
  }
  void end() override {
    const std::scoped_lock lock(mutex_);
    finish();
  }
  [[nodiscard]] bool is_gone() const override { return false; }
  void on_gone(std::function<void()> notify) override {
    const std::scoped_lock lock(mutex_);
    notify_ = std::move(notify);
  }
  void note(http::Note /*note*/) override {}

  /// The complete answer.
  Reply wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return is_complete_; });
    return reply_;
  }
  /// Waits until something was written that contains `part`, and leaves.
  void leave_after(std::string_view part) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this, part] { return is_complete_ || reply_.body.find(part) != std::string::npos; });
    auto notify = std::move(notify_);
    lock.unlock();
    if (notify) notify();
  }

 private:
  void finish() {
    is_complete_ = true;
    notify_ = nullptr;
    changed_.notify_all();
  }

  const http::Request request_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  Reply reply_;
  std::function<void()> notify_;
  bool is_complete_ = false;
};

/// The data of server-sent events, without comments.
inline std::vector<std::string> events(std::string_view stream) {
  std::vector<std::string> data;
  constexpr std::string_view kData = "data: ";
  while (!stream.empty()) {
    const std::size_t end = stream.find('\n');
    if (stream.starts_with(kData)) data.emplace_back(stream.substr(kData.size(), end - kData.size()));
    stream.remove_prefix(end == std::string_view::npos ? stream.size() : end + 1);
  }
  return data;
}

}  // namespace woolly::test
