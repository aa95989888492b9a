// A scheduler on the tiny model, and what listeners were told.
#pragma once

#include <condition_variable>
#include <mutex>
#include <string>
#include <vector>

#include "engine/support.h"
#include "serve/scheduler.h"

namespace woolly::test {

/// Keeps what it is told; `wait` returns when it has ended.
class Recording final : public serve::Listener {
 public:
  std::string text;
  std::vector<serve::Piece> pieces;
  std::optional<serve::Outcome> outcome;
  std::optional<Error> error;

  void on_text(std::string_view more, std::span<const serve::Piece> new_pieces) override {
    const std::scoped_lock lock(mutex_);
    text += more;
    pieces.insert(pieces.end(), new_pieces.begin(), new_pieces.end());
    changed_.notify_all();
  }
  void on_end(const serve::Outcome& end) override {
    const std::scoped_lock lock(mutex_);
    EXPECT_FALSE(outcome || error) << "told twice";
    outcome = end;
    changed_.notify_all();
  }
  void on_error(const Error& why) override {
    const std::scoped_lock lock(mutex_);
    EXPECT_FALSE(outcome || error) << "told twice";
    error = why;
    changed_.notify_all();
  }

  void wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return outcome || error; });
  }
  /// Until `n` tokens have come, or the end.
  void wait_for_tokens(std::size_t n) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return pieces.size() >= n || outcome || error; });
  }
  std::vector<std::int32_t> ids() const {
    std::vector<std::int32_t> ids;
    for (const serve::Piece& piece : pieces) ids.push_back(piece.id.value);
    return ids;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
};

inline std::vector<std::filesystem::path> tiny_models() {
  return {shared("models/stories260K.gguf"), shared("models/stories260K-Q8_0.gguf")};
}

struct TinyServer {
  std::unique_ptr<Engine> engine = make_engine(table_names().back(), 2);
  serve::Catalogue catalogue;
  std::unique_ptr<serve::Scheduler> scheduler;

  explicit TinyServer(serve::SchedulerOptions options = {}, std::size_t max_context = 512)
      : catalogue(tiny_models(), store::Store(""), max_context) {
    if (options.memory == 0) options.memory = std::uint64_t{1} << 30U;
    auto started = serve::Scheduler::start(*engine, options);
    EXPECT_TRUE(started);
    scheduler = std::move(started).value();
  }

  std::shared_ptr<const serve::Card> card(std::string_view name = "stories260K") {
    auto found = catalogue.find(name);
    EXPECT_TRUE(found) << found.error().message;
    return std::move(found).value();
  }

  serve::GenerateRequest request(std::vector<TokenId> prompt, std::size_t max_tokens) {
    serve::GenerateRequest request;
    request.model = card();
    request.prompt = std::move(prompt);
    request.sampling.temperature = 0;
    request.max_tokens = max_tokens;
    return request;
  }

  std::pair<std::shared_ptr<serve::Generation>, std::shared_ptr<Recording>> submit(serve::GenerateRequest request) {
    auto listener = std::make_shared<Recording>();
    auto taken = scheduler->submit(std::move(request), listener);
    EXPECT_TRUE(taken) << taken.error().message;
    return {taken ? std::move(taken).value() : nullptr, listener};
  }

  std::shared_ptr<Recording> answer(serve::GenerateRequest request) {
    auto [generation, listener] = submit(std::move(request));
    listener->wait();
    return listener;
  }
};

/// `n` tokens of the tiny model, BOS first, different for each `seed`.
inline std::vector<TokenId> prompt_of(std::size_t n, unsigned seed) {
  std::vector<TokenId> tokens{{1}};
  while (tokens.size() < n) {
    seed = seed * 1664525U + 1013904223U;
    tokens.push_back({static_cast<std::int32_t>(3 + (seed >> 16U) % 500)});
  }
  return tokens;
}

}  // namespace woolly::test
