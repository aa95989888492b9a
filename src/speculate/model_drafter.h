// Drafts from a second, smaller model of the same vocabulary.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "speculate/drafter.h"
#include "speculate/median.h"
#include "woolly/model.h"
#include "woolly/session.h"

namespace woolly::speculate {

/// Drafts the draft model's likeliest tokens, one by one. It takes a prompt at once and generated tokens only when it is
/// asked for drafts; where a draft was right, the draft model has been there already.
class ModelDrafter final : public Drafter {
 public:
  /// `draft` drafts for texts of `target`, up to `options.n_ctx` tokens; one that the draft model's own context is too
  /// short for gets no drafts from there on. kInvalidArgument where the vocabularies differ: names the first token that
  /// does.
  static Result<std::unique_ptr<ModelDrafter>> create(const Model& target, std::shared_ptr<const Model> draft,
                                                      const SessionOptions& options);

  [[nodiscard]] std::span<const double> priors() const noexcept override;
  [[nodiscard]] DraftingCost cost() const noexcept override;
  [[nodiscard]] bool is_free() const noexcept override { return false; }
  Status append(std::span<const TokenId> tokens) override;
  void accept(TokenId token) override;
  void truncate(std::size_t n) override;
  Result<std::span<const Draft>> propose(std::size_t n) override;

 private:
  ModelDrafter(std::unique_ptr<Session> session, std::size_t n_choices);
  [[nodiscard]] Status run(std::span<const TokenId> tokens);
  [[nodiscard]] Status catch_up();

  std::unique_ptr<Session> session_;
  std::size_t n_choices_;
  std::vector<TokenId> text_;
  std::vector<TokenId> seen_;  ///< What of the session is right as far as is known: the text, then drafts.
  std::span<const float> logits_;
  std::vector<Draft> drafts_;
  Median time_of_one_;  ///< For a token, in seconds.
};

}  // namespace woolly::speculate
