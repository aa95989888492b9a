// From a request to its answer, whatever the dialect: submits what is to be generated, gathers or streams what comes,
// and stops the work when the client leaves.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "http/exchange.h"
#include "serve/scheduler.h"
#include "server/errors.h"
#include "woolly/error.h"

namespace woolly::server {

/// What became of one of the generations that a request asked for.
struct Choice {
  std::string text;
  std::vector<serve::Piece> pieces;
  serve::Outcome outcome{};
};

/// How a dialect says it. One object serves one answer; calls come one at a time.
class Form {
 public:
  virtual ~Form() = default;

  /// The body of a whole answer.
  [[nodiscard]] virtual std::string whole(std::span<const Choice> choices) const = 0;

  // A stream, of bytes as they go over the wire.
  [[nodiscard]] virtual std::string content_type() const = 0;
  /// Written when nothing else was for a while.
  [[nodiscard]] virtual std::string ping() const = 0;
  [[nodiscard]] virtual std::string head() const = 0;
  /// `choice` as it was before `text` and `pieces`, one of which may be empty.
  [[nodiscard]] virtual std::string delta(std::size_t index, const Choice& choice, std::string_view text,
                                          std::span<const serve::Piece> pieces) const = 0;
  /// The end of one choice.
  [[nodiscard]] virtual std::string tail(std::size_t index, const Choice& choice) const = 0;
  /// The end of all.
  [[nodiscard]] virtual std::string close(std::span<const Choice> choices) const = 0;
  /// An error after the head.
  [[nodiscard]] virtual std::string error_line(const Refusal& refusal) const = 0;
};

/// What a request asked for, and how it is answered.
struct Asked {
  std::vector<serve::GenerateRequest> requests;  ///< At least one; the answer has a choice for each, in this order.
  std::unique_ptr<const Form> form;
  bool is_streamed = false;
};

/// Answers with JSON.
void respond(http::Exchange& exchange, std::string body);

/// Answers with JSON, or says in the dialect's form why not.
void respond(http::Exchange& exchange, Dialect dialect, const Result<std::string>& body);

/// Answers what was asked for, or says why not. Returns at once.
void answer(serve::Scheduler& scheduler, std::shared_ptr<http::Exchange> exchange, Dialect dialect,
            Result<Asked> asked);

}  // namespace woolly::server
