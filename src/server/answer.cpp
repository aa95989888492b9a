#include "server/answer.h"

#include <fmt/format.h>

#include <cstdint>
#include <mutex>
#include <optional>
#include <utility>

namespace woolly::server {
namespace {

/// Shared by the listeners of its choices. They are called on the scheduler's thread, `start` on the server's.
class Answer : public std::enable_shared_from_this<Answer> {
 public:
  Answer(std::shared_ptr<http::Exchange> exchange, Dialect dialect, Asked asked)
      : exchange_(std::move(exchange)),
        dialect_(dialect),
        asked_(std::move(asked)),
        choices_(asked_.requests.size()),
        n_open_(choices_.size()) {}

  void start(serve::Scheduler& scheduler);

  void on_text(std::size_t index, std::string_view text, std::span<const serve::Piece> pieces);
  void on_end(std::size_t index, const serve::Outcome& outcome);
  void fail(const Refusal& refusal);

 private:
  void begin();
  void cancel();
  void note_end();

  const std::shared_ptr<http::Exchange> exchange_;
  const Dialect dialect_;
  Asked asked_;       // `start` takes the requests out of it
  std::mutex mutex_;  // guards all that follows
  std::vector<Choice> choices_;
  std::vector<std::shared_ptr<serve::Generation>> generations_;
  std::size_t n_open_;
  bool has_begun_ = false;
  bool is_over_ = false;
};

class ChoiceListener final : public serve::Listener {
 public:
  ChoiceListener(std::shared_ptr<Answer> answer, std::size_t index) : answer_(std::move(answer)), index_(index) {}
  void on_text(std::string_view text, std::span<const serve::Piece> pieces) override {
    answer_->on_text(index_, text, pieces);
  }
  void on_end(const serve::Outcome& outcome) override { answer_->on_end(index_, outcome); }
  void on_error(const Error& error) override { answer_->fail(refusal_of(error)); }

 private:
  std::shared_ptr<Answer> answer_;
  std::size_t index_;
};

std::optional<Refusal> check_context(const serve::GenerateRequest& request) {
  const std::size_t n_ctx = request.model->context_length;
  if (request.prompt.empty() || request.prompt.size() < n_ctx) return std::nullopt;
  return Refusal{http_status(ErrorCode::kLimitExceeded),
                 fmt::format("the prompt has {} tokens, the context holds {}", request.prompt.size(), n_ctx), false,
                 request.prompt.size(), n_ctx};
}

void Answer::start(serve::Scheduler& scheduler) {
  exchange_->note({"model", asked_.requests[0].model->name});
  for (std::size_t i = 0; i < choices_.size(); ++i) {
    auto generation =
        scheduler.submit(std::move(asked_.requests[i]), std::make_shared<ChoiceListener>(shared_from_this(), i));
    if (!generation) {
      fail(refusal_of(generation.error()));
      return;
    }
    const std::scoped_lock lock(mutex_);
    generations_.push_back(std::move(generation).value());
  }
  bool is_over = false;
  {
    const std::scoped_lock lock(mutex_);
    if (asked_.is_streamed) begin();
    is_over = is_over_;
  }
  if (is_over) {  // one of them failed, or all ended, before the last was submitted
    cancel();
    return;
  }
  exchange_->on_gone([answer = weak_from_this()] {
    if (const auto self = answer.lock()) self->cancel();
  });
}

void Answer::cancel() {
  std::vector<std::shared_ptr<serve::Generation>> generations;
  {
    const std::scoped_lock lock(mutex_);
    generations.swap(generations_);
  }
  for (const auto& generation : generations) generation->cancel();
}

/// A stream begins when all is accepted, not when the first token is there, so that a long prompt is no silence.
void Answer::begin() {
  if (has_begun_ || is_over_) return;
  has_begun_ = true;
  exchange_->begin(200, asked_.form->content_type(), asked_.form->ping());
  exchange_->write(asked_.form->head());
}

void Answer::on_text(std::size_t index, std::string_view text, std::span<const serve::Piece> pieces) {
  const std::scoped_lock lock(mutex_);
  if (is_over_) return;
  Choice& choice = choices_[index];
  if (asked_.is_streamed) {
    begin();
    if (std::string bytes = asked_.form->delta(index, choice, text, pieces); !bytes.empty()) {
      exchange_->write(std::move(bytes));
    }
  }
  choice.text += text;
  choice.pieces.insert(choice.pieces.end(), pieces.begin(), pieces.end());
}

void Answer::on_end(std::size_t index, const serve::Outcome& outcome) {
  if (outcome.reason == serve::FinishReason::kShutdown) {
    fail(refusal_of({ErrorCode::kOverloaded, "the server is stopping; the answer is not complete"}));
    return;
  }
  const std::scoped_lock lock(mutex_);
  if (is_over_) return;
  if (outcome.reason == serve::FinishReason::kCancelled) {  // nobody reads any more
    is_over_ = true;
    return;
  }
  choices_[index].outcome = outcome;
  if (asked_.is_streamed) {
    begin();
    exchange_->write(asked_.form->tail(index, choices_[index]));
  }
  if (--n_open_ > 0) return;
  is_over_ = true;
  generations_.clear();
  note_end();
  if (asked_.is_streamed) {
    exchange_->write(asked_.form->close(choices_));
    exchange_->end();
  } else {
    respond(*exchange_, asked_.form->whole(choices_));
  }
}

/// For the log.
void Answer::note_end() {
  const auto sum = [this](std::size_t serve::Timings::* count) {
    std::int64_t n = 0;
    for (const Choice& choice : choices_) n += static_cast<std::int64_t>(choice.outcome.timings.*count);
    return n;
  };
  exchange_->note({"n_prompt", sum(&serve::Timings::n_prompt)});
  exchange_->note({"n_cached", sum(&serve::Timings::n_cached)});
  exchange_->note({"n_generated", sum(&serve::Timings::n_generated)});
}

void Answer::fail(const Refusal& refusal) {
  {
    const std::scoped_lock lock(mutex_);
    if (is_over_) return;
    is_over_ = true;
    if (has_begun_) {
      exchange_->write(asked_.form->error_line(refusal));
      exchange_->end();
    } else {
      exchange_->respond(error_response(dialect_, refusal));
    }
  }
  cancel();
}

}  // namespace

void respond(http::Exchange& exchange, std::string body) {
  http::Response response;
  response.body = std::move(body);
  exchange.respond(std::move(response));
}

void respond(http::Exchange& exchange, Dialect dialect, const Result<std::string>& body) {
  if (body) {
    respond(exchange, body.value());
  } else {
    exchange.respond(error_response(dialect, refusal_of(body.error())));
  }
}

void answer(serve::Scheduler& scheduler, std::shared_ptr<http::Exchange> exchange, Dialect dialect,
            Result<Asked> asked) {
  std::optional<Refusal> refusal;
  if (!asked) refusal = refusal_of(asked.error());
  for (std::size_t i = 0; !refusal && i < asked->requests.size(); ++i) refusal = check_context(asked->requests[i]);
  if (refusal) {
    exchange->respond(error_response(dialect, *refusal));
    return;
  }
  std::make_shared<Answer>(std::move(exchange), dialect, std::move(asked).value())->start(scheduler);
}

}  // namespace woolly::server
