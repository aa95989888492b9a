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

constexpr std::uint64_t kStateMagic = 0x325441545359'4C57;  // "WLYSTAT2"

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

void KvCache::expect(std::size_t n) {
  n_expected_ += n;
  const std::size_t n_slabs = n_expected_ / KvLayout::kSlabBlocks + 1;
  slabs_.reserve(n_slabs);
  counts_.reserve(n_slabs * KvLayout::kSlabBlocks);
  free_.reserve(n_slabs * KvLayout::kSlabBlocks);
}

KvCache::~KvCache() {
  if (budget_ != nullptr) budget_->give_back(slabs_.size() * layout_.slab_bytes());
}

Result<std::uint32_t> KvCache::take() {
  if (free_.empty()) {
    if (budget_ != nullptr && !budget_->take(layout_.slab_bytes())) {
      return Error{ErrorCode::kLimitExceeded,
                   fmt::format("keys and values take {} bytes, {} more exceed the limit of {}", budget_->taken(),
                               layout_.slab_bytes(), budget_->limit())};
    }
    auto reserved = os::Memory::reserve(layout_.slab_bytes(), "keys and values");
    if (!reserved) {
      if (budget_ != nullptr) budget_->give_back(layout_.slab_bytes());
      return std::move(reserved).error();
    }
    os::Memory slab = std::move(reserved).value();
    slab.populate();  // once for hundreds of tokens, which then meet no page fault
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

Sequence::Sequence(std::shared_ptr<KvCache> cache, std::size_t n_ctx) : cache_(std::move(cache)), n_ctx_(n_ctx) {
  cache_->expect(max_blocks());
  blocks_.reserve(max_blocks());
  addresses_.reserve(max_blocks());
}

Sequence::~Sequence() {
  truncate(0);
  cache_->no_longer_expect(max_blocks());
}

Status Sequence::reserve(std::size_t n) {
  if (n > n_ctx_ - n_tokens_) {
    return Error{ErrorCode::kLimitExceeded,
                 fmt::format("{} more tokens after {} exceed the context of {} tokens", n, n_tokens_, n_ctx_)};
  }
  const std::size_t in_last = n_tokens_ % kernels::kKvBlock;
  if (n > 0 && in_last != 0) {
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
  while (blocks_.size() * kernels::kKvBlock < n_tokens_ + n) {
    WOOLLY_TRY(const std::uint32_t block, cache_->take());
    blocks_.push_back(block);
    addresses_.push_back(cache_->data(block));
  }
  return {};
}

void Sequence::truncate(std::size_t n_tokens) {
  WOOLLY_ASSERT(n_tokens <= n_tokens_);
  n_tokens_ = n_tokens;
  const std::size_t n_blocks = base::ceil_div(n_tokens, kernels::kKvBlock);
  while (blocks_.size() > n_blocks) {
    cache_->release(blocks_.back());
    blocks_.pop_back();
    addresses_.pop_back();
  }
}

std::unique_ptr<Sequence> Sequence::fork() const {
  auto copy = std::make_unique<Sequence>(cache_, n_ctx_);
  copy->n_tokens_ = n_tokens_;
  const std::size_t n_blocks = base::ceil_div(n_tokens_, kernels::kKvBlock);
  for (std::size_t i = 0; i < n_blocks; ++i) {
    cache_->retain(blocks_[i]);
    copy->blocks_.push_back(blocks_[i]);
    copy->addresses_.push_back(addresses_[i]);
  }
  return copy;
}

std::vector<std::byte> Sequence::save(std::uint64_t fingerprint) const {
  const KvLayout& layout = cache_->layout();
  const std::size_t n_blocks = base::ceil_div(n_tokens_, kernels::kKvBlock);
  std::vector<std::byte> state;
  state.reserve(64 + n_blocks * layout.block_bytes());
  append(state, kStateMagic);
  append(state, fingerprint);
  append(state, static_cast<std::uint64_t>(layout.kernels->type));
  append(state, std::uint64_t{layout.block_bytes()});
  append(state, std::uint64_t{n_tokens_});
  for (std::size_t i = 0; i < n_blocks; ++i) {
    for (std::size_t piece = 0; piece < layout.n_pieces(); ++piece) {
      const auto* from = reinterpret_cast<const std::byte*>(addresses_[i] + layout.piece_offset(piece));
      state.insert(state.end(), from, from + layout.piece_bytes());
    }
  }
  append(state, checksum(state));
  return state;
}

Status Sequence::restore(std::span<const std::byte> state, std::uint64_t fingerprint) {
  const KvLayout& layout = cache_->layout();
  const auto refuse = [](std::string why) { return Error{ErrorCode::kInvalidFile, "saved state: " + std::move(why)}; };
  base::ByteReader reader(state);
  const auto magic = reader.read<std::uint64_t>();
  const auto of_model = reader.read<std::uint64_t>();
  const auto type = reader.read<std::uint64_t>();
  const auto block_bytes = reader.read<std::uint64_t>();
  const auto n_tokens = reader.read<std::uint64_t>();
  if (reader.failed() || magic != kStateMagic) return refuse("not a state of a sequence");
  if (of_model != fingerprint) return refuse("of another model");
  if (type != static_cast<std::uint64_t>(layout.kernels->type)) {
    return refuse(fmt::format("keys and values of type {}, this session has {} ({})", type,
                              static_cast<std::uint64_t>(layout.kernels->type), quant::info(layout.kernels->type).name));
  }
  if (block_bytes != layout.block_bytes()) {
    return refuse(fmt::format("blocks of {} bytes, this session has {}", block_bytes, layout.block_bytes()));
  }
  if (n_tokens > n_ctx_) return refuse(fmt::format("{} tokens, the context is {}", n_tokens, n_ctx_));
  const std::size_t n_blocks = base::ceil_div(n_tokens, kernels::kKvBlock);
  if (reader.remaining() != n_blocks * block_bytes + 8) {
    return refuse(fmt::format("{} bytes of blocks, expected {}", reader.remaining(), n_blocks * block_bytes + 8));
  }
  const std::span<const std::byte> blocks = reader.read_bytes(n_blocks * block_bytes);
  if (reader.read<std::uint64_t>() != checksum(state.first(state.size() - 8))) return refuse("damaged: wrong checksum");

  Sequence fresh(cache_, n_ctx_);
  WOOLLY_CHECK(fresh.reserve(static_cast<std::size_t>(n_tokens)));
  for (std::size_t i = 0; i < n_blocks; ++i) {
    for (std::size_t piece = 0; piece < layout.n_pieces(); ++piece) {
      std::memcpy(cache_->data(fresh.blocks_[i]) + layout.piece_offset(piece),
                  blocks.data() + (i * layout.n_pieces() + piece) * layout.piece_bytes(), layout.piece_bytes());
    }
  }
  std::swap(blocks_, fresh.blocks_);
  std::swap(addresses_, fresh.addresses_);
  std::swap(n_tokens_, fresh.n_tokens_);
  n_tokens_ = static_cast<std::size_t>(n_tokens);
  return {};
}

}  // namespace woolly::exec
