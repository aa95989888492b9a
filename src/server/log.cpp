#include "server/log.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <chrono>
#include <ctime>
#include <utility>
#include <variant>

#include "server/json.h"
#include "server/report.h"

namespace woolly::server {
namespace {

/// Of lines that wait to be written: more than come in a second.
constexpr std::size_t kMaxLines = 10'000;

using SystemTime = std::chrono::system_clock::time_point;

SystemTime time_of(std::int64_t now_ns) {
  return SystemTime(std::chrono::duration_cast<SystemTime::duration>(std::chrono::nanoseconds(now_ns)));
}

std::int64_t now() {
  const auto since = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::nanoseconds>(since).count();
}

/// What could move a terminal's cursor, or end a line, as '?'.
std::string printable(std::string_view text) {
  std::string shown(text);
  for (char& c : shown) {
    if (c < ' ' || c > '~') c = '?';
  }
  return shown;
}

std::string_view place_of(const http::Request& request) {
  return request.route.empty() ? std::string_view(request.path).substr(0, kMaxLoggedPath) : request.route;
}

std::string clock_time(std::int64_t now_ns) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(time_of(now_ns));
  std::tm local{};
  localtime_r(&seconds, &local);
  return fmt::format("{:%H:%M:%S}", local);
}

std::string human_line(std::int64_t now_ns, const http::Completed& completed) {
  const http::Request& request = completed.request;
  std::string line = fmt::format("{} {} {} ", clock_time(now_ns), printable(request.method), printable(place_of(request)));
  line += completed.status == 0 ? "no answer" : std::to_string(completed.status);
  line += fmt::format(" {:.3f} s", completed.seconds);
  if (completed.is_gone) line += ", the client left";
  if (!request.key.empty()) line += fmt::format(", {}", request.key);
  for (const http::Note& note : completed.notes) {
    line += std::visit([&](const auto& value) { return printable(fmt::format(", {} {}", note.name, value)); },
                       note.value);
  }
  return line + fmt::format(" [{}]", request.id);
}

std::string json_line(std::int64_t now_ns, const http::Completed& completed) {
  const http::Request& request = completed.request;
  Json line{{"time", timestamp(time_of(now_ns))},
            {"request", request.id},
            {"method", request.method},
            {"path", place_of(request)},
            {"status", completed.status},
            {"seconds", completed.seconds},
            {"bytes", completed.n_bytes},
            {"is_gone", completed.is_gone}};
  if (!request.key.empty()) line["key"] = request.key;
  for (const http::Note& note : completed.notes) {
    std::visit([&](const auto& value) { line[note.name] = value; }, note.value);
  }
  return dump(line);
}

std::string event_line(LogForm form, std::string_view message) {
  const std::int64_t time = now();
  if (form == LogForm::kJson) return dump(Json{{"time", timestamp(time_of(time))}, {"message", message}});
  return fmt::format("{} {}", clock_time(time), printable(message));
}

}  // namespace

std::string log_line(LogForm form, std::int64_t now_ns, const http::Completed& completed) {
  return form == LogForm::kJson ? json_line(now_ns, completed) : human_line(now_ns, completed);
}

Log::Log(LogForm form, std::FILE* out) : form_(form), out_(out), thread_([this] { write(); }) {}

Log::~Log() {
  {
    const std::scoped_lock lock(mutex_);
    must_end_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

void Log::request(const http::Completed& completed) { push(log_line(form_, now(), completed)); }

void Log::event(std::string_view message) { push(event_line(form_, message)); }

void Log::push(std::string line) {
  {
    const std::scoped_lock lock(mutex_);
    if (lines_.size() >= kMaxLines) {
      ++n_lost_;
      return;
    }
    lines_.push_back(std::move(line) + '\n');
  }
  changed_.notify_one();
}

void Log::write() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return must_end_ || !lines_.empty(); });
    if (lines_.empty()) return;
    std::string text;
    for (; !lines_.empty(); lines_.pop_front()) text += lines_.front();
    if (n_lost_ > 0) text += event_line(form_, fmt::format("{} lines were left out", std::exchange(n_lost_, 0))) + '\n';
    lock.unlock();
    std::fwrite(text.data(), 1, text.size(), out_);  // nobody is left to be told of a failure
    std::fflush(out_);
    lock.lock();
  }
}

}  // namespace woolly::server
