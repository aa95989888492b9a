#include "exec/kv_cache.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/assert.h"
#include "base/byte_reader.h"
#include "base/checked.h"

namespace woolly::exec {
namespace {

constexpr std::uint64_t kStateMagic = 0x335441545359'4C57;  // "WLYSTAT3"

/// FNV-1a over 64-bit words and the bytes that are left: a checksum against damage, not against forgery.
std::uint64_t checksum(std::span<const std::byte> bytes) {
  std::uint64_t hash = 0xCBF29CE484222325;
  base::ByteReader reader(bytes);
  while (reader.remaining() >= 8) hash = (hash ^ reader.read<std::uint64_t>()) * 0x100000001B3;
  while (reader.remaining() > 0) hash = (hash ^ reader.read<std::uint8_t>()) * 0x100000001B3;
  return hash;
}

template <typename T>
void append(std::vector<std::byte>& out, const T& value) {
  const auto* bytes = reinterpret_cast<const std::byte*>(&value);
  out.insert(out.end(), bytes, bytes + sizeof value);
}

}  // namespace

void KvCache::expect(std::size_t n, std::size_t n_states) {
  n_expected_ += n;
  n_states_expected_ += n_states;
  states_.reserve(n_states_expected_);
  state_counts_.reserve(n_states_expected_);
  free_states_.reserve(n_states_expected_);
  const std::size_t n_slabs = n_expected_ / KvLayout::kSlabBlocks + 1;
  slabs_.reserve(n_slabs);
  counts_.reserve(n_slabs * KvLayout::kSlabBlocks);
  free_.reserve(n_slabs * KvLayout::kSlabBlocks);
}

KvCache::~KvCache() {
  while (drop_free_state()) {
  }
  if (budget_ != nullptr) budget_->give_back(slabs_.size() * layout_.slab_bytes());
}

bool KvCache::drop_free_state() noexcept {
  for (const std::uint32_t state : free_states_) {
    if (states_[state].data() == nullptr) continue;
    states_[state] = {};
    if (budget_ != nullptr) budget_->give_back(state_bytes());
    return true;
  }
  return false;
}

/// Memory within the budget, all of its pages taken. States that nobody has make room.
Result<os::Memory> KvCache::take_memory(std::size_t bytes, const char* purpose) {
  while (budget_ != nullptr && !budget_->take(bytes)) {
    if (drop_free_state()) continue;
    return Error{ErrorCode::kLimitExceeded, fmt::format("keys and values take {} bytes, {} more exceed the limit of {}",
                                                        budget_->taken(), bytes, budget_->limit())};
  }
  auto memory = os::Memory::reserve(bytes, purpose);
  if (memory) {
    memory->populate();  // once for hundreds of tokens, which then meet no page fault
  } else if (budget_ != nullptr) {
    budget_->give_back(bytes);
  }
  return memory;
}

Result<std::uint32_t> KvCache::take() {
  if (free_.empty()) {
    WOOLLY_TRY(os::Memory slab, take_memory(layout_.slab_bytes(), "keys and values"));
    slabs_.push_back(std::move(slab));
    for (std::size_t i = KvLayout::kSlabBlocks; i > 0; --i) {
      free_.push_back(base::narrow<std::uint32_t>(counts_.size() + i - 1));
    }
    counts_.resize(counts_.size() + KvLayout::kSlabBlocks, 0);
  }
  const std::uint32_t block = free_.back();
  free_.pop_back();
  counts_[block] = 1;
  return block;
}

void KvCache::release(std::uint32_t block) noexcept {
  WOOLLY_ASSERT(counts_[block] > 0);
  if (--counts_[block] == 0) free_.push_back(block);
}

Result<std::uint32_t> KvCache::take_state() {
  if (free_states_.empty()) {
    free_states_.push_back(base::narrow<std::uint32_t>(states_.size()));
    states_.emplace_back();
    state_counts_.push_back(0);
  }
  const std::uint32_t state = free_states_.back();  // one with memory if there is any: the first were dropped first
  if (states_[state].data() == nullptr) {
    WOOLLY_TRY(states_[state], take_memory(state_bytes(), "recurrent state"));
  }
  free_states_.pop_back();
  state_counts_[state] = 1;
  return state;
}

void KvCache::release_state(std::uint32_t state) noexcept {
  WOOLLY_ASSERT(state_counts_[state] > 0);
  if (--state_counts_[state] == 0) free_states_.push_back(state);
}

Sequence::Sequence(std::shared_ptr<KvCache> cache, std::size_t n_ctx) : cache_(std::move(cache)), n_ctx_(n_ctx) {
  cache_->expect(max_blocks(), max_states());
  blocks_.reserve(max_blocks());
  addresses_.reserve(max_blocks());
  if (!has_state()) return;
  text_.reserve(n_ctx);
  checkpoints_.reserve(kMostCheckpoints);
}

Sequence::~Sequence() {
  truncate(0);
  if (spare_) cache_->release_state(*spare_);
  cache_->no_longer_expect(max_blocks(), max_states());
}

Status Sequence::reserve(std::size_t n) {
  if (n > n_ctx_ - n_tokens_) {
    return Error{ErrorCode::kLimitExceeded,
                 fmt::format("{} more tokens after {} exceed the context of {} tokens", n, n_tokens_, n_ctx_)};
  }
  const std::size_t in_last = n_tokens_ % kernels::kKvBlock;
  if (n > 0 && in_last != 0 && !blocks_.empty()) {
    const std::size_t last = n_tokens_ / kernels::kKvBlock;
    if (cache_->is_shared(blocks_[last])) {
      WOOLLY_TRY(const std::uint32_t copy, cache_->take());
      const KvLayout& layout = cache_->layout();
      for (std::size_t piece = 0; piece < layout.n_pieces(); ++piece) {
        const std::size_t offset = layout.piece_offset(piece);
        std::memcpy(cache_->data(copy) + offset, cache_->data(blocks_[last]) + offset, layout.piece_bytes());
      }
      cache_->release(blocks_[last]);
      blocks_[last] = copy;
      addresses_[last] = cache_->data(copy);
    }
  }
  while (blocks_.size() < blocks_of(n_tokens_ + n)) {
    WOOLLY_TRY(const std::uint32_t block, cache_->take());
    blocks_.push_back(block);
    addresses_.push_back(cache_->data(block));
  }
  if (has_state() && !spare_ && (!state_ || must_keep_state())) {
    WOOLLY_TRY(spare_, cache_->take_state());
  }
  return {};
}

void Sequence::begin_step(std::size_t n) noexcept {
  if (!has_state()) return;
  if (!state_) {
    state_ = std::exchange(spare_, std::nullopt);
    std::memset(cache_->state(*state_), 0, cache_->state_bytes());
    had_many_rows_ = false;  // going back to the beginning needs no checkpoint
    writes_spare_ = false;
    return;
  }
  if (wants_checkpoint(n) && !spare_) {
    if (const auto state = cache_->take_state()) spare_ = *state;  // without one, going back takes longer
  }
  writes_spare_ = spare_ && (wants_checkpoint(n) || must_keep_state());
  WOOLLY_ASSERT(writes_spare_ || !must_keep_state());
}

void Sequence::advance(std::span<const TokenId> tokens) noexcept {
  if (has_state()) {
    if (writes_spare_) {
      if (wants_checkpoint(tokens.size())) {
        add_checkpoint({n_tokens_, *state_});
      } else {
        cache_->release_state(*state_);
      }
      state_ = std::exchange(spare_, std::nullopt);
    }
    had_many_rows_ = tokens.size() > 1;
    const std::size_t n_known = std::min(missing().size(), tokens.size());
    text_.insert(text_.end(), tokens.begin() + static_cast<std::ptrdiff_t>(n_known), tokens.end());
  }
  n_tokens_ += tokens.size();
}

/// Where there is no room, the one goes whose neighbours are closest to each other.
void Sequence::add_checkpoint(Checkpoint checkpoint) noexcept {
  if (checkpoints_.size() == kMostCheckpoints) {
    const auto distance = [&](std::size_t i) {
      const std::size_t before = i == 0 ? 0 : checkpoints_[i - 1].n_tokens;
      return (i + 1 == checkpoints_.size() ? checkpoint : checkpoints_[i + 1]).n_tokens - before;
    };
    std::size_t least = 0;
    for (std::size_t i = 1; i < checkpoints_.size(); ++i) {
      if (distance(i) < distance(least)) least = i;
    }
    cache_->release_state(checkpoints_[least].state);
    checkpoints_.erase(checkpoints_.begin() + static_cast<std::ptrdiff_t>(least));
  }
  checkpoints_.push_back(checkpoint);
}

/// To the last position, at most `n_tokens`, whose state there is.
void Sequence::go_back_to_checkpoint(std::size_t n_tokens) noexcept {
  cache_->release_state(*state_);
  state_.reset();
  n_tokens_ = 0;
  while (!checkpoints_.empty() && !state_) {
    const Checkpoint last = checkpoints_.back();
    checkpoints_.pop_back();
    if (last.n_tokens > n_tokens) {
      cache_->release_state(last.state);
      continue;
    }
    state_ = last.state;
    n_tokens_ = last.n_tokens;
  }
  had_many_rows_ = true;  // so that it is kept again
}

void Sequence::truncate(std::size_t n_tokens) {
  WOOLLY_ASSERT(n_tokens <= length());
  if (has_state()) {
    text_.resize(n_tokens);
    if (n_tokens < n_tokens_) go_back_to_checkpoint(n_tokens);
  } else {
    n_tokens_ = n_tokens;
  }
  const std::size_t n_blocks = blocks_of(n_tokens_);
  while (blocks_.size() > n_blocks) {
    cache_->release(blocks_.back());
    blocks_.pop_back();
    addresses_.pop_back();
  }
}

std::unique_ptr<Sequence> Sequence::fork() const {
  auto copy = std::make_unique<Sequence>(cache_, n_ctx_);
  copy->n_tokens_ = n_tokens_;
  const std::size_t n_blocks = blocks_of(n_tokens_);
  for (std::size_t i = 0; i < n_blocks; ++i) {
    cache_->retain(blocks_[i]);
    copy->blocks_.push_back(blocks_[i]);
    copy->addresses_.push_back(addresses_[i]);
  }
  if (!has_state()) return copy;
  copy->text_.assign(text_.begin(), text_.end());
  copy->checkpoints_.assign(checkpoints_.begin(), checkpoints_.end());
  for (const Checkpoint& checkpoint : checkpoints_) cache_->retain_state(checkpoint.state);
  copy->state_ = state_;
  if (state_) cache_->retain_state(*state_);
  copy->had_many_rows_ = had_many_rows_;
  return copy;
}

std::vector<std::byte> Sequence::save(std::uint64_t fingerprint) const {
  const KvLayout& layout = cache_->layout();
  const std::size_t n_blocks = blocks_of(n_tokens_);
  std::vector<std::byte> state;
  const std::size_t n_floats = state_ ? layout.state_floats : 0;
  state.reserve(64 + n_blocks * layout.block_bytes() + text_.size() * sizeof(TokenId) + n_floats * sizeof(float));
  append(state, kStateMagic);
  append(state, fingerprint);
  append(state, static_cast<std::uint64_t>(layout.kernels->type));
  append(state, std::uint64_t{layout.block_bytes()});
  append(state, std::uint64_t{n_tokens_});
  append(state, std::uint64_t{n_floats});
  append(state, std::uint64_t{text_.size()});
  for (const TokenId token : text_) append(state, token.value);
  for (std::size_t i = 0; i < n_floats; ++i) append(state, cache_->state(*state_)[i]);
  for (std::size_t i = 0; i < n_blocks; ++i) {
    for (std::size_t piece = 0; piece < layout.n_pieces(); ++piece) {
      const auto* from = reinterpret_cast<const std::byte*>(addresses_[i] + layout.piece_offset(piece));
      state.insert(state.end(), from, from + layout.piece_bytes());
    }
  }
  append(state, checksum(state));
  return state;
}

Status Sequence::restore(std::span<const std::byte> state, std::uint64_t fingerprint, std::size_t vocab_size) {
  const KvLayout& layout = cache_->layout();
  const auto refuse = [](std::string why) { return Error{ErrorCode::kInvalidFile, "saved state: " + std::move(why)}; };
  base::ByteReader reader(state);
  const auto magic = reader.read<std::uint64_t>();
  const auto of_model = reader.read<std::uint64_t>();
  const auto type = reader.read<std::uint64_t>();
  const auto block_bytes = reader.read<std::uint64_t>();
  const auto n_tokens = reader.read<std::uint64_t>();
  const auto n_floats = reader.read<std::uint64_t>();
  const auto n_text = reader.read<std::uint64_t>();
  if (reader.failed() || magic != kStateMagic) return refuse("not a state of a sequence");
  if (of_model != fingerprint) return refuse("of another model");
  if (type != static_cast<std::uint64_t>(layout.kernels->type)) {
    return refuse(fmt::format("keys and values of type {}, this session has {} ({})", type,
                              static_cast<std::uint64_t>(layout.kernels->type), quant::info(layout.kernels->type).name));
  }
  if (block_bytes != layout.block_bytes()) {
    return refuse(fmt::format("blocks of {} bytes, this session has {}", block_bytes, layout.block_bytes()));
  }
  if (std::max(n_tokens, n_text) > n_ctx_) {
    return refuse(fmt::format("{} tokens, the context is {}", std::max(n_tokens, n_text), n_ctx_));
  }
  if (n_floats != (n_tokens > 0 ? layout.state_floats : 0) || (has_state() ? n_text < n_tokens : n_text != 0)) {
    return refuse(fmt::format("{} numbers of recurrent state and {} tokens, this model has {}", n_floats, n_text,
                              layout.state_floats));
  }
  const std::size_t n_blocks = blocks_of(static_cast<std::size_t>(n_tokens));
  const std::uint64_t bytes = n_text * sizeof(TokenId) + n_floats * sizeof(float) + n_blocks * block_bytes + 8;
  if (reader.remaining() != bytes) {
    return refuse(fmt::format("{} bytes of tokens and blocks, expected {}", reader.remaining(), bytes));
  }
  const std::span<const std::byte> text = reader.read_bytes(n_text * sizeof(TokenId));
  const std::span<const std::byte> recurrent = reader.read_bytes(n_floats * sizeof(float));
  const std::span<const std::byte> blocks = reader.read_bytes(n_blocks * block_bytes);
  if (reader.read<std::uint64_t>() != checksum(state.first(state.size() - 8))) return refuse("damaged: wrong checksum");

  Sequence fresh(cache_, n_ctx_);
  fresh.text_.resize(static_cast<std::size_t>(n_text));
  if (!text.empty()) std::memcpy(fresh.text_.data(), text.data(), text.size());
  for (const TokenId token : fresh.text_) {
    if (token.value < 0 || static_cast<std::size_t>(token.value) >= vocab_size) {
      return refuse(fmt::format("token id {}, allowed are 0 to {}", token.value, vocab_size - 1));
    }
  }
  WOOLLY_CHECK(fresh.reserve(static_cast<std::size_t>(n_tokens)));
  if (n_floats > 0) {
    fresh.state_ = std::exchange(fresh.spare_, std::nullopt);
    std::memcpy(cache_->state(*fresh.state_), recurrent.data(), recurrent.size());
  }
  for (std::size_t i = 0; i < n_blocks; ++i) {
    for (std::size_t piece = 0; piece < layout.n_pieces(); ++piece) {
      std::memcpy(cache_->data(fresh.blocks_[i]) + layout.piece_offset(piece),
                  blocks.data() + (i * layout.n_pieces() + piece) * layout.piece_bytes(), layout.piece_bytes());
    }
  }
  std::swap(blocks_, fresh.blocks_);
  std::swap(addresses_, fresh.addresses_);
  std::swap(n_tokens_, fresh.n_tokens_);
  std::swap(text_, fresh.text_);
  std::swap(state_, fresh.state_);
  std::swap(checkpoints_, fresh.checkpoints_);
  n_tokens_ = static_cast<std::size_t>(n_tokens);
  had_many_rows_ = true;
  return {};
}

}  // namespace woolly::exec
