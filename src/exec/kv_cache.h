// Keys and values in blocks of 64 positions, and the sequences that own them through block tables.
//
// A block is 64 positions of all layers; its keys and values of a head are as kernels/kv_format.h has them. Memory is taken
// in slabs of eight blocks, in which those of one head lie side by side, first the keys and then the values: attention
// over a sequence reads runs of eight blocks, which the processor's own prefetchers follow. Blocks are counted: sequences
// that share a past share its blocks, and one that writes into a shared block gets a copy first. Used from one thread at a
// time (outside of a step).
//
// What recurrent layers keep of a sequence is one state after its last position. It cannot be cut, so a sequence keeps a few
// earlier ones, and its tokens: it goes back to one of these, and what lies between is computed again.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "base/checked.h"
#include "kernels/kernel_table.h"
#include "model/spec.h"
#include "os/memory.h"
#include "woolly/error.h"
#include "woolly/kv_budget.h"
#include "woolly/tokenizer.h"

namespace woolly::exec {

/// Where things are in a slab, in bytes.
struct KvLayout {
  const kernels::KvKernels* kernels;
  std::size_t n_layers, n_kv_heads, head_dim, value_dim;
  std::size_t state_floats = 0;  ///< Of each sequence, beside its blocks: plan::Plan::state_floats.

  /// As many as a split of attention has.
  static constexpr std::size_t kSlabBlocks = kernels::kKvSplit / kernels::kKvBlock;

  [[nodiscard]] std::size_t key_bytes() const { return kernels::kv_key_bytes(kernels->type, head_dim); }
  [[nodiscard]] std::size_t value_bytes() const { return kernels::kv_value_bytes(kernels->type, value_dim); }
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

  /// Makes room in the tables for `n` more blocks and `n_states` more states, so that taking them allocates nothing but
  /// pages.
  void expect(std::size_t n, std::size_t n_states);
  /// Takes back what `expect` was told, as a sequence goes.
  void no_longer_expect(std::size_t n, std::size_t n_states) noexcept {
    n_expected_ -= n;
    n_states_expected_ -= n_states;
  }

  /// A block with a count of one; kLimitExceeded where the budget is used up or the system gives no memory.
  Result<std::uint32_t> take();
  void retain(std::uint32_t block) noexcept { ++counts_[block]; }
  void release(std::uint32_t block) noexcept;
  [[nodiscard]] bool is_shared(std::uint32_t block) const noexcept { return counts_[block] > 1; }

  /// The same of states. They are not cleared.
  Result<std::uint32_t> take_state();
  void retain_state(std::uint32_t state) noexcept { ++state_counts_[state]; }
  void release_state(std::uint32_t state) noexcept;
  [[nodiscard]] bool is_state_shared(std::uint32_t state) const noexcept { return state_counts_[state] > 1; }
  [[nodiscard]] float* state(std::uint32_t state) const noexcept {
    return reinterpret_cast<float*>(states_[state].data());
  }
  [[nodiscard]] std::size_t state_bytes() const noexcept { return layout_.state_floats * sizeof(float); }

  /// The address that offsets of the layout count from.
  [[nodiscard]] std::uint8_t* data(std::uint32_t block) const noexcept {
    return reinterpret_cast<std::uint8_t*>(slabs_[block / KvLayout::kSlabBlocks].data()) +
           block % KvLayout::kSlabBlocks * layout_.piece_bytes();
  }

 private:
  Result<os::Memory> take_memory(std::size_t bytes, const char* purpose);
  /// Gives the memory of a state that nobody has back; false where there is none.
  bool drop_free_state() noexcept;

  KvLayout layout_;
  std::shared_ptr<KvBudget> budget_;  ///< nullptr: none.
  std::vector<os::Memory> slabs_;
  std::vector<std::uint32_t> counts_;  ///< By block; 0: free.
  std::vector<std::uint32_t> free_;
  std::size_t n_expected_ = 0;
  std::vector<os::Memory> states_;  ///< Of some that are free it was given back.
  std::vector<std::uint32_t> state_counts_, free_states_;
  std::size_t n_states_expected_ = 0;
};

/// The state of one sequence: opaque to all but the executor.
class Sequence {
 public:
  /// States before the last one that a sequence keeps.
  static constexpr std::size_t kMostCheckpoints = 4;
  /// The one after the last position, and the one that a step writes.
  static constexpr std::size_t kMostStates = kMostCheckpoints + 2;

  /// At most `n_ctx` positions.
  Sequence(std::shared_ptr<KvCache> cache, std::size_t n_ctx);
  ~Sequence();
  Sequence(const Sequence&) = delete;
  Sequence& operator=(const Sequence&) = delete;

