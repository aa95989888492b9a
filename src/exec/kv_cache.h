// Keys and values in blocks of 64 positions, and the sequences that own them through block tables.
//
// A block is 64 positions of all layers; its keys and values of a head are as kernels/kv_format.h has them. Memory is taken
// in slabs of eight blocks, in which those of one head lie side by side, first the keys and then the values: attention
// over a sequence reads runs of eight blocks, which the processor's own prefetchers follow. Blocks are counted: sequences
// that share a past share its blocks, and one that writes into a shared block gets a copy first. Used from one thread at a
// time (outside of a step).
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "base/checked.h"
#include "kernels/kernel_table.h"
#include "model/spec.h"
#include "os/memory.h"
#include "woolly/error.h"
#include "woolly/kv_budget.h"

namespace woolly::exec {

/// Where things are in a slab, in bytes.
struct KvLayout {
  const kernels::KvKernels* kernels;
  std::size_t n_layers, n_kv_heads, head_dim;

  /// As many as a split of attention has.
  static constexpr std::size_t kSlabBlocks = kernels::kKvSplit / kernels::kKvBlock;

  [[nodiscard]] std::size_t key_bytes() const { return kernels::kv_key_bytes(kernels->type, head_dim); }
  [[nodiscard]] std::size_t value_bytes() const { return kernels::kv_value_bytes(kernels->type, head_dim); }
  /// From one block of a slab to the next: room for one head's keys, or its values.
  [[nodiscard]] std::size_t piece_bytes() const { return std::max(key_bytes(), value_bytes()); }
  /// From a block's address to a head's keys in it.
  [[nodiscard]] std::size_t key_offset(std::size_t layer, std::size_t head) const {
    return 2 * (layer * n_kv_heads + head) * kSlabBlocks * piece_bytes();
  }
  [[nodiscard]] std::size_t value_offset(std::size_t layer, std::size_t head) const {
    return key_offset(layer, head) + kSlabBlocks * piece_bytes();
  }
  /// Keys and values of all layers and heads.
  [[nodiscard]] std::size_t n_pieces() const { return 2 * n_layers * n_kv_heads; }
  [[nodiscard]] std::size_t piece_offset(std::size_t piece) const { return piece * kSlabBlocks * piece_bytes(); }
  [[nodiscard]] std::size_t slab_bytes() const { return piece_offset(n_pieces()); }
  /// What a block holds.
  [[nodiscard]] std::size_t block_bytes() const { return n_pieces() * piece_bytes(); }
};

/// The blocks of one model's sequences. Memory is taken in slabs as it is needed.
class KvCache {
 public:
  explicit KvCache(const KvLayout& layout, std::shared_ptr<KvBudget> budget = nullptr)
      : layout_(layout), budget_(std::move(budget)) {}
  ~KvCache();
  KvCache(const KvCache&) = delete;
  KvCache& operator=(const KvCache&) = delete;

  [[nodiscard]] const KvLayout& layout() const noexcept { return layout_; }

  /// Makes room in the tables for `n` more blocks, so that taking them allocates nothing but pages.
  void expect(std::size_t n);
  /// Takes back what `expect` was told, as a sequence goes.
  void no_longer_expect(std::size_t n) noexcept { n_expected_ -= n; }

  /// A block with a count of one; kLimitExceeded where the budget is used up or the system gives no memory.
  Result<std::uint32_t> take();
  void retain(std::uint32_t block) noexcept { ++counts_[block]; }
  void release(std::uint32_t block) noexcept;
  [[nodiscard]] bool is_shared(std::uint32_t block) const noexcept { return counts_[block] > 1; }
  /// The address that offsets of the layout count from.
  [[nodiscard]] std::uint8_t* data(std::uint32_t block) const noexcept {
    return reinterpret_cast<std::uint8_t*>(slabs_[block / KvLayout::kSlabBlocks].data()) +
           block % KvLayout::kSlabBlocks * layout_.piece_bytes();
  }

 private:
  KvLayout layout_;
  std::shared_ptr<KvBudget> budget_;  ///< nullptr: none.
  std::vector<os::Memory> slabs_;
  std::vector<std::uint32_t> counts_;  ///< By block; 0: free.
  std::vector<std::uint32_t> free_;
  std::size_t n_expected_ = 0;
};

/// The state of one sequence: opaque to all but the executor. Recurrent state of architectures that have it will lie
/// beside the block table, under the same operations.
class Sequence {
 public:
  /// At most `n_ctx` positions.
  Sequence(std::shared_ptr<KvCache> cache, std::size_t n_ctx);
  ~Sequence();
  Sequence(const Sequence&) = delete;
  Sequence& operator=(const Sequence&) = delete;

  [[nodiscard]] std::size_t n_tokens() const noexcept { return n_tokens_; }
  [[nodiscard]] std::size_t n_ctx() const noexcept { return n_ctx_; }

  /// Makes room for `n` more positions: takes blocks, and copies the last one if it is shared. Allocates nothing.
  Status reserve(std::size_t n);
  /// After a step that filled reserved positions.
  void advance(std::size_t n) noexcept { n_tokens_ += n; }
  /// Forgets everything from position `n_tokens` on.
  void truncate(std::size_t n_tokens);
  /// A sequence with the same past, sharing all blocks.
  [[nodiscard]] std::unique_ptr<Sequence> fork() const;

  /// The past as bytes with a checksum. `fingerprint` names the model.
  [[nodiscard]] std::vector<std::byte> save(std::uint64_t fingerprint) const;
  /// Takes the place of this sequence's past; kInvalidFile where the bytes are damaged or of another model, type of
  /// cache or context, and the sequence is then unchanged.
  Status restore(std::span<const std::byte> state, std::uint64_t fingerprint);

  /// Addresses of the blocks, [ceil(positions / kKvBlock)].
  [[nodiscard]] const std::uint8_t* const* block_table() const noexcept { return addresses_.data(); }
  [[nodiscard]] std::uint8_t* block_of(std::size_t position) const noexcept {
    return cache_->data(blocks_[position / kernels::kKvBlock]);
  }

 private:
  /// Blocks that it can have at once: of all positions, and one more for a copy on write.
  [[nodiscard]] std::size_t max_blocks() const noexcept { return base::ceil_div(n_ctx_, kernels::kKvBlock) + 1; }

  std::shared_ptr<KvCache> cache_;
  std::size_t n_ctx_;
  std::size_t n_tokens_ = 0;
  std::vector<std::uint32_t> blocks_;
  std::vector<const std::uint8_t*> addresses_;
};

}  // namespace woolly::exec
