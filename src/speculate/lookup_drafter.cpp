#include "speculate/lookup_drafter.h"

#include <algorithm>
#include <bit>

namespace woolly::speculate {
namespace {

/// Four tables of 2^18 entries are 4 MiB, and more n-grams than most texts have.
constexpr std::size_t kMaxEntries = std::size_t{1} << 18U;

/// A confidence is a range of match lengths, which begins here. In sampled text and in prose short matches are right
/// less often than these shares say; that is learned within a few tokens.
struct Level {
  std::size_t from;
  double prior;
};
constexpr std::array<Level, 6> kLevels = {{{2, 0.3}, {3, 0.45}, {4, 0.6}, {6, 0.7}, {10, 0.8}, {20, 0.9}}};
static_assert(kLevels.size() <= kMaxConfidences);

constexpr auto kPriors = [] {
  std::array<double, kLevels.size()> priors{};
  for (std::size_t i = 0; i < priors.size(); ++i) priors[i] = kLevels[i].prior;
  return priors;
}();

}  // namespace

LookupDrafter::LookupDrafter(std::size_t n_ctx)
    : table_bits_(static_cast<unsigned>(std::bit_width(std::clamp<std::size_t>(n_ctx, 1024, kMaxEntries) - 1))) {
  text_.resize(std::min(n_ctx, kMaxEntries));  // its pages are touched now
  text_.clear();
  drafts_.reserve(64);  // more than anyone asks for
  for (auto& table : tables_) table.resize(std::size_t{1} << table_bits_);
}

std::span<const double> LookupDrafter::priors() const noexcept { return kPriors; }

Status LookupDrafter::append(std::span<const TokenId> tokens) {
  for (const TokenId token : tokens) accept(token);
  return {};
}

void LookupDrafter::accept(TokenId token) {
  for (std::size_t i = 0; i < kOrders.size(); ++i) {
    if (text_.size() >= kOrders[i]) tables_[i][entry(kOrders[i])] = static_cast<std::uint32_t>(text_.size());
  }
  text_.push_back(token);
}

/// Entries of n-grams that are no more may have taken the place of others: all are made again.
void LookupDrafter::truncate(std::size_t n) {
  const std::vector<TokenId> kept(text_.begin(), text_.begin() + static_cast<std::ptrdiff_t>(n));
  text_.clear();
  for (auto& table : tables_) std::ranges::fill(table, 0);
  for (const TokenId token : kept) accept(token);
}

Result<std::span<const Draft>> LookupDrafter::propose(std::size_t n) {
  drafts_.clear();
  const std::optional<Match> match = find();
  if (!match) return std::span<const Draft>();
  for (std::size_t i = 0; i < n; ++i) {
    // Where the match reaches the end, the text repeats itself, and so do the drafts.
    const std::size_t at = match->next + i;
    const TokenId token = at < text_.size() ? text_[at] : drafts_[at - text_.size()].token;
    drafts_.push_back({token, confidence(match->length + i)});
  }
  return std::span<const Draft>(drafts_);
}

std::optional<LookupDrafter::Match> LookupDrafter::find() const {
  for (std::size_t i = 0; i < kOrders.size(); ++i) {
    if (text_.size() < kOrders[i]) continue;
    const std::size_t next = tables_[i][entry(kOrders[i])];
    if (next == 0) continue;
    const std::size_t length = common_length(next);
    if (length >= kOrders[i]) return Match{next, length};
  }
  return std::nullopt;
}

/// Of the text's last `n` tokens.
std::size_t LookupDrafter::entry(std::size_t n) const noexcept {
  std::uint64_t hash = 0;
  for (std::size_t i = text_.size() - n; i < text_.size(); ++i) {
    // The odd constant of Fibonacci hashing, 2^64 / golden ratio.
    hash = (hash + static_cast<std::uint32_t>(text_[i].value) + 1) * 0x9E3779B97F4A7C15u;
    hash ^= hash >> 32U;
  }
  return static_cast<std::size_t>((hash * 0x9E3779B97F4A7C15u) >> (64U - table_bits_));
}

/// How many tokens before `end` are the text's last ones.
std::size_t LookupDrafter::common_length(std::size_t end) const noexcept {
  std::size_t length = 0;
  const std::size_t max = std::min(end, kMaxMatch);
  while (length < max && text_[end - 1 - length] == text_[text_.size() - 1 - length]) ++length;
  return length;
}

std::uint8_t LookupDrafter::confidence(std::size_t length) noexcept {
  std::uint8_t level = 0;
  while (level + 1U < kLevels.size() && length >= kLevels[level + 1U].from) ++level;
  return level;
}

}  // namespace woolly::speculate