  /// Positions that are computed.
  [[nodiscard]] std::size_t n_tokens() const noexcept { return n_tokens_; }
  /// Tokens behind them that the sequence has too, but must compute again: the next step's rows begin with these.
  [[nodiscard]] std::span<const TokenId> missing() const noexcept {
    return std::span(text_).subspan(std::min(n_tokens_, text_.size()));
  }
  /// Both.
  [[nodiscard]] std::size_t length() const noexcept { return n_tokens_ + missing().size(); }
  [[nodiscard]] std::size_t n_ctx() const noexcept { return n_ctx_; }

  /// Makes room for `n` more positions after those computed: takes blocks and a state, and copies the last block if it is
  /// shared. Allocates nothing.
  Status reserve(std::size_t n);
  /// Before a step that fills `n` reserved positions; settles where it reads and writes state.
  void begin_step(std::size_t n) noexcept;
  /// After it.
  void advance(std::span<const TokenId> tokens) noexcept;
  /// Forgets everything from position `n_tokens` on, at most length(). With state, the last computed position may be an
  /// earlier one then.
  void truncate(std::size_t n_tokens);
  /// A sequence with the same past, sharing all blocks.
  [[nodiscard]] std::unique_ptr<Sequence> fork() const;

  /// The past as bytes with a checksum. `fingerprint` names the model.
  [[nodiscard]] std::vector<std::byte> save(std::uint64_t fingerprint) const;
  /// Takes the place of this sequence's past; kInvalidFile where the bytes are damaged or of another model, type of
  /// cache or context, or have tokens beyond `vocab_size`, and the sequence is then unchanged.
  Status restore(std::span<const std::byte> state, std::uint64_t fingerprint, std::size_t vocab_size);

  /// What recurrent layers have after the positions that are computed, and where a step puts what they have after its own:
  /// maybe the same place. [layout.state_floats], between begin_step and advance.
  [[nodiscard]] const float* state() const noexcept { return cache_->state(*state_); }
  [[nodiscard]] float* next_state() const noexcept { return cache_->state(writes_spare_ ? *spare_ : *state_); }

  /// Addresses of the blocks, [ceil(positions / kKvBlock)].
  [[nodiscard]] const std::uint8_t* const* block_table() const noexcept { return addresses_.data(); }
  [[nodiscard]] std::uint8_t* block_of(std::size_t position) const noexcept {
    return cache_->data(blocks_[position / kernels::kKvBlock]);
  }

 private:
  struct Checkpoint {
    std::size_t n_tokens;
    std::uint32_t state;
  };

  /// Blocks that it can have at once: of all positions, and one more for a copy on write.
  [[nodiscard]] std::size_t max_blocks() const noexcept { return blocks_of(n_ctx_) + 1; }
  /// None where no layer attends.
  [[nodiscard]] std::size_t blocks_of(std::size_t n_tokens) const noexcept {
    return cache_->layout().n_layers == 0 ? 0 : base::ceil_div(n_tokens, kernels::kKvBlock);
  }
  [[nodiscard]] bool has_state() const noexcept { return cache_->layout().state_floats > 0; }
  [[nodiscard]] std::size_t max_states() const noexcept { return has_state() ? kMostStates : 0; }
  /// Whether a step must not write to the state that it reads.
  [[nodiscard]] bool must_keep_state() const noexcept { return state_ && cache_->is_state_shared(*state_); }
  /// Whether the state is worth keeping where the next step has `n` rows: at the beginning of chunks and of verified drafts,
  /// and where a prompt ends.
  [[nodiscard]] bool wants_checkpoint(std::size_t n) const noexcept { return state_ && (n > 1 || had_many_rows_); }
  void add_checkpoint(Checkpoint checkpoint) noexcept;
  void go_back_to_checkpoint(std::size_t n_tokens) noexcept;

  std::shared_ptr<KvCache> cache_;
  std::size_t n_ctx_;
  std::size_t n_tokens_ = 0;
  std::vector<std::uint32_t> blocks_;
  std::vector<const std::uint8_t*> addresses_;

  // Where there is state.
  std::vector<TokenId> text_;           ///< [length()].
  std::optional<std::uint32_t> state_;  ///< After n_tokens_ positions; none at the beginning.
  std::optional<std::uint32_t> spare_;
  std::vector<Checkpoint> checkpoints_; ///< In order.
  bool writes_spare_ = false;
  bool had_many_rows_ = false;          ///< The last step.
};

}  // namespace woolly::exec
