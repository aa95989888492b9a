// Sequences of tokens going through a model, alone or many in one step.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "woolly/error.h"
#include "woolly/logits.h"
#include "woolly/model.h"
#include "woolly/options.h"

namespace woolly {

class Session;

/// What one session does in a step that several share.
struct Turn {
  Session* session;
  std::span<const TokenId> tokens;  ///< What it appends; at least one: the next of a text, or a chunk of a prompt.
  std::size_t n_logits = 1;         ///< The logits after this many of its last tokens are wanted; may be 0.
};

/// Holds the sequence's keys and values. Used from one thread at a time; keeps its model alive.
class Session {
 public:
  static Result<std::unique_ptr<Session>> create(std::shared_ptr<const Model> model, const SessionOptions& options = {});
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  /// Appends `tokens` (at least one) and gives the logits `[vocab]` after the last one; they live until the next call
  /// of any session of the family (see `step`).
  /// kLimitExceeded where the sequence would pass `n_ctx()`, kInvalidArgument for an id outside the vocabulary; the
  /// session is then unchanged. kIo where a mapped file (LoadOptions::map_file) can no longer be read: load it again. The
  /// result does not depend on how a text is cut into calls, on `chunk` or on threads.
  Result<std::span<const float>> append(std::span<const TokenId> tokens);

  /// As `append`, but calls `visit(i, logits)` for every token in order. Needs no `max_logit_rows` beyond 1, but is
  /// quicker with more. Up to `max_logit_rows` tokens are one pass, and their logits live until the next call.
  Status append_each(std::span<const TokenId> tokens,
                     const std::function<void(std::size_t index, std::span<const float> logits)>& visit);

  /// One pass of the model over what every turn appends. Its sessions are of one family: one of them by `create`, the
  /// others by `sibling` or `fork`. Each has one turn at most; all turns together have at most `chunk` tokens and ask for
  /// at most `max_logit_rows` rows of logits, which come in the order of the turns and of their tokens, and live until
  /// the family's next call. The numbers are those that each session would get alone.
  /// kInvalidArgument for turns that break this or ids outside the vocabulary, kLimitExceeded where a sequence would
  /// pass `n_ctx()` or memory is short; all sessions are then unchanged.
  static Result<Logits> step(std::span<const Turn> turns);

  /// Positions taken so far, and the most there may be.
  [[nodiscard]] std::size_t n_tokens() const noexcept;
  [[nodiscard]] std::size_t n_ctx() const noexcept;

  /// Forgets everything from position `n_tokens` on; it must not be more than n_tokens(). Recurrent state cannot be cut: a
  /// model that has it goes back to one of a few positions that it kept and, with the next call, computes again what lies
  /// between.
  void truncate(std::size_t n_tokens);

  /// A second sequence with the same past; what both have is shared until one of them writes.
  [[nodiscard]] Result<std::unique_ptr<Session>> fork() const;

  /// A sequence without a past, that can share steps with this one.
  [[nodiscard]] Result<std::unique_ptr<Session>> sibling() const;

  /// The state as bytes, with a fingerprint of the model; `restore` refuses what is damaged or another model's.
  [[nodiscard]] std::vector<std::byte> save() const;
  Status restore(std::span<const std::byte> state);

  struct Parts;
  /// For the library's own use.
  [[nodiscard]] Parts& parts() const noexcept { return *parts_; }

 private:
  explicit Session(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace woolly
