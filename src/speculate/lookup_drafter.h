// Drafts from the text itself: what followed where its end stood before (prompt lookup).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "speculate/drafter.h"

namespace woolly::speculate {

/// Keeps for each of a few lengths n where each n-gram was seen last, in tables of hashes; an entry that another n-gram
/// took over is one match less, never a wrong one, as tokens are compared. The longest n-gram that was seen before
/// counts, and its last place: how far the match goes back from there is its confidence. Work for a token has a bound
/// that does not depend on the text.
class LookupDrafter final : public Drafter {
 public:
  /// For texts of up to `n_ctx` tokens, but makes room only for as many as fit the memory of a table (longer texts make
  /// it grow by doubling, and n-grams share entries).
  explicit LookupDrafter(std::size_t n_ctx);

  [[nodiscard]] std::span<const double> priors() const noexcept override;
  [[nodiscard]] DraftingCost cost() const noexcept override { return {}; }
  [[nodiscard]] bool is_free() const noexcept override { return true; }
  Status append(std::span<const TokenId> tokens) override;
  void accept(TokenId token) override;
  void truncate(std::size_t n) override;
  Result<std::span<const Draft>> propose(std::size_t n) override;

 private:
  /// The lengths of n-grams, longest first.
  static constexpr std::array<std::size_t, 4> kOrders = {16, 8, 4, 2};
  /// Matches are not followed further back.
  static constexpr std::size_t kMaxMatch = 32;

  struct Match {
    std::size_t next;    ///< The position whose token followed.
    std::size_t length;  ///< How many tokens before it are the text's last ones.
  };
  [[nodiscard]] std::optional<Match> find() const;
  [[nodiscard]] std::size_t entry(std::size_t n) const noexcept;
  [[nodiscard]] std::size_t common_length(std::size_t end) const noexcept;
  static std::uint8_t confidence(std::size_t length) noexcept;

  std::vector<TokenId> text_;
  unsigned table_bits_;
  /// By order and hash, the position after the n-gram; 0: none. Without the text's last token, whose n-grams are what is
  /// looked for.
  std::array<std::vector<std::uint32_t>, kOrders.size()> tables_;
  std::vector<Draft> drafts_;
};

}  // namespace woolly::speculate
