#include "bench/attention.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <random>
#include <utility>

#include "base/assert.h"
#include "base/checked.h"
#include "bench/weights.h"
#include "exec/chunk_queue.h"
#include "exec/kv_cache.h"
#include "os/memory.h"

namespace woolly::bench {
namespace {

using kernels::kKvBlock;
using kernels::kMaxQueries;
using kernels::KernelTable;
using Clock = std::chrono::steady_clock;

/// Of the model whose blocks are measured, as small ones have them (Llama 3.2 1B). They say how far the blocks of one
/// head lie apart, and so which sets of a cache they share.
constexpr std::size_t kLayers = 16, kKvHeads = 8;

/// The keys and values of sequences of one length. A unit is one key-value head of one layer of one sequence.
struct Cache {
  exec::KvLayout layout;
  std::size_t n_keys;
  std::size_t n_units = 0;                      ///< Of those that are used.
  std::size_t next = 0;                         ///< From memory: the unit where the next call begins.
  std::vector<std::uint8_t*> blocks{};          ///< Block tables, one sequence after the other.

  [[nodiscard]] std::size_t n_blocks() const { return base::ceil_div(n_keys, kKvBlock); }
  [[nodiscard]] std::size_t units_of_sequence() const { return layout.n_layers * layout.n_kv_heads; }
  [[nodiscard]] std::size_t n_sequences() const { return base::ceil_div(n_units, units_of_sequence()); }
  [[nodiscard]] std::size_t unit_bytes() const { return n_blocks() * (layout.key_bytes() + layout.value_bytes()); }
  [[nodiscard]] std::size_t bytes() const {
    return base::ceil_div(n_sequences() * n_blocks(), exec::KvLayout::kSlabBlocks) * layout.slab_bytes();
  }

  /// Where a unit is.
  struct Place {
    std::uint8_t* const* blocks;
    std::size_t key_offset, value_offset;
  };
  [[nodiscard]] Place place(std::size_t unit) const {
    const std::size_t in_sequence = unit % units_of_sequence();
    const std::size_t layer = in_sequence / layout.n_kv_heads, head = in_sequence % layout.n_kv_heads;
    return {blocks.data() + unit / units_of_sequence() * n_blocks(), layout.key_offset(layer, head),
            layout.value_offset(layer, head)};
  }
};

/// A row of the report while it is measured.
struct Case {
  Cache* cache;
  std::size_t n_queries;
  const KernelTable* table;
  const kernels::KvKernels* kernels;
  std::size_t n_calls = 1;      ///< Of one repetition, by all threads together.
  std::vector<double> rates{};  ///< Operations per second.

  [[nodiscard]] double ops() const {
    return 4.0 * static_cast<double>(cache->layout.head_dim) * static_cast<double>(n_queries * cache->n_keys);
  }
  [[nodiscard]] double bytes() const {
    const exec::KvLayout& layout = cache->layout;
    const double block_bytes = static_cast<double>(layout.key_bytes() + layout.value_bytes());
    return static_cast<double>(cache->n_keys) * block_bytes / kKvBlock;
  }
};

class AttentionBench {
 public:
  AttentionBench(os::ThreadPool& pool, const AttentionOptions& options)
      : pool_(pool), options_(options), queue_(pool.size()) {}

  Status prepare() {
    WOOLLY_CHECK(prepare_caches());
    for (Cache& cache : caches_) {
      for (const std::size_t n_queries : options_.queries) {
        for (const KernelTable* table : options_.tables) {
          const std::size_t n_calls = options_.is_from_memory ? 1 : pool_.size();
          cases_.push_back({&cache, n_queries, table, table->kv(cache.layout.kernels->type), n_calls});
        }
      }
    }
    const std::size_t head_dim = *std::ranges::max_element(options_.head_dims);
    vector_floats_ = base::round_up(head_dim, kFloatsOfLine);
    scratch_floats_ = base::round_up(kernels::attention_scratch_floats(head_dim, head_dim), kFloatsOfLine);
    const std::size_t n_vectors = (1 + pool_.size()) * kMaxQueries;
    const std::size_t n_floats = n_vectors * vector_floats_ + pool_.size() * scratch_floats_;
    WOOLLY_TRY(workspace_, os::Memory::reserve(n_floats * sizeof(float), "queries"));
    std::mt19937 random(20240229);  // the seed has no meaning
    for (std::size_t i = 0; i < kMaxQueries * vector_floats_; ++i) {
      floats()[i] = static_cast<float>(random() % 2001) / 1000.0F - 1.0F;
    }
    return {};
  }

  void run() {
    for (Case* c : in_order()) warm_up(*c);
    for (std::size_t i = 0; i < options_.n_repetitions; ++i) {
      for (Case* c : in_order()) measure(*c);
    }
  }

  [[nodiscard]] std::vector<Case>& cases() { return cases_; }

 private:
  static constexpr std::size_t kFloatsOfLine = 16;

  Status prepare_caches() {
    for (const quant::DType type : options_.types) {
      const kernels::KvKernels* kernels = options_.tables.front()->kv(type);
      if (kernels == nullptr) return refuse(type);
      for (const std::size_t head_dim : options_.head_dims) {
        for (const std::size_t n_keys : options_.keys) {
          caches_.push_back({{kernels, kLayers, kKvHeads, head_dim, head_dim}, n_keys});
        }
      }
    }
    const std::uint64_t wanted = options_.effort.memory_bytes;
    std::uint64_t each = std::max(wanted / caches_.size(), wanted / 2);
    // At least half of the available memory is left to others.
    if (const std::uint64_t available = os::available_memory(); available > 0) {
      each = std::min(each, available / 2 / caches_.size());
    }
    std::size_t n_bytes = 0;
    for (Cache& cache : caches_) {
      const std::size_t n_units = each / cache.unit_bytes();
      // Fewer layers where sequences are long.
      cache.layout.n_layers = std::clamp<std::size_t>(n_units / kKvHeads, 1, kLayers);
      const std::size_t n_sequences = std::max<std::size_t>(1, n_units / cache.units_of_sequence());
      cache.n_units = options_.is_from_memory ? n_sequences * cache.units_of_sequence() : pool_.size();
      n_bytes += cache.bytes();
    }
    WOOLLY_TRY(memory_, os::Memory::reserve(n_bytes, "keys and values"));
    auto* at = reinterpret_cast<std::uint8_t*>(memory_.data());
    for (Cache& cache : caches_) fill(cache, std::exchange(at, at + cache.bytes()));
    return {};
  }

  [[nodiscard]] Error refuse(quant::DType type) const {
    std::string names;
    for (std::size_t i = 0; i < kernels::kKvTypes; ++i) {
      names += fmt::format("{}{}", i == 0 ? "" : ", ", quant::info(options_.tables.front()->kvs[i].type).name);
    }
    return {ErrorCode::kInvalidArgument,
            fmt::format("type of keys and values is {}, allowed are {}", quant::info(type).name, names)};
  }

  /// Any normal numbers do; a unit has the same in all blocks.
  void fill(Cache& cache, std::uint8_t* memory) {
    for (std::size_t i = 0; i < cache.n_sequences() * cache.n_blocks(); ++i) {
      cache.blocks.push_back(memory + i / exec::KvLayout::kSlabBlocks * cache.layout.slab_bytes() +
                             i % exec::KvLayout::kSlabBlocks * cache.layout.piece_bytes());
    }
    std::vector<std::uint8_t> head(cache.layout.piece_bytes());
    fill_panel(head);
    pool_.parallel_for(cache.n_units, 1, [&](std::size_t begin, std::size_t end) {
      for (std::size_t unit = begin; unit < end; ++unit) {
        const Cache::Place place = cache.place(unit);
        for (std::size_t i = 0; i < cache.n_blocks(); ++i) {
          std::memcpy(place.blocks[i] + place.key_offset, head.data(), head.size());
          std::memcpy(place.blocks[i] + place.value_offset, head.data(), head.size());
        }
      }
    });
  }

  /// Caches in turn: what follows a case reads other keys and values, so that none of them stay in the processor's
  /// caches when they shall come from memory.
  [[nodiscard]] std::vector<Case*> in_order() {
    const std::size_t n_of_cache = cases_.size() / caches_.size();
    std::vector<Case*> order;
    for (std::size_t i = 0; i < n_of_cache; ++i) {
      for (std::size_t cache = 0; cache < caches_.size(); ++cache) order.push_back(&cases_[cache * n_of_cache + i]);
    }
    return order;
  }

  /// Finds out how many calls a repetition takes; caches, threads and clocks settle meanwhile.
  void warm_up(Case& c) {
    // From memory, nothing is read twice in a repetition.
    const std::size_t most = options_.is_from_memory ? c.cache->n_units : std::size_t{1} << 24U;
    while (seconds_of(c, c.n_calls) < options_.effort.seconds && c.n_calls < most) {
      c.n_calls = std::min(2 * c.n_calls, most);
    }
  }

  void measure(Case& c) {
    seconds_of(c, base::ceil_div(c.n_calls, 4));  // other keys and values were in the caches
    const double seconds = seconds_of(c, c.n_calls);
    c.rates.push_back(c.ops() * static_cast<double>(c.n_calls) / seconds);
  }

  double seconds_of(Case& c, std::size_t n_calls) {
    Cache& cache = *c.cache;
    Clock::time_point begin, end;
    pool_.run([&](std::size_t thread) {
      pool_.barrier();  // every thread is awake
      if (thread == 0) begin = Clock::now();
      exec::ChunkQueue::Round calls(queue_, round_, thread, n_calls);
      for (std::size_t i = calls.next(); i < n_calls; i = calls.next()) {
        // In caches, threads stay with their units, in as many calls for each.
        attend(c, thread, options_.is_from_memory ? (cache.next + i) % cache.n_units : i * cache.n_units / n_calls);
      }
      pool_.barrier();
      if (thread == 0) end = Clock::now();
    });
    ++round_;
    if (options_.is_from_memory) cache.next = (cache.next + n_calls) % cache.n_units;
    return std::chrono::duration<double>(end - begin).count();
  }

  void attend(const Case& c, std::size_t thread, std::size_t unit) const {
    const Cache::Place place = c.cache->place(unit);
    const float* queries[kMaxQueries];
    float* outputs[kMaxQueries];
    std::uint32_t n_keys[kMaxQueries];
    for (std::size_t i = 0; i < c.n_queries; ++i) {
      queries[i] = floats() + i * vector_floats_;
      outputs[i] = floats() + ((1 + thread) * kMaxQueries + i) * vector_floats_;
      n_keys[i] = static_cast<std::uint32_t>(c.cache->n_keys);
    }
    float* scratch = floats() + (1 + pool_.size()) * kMaxQueries * vector_floats_ + thread * scratch_floats_;
    const std::size_t head_dim = c.cache->layout.head_dim;
    c.kernels->attend({.n_queries = c.n_queries,
                       .queries = queries,
                       .outputs = outputs,
                       .n_keys = n_keys,
                       .blocks = place.blocks,
                       .key_offset = place.key_offset,
                       .value_offset = place.value_offset,
                       .head_dim = head_dim,
                       .value_dim = head_dim,
                       .scale = 0.125F,
                       .scratch = scratch});
  }

  [[nodiscard]] float* floats() const { return reinterpret_cast<float*>(workspace_.data()); }

  os::ThreadPool& pool_;
  const AttentionOptions& options_;
  exec::ChunkQueue queue_;
  std::uint64_t round_ = 0;  ///< As ChunkQueue counts them.
  os::Memory memory_;        ///< Keys and values.
  std::vector<Cache> caches_;
  os::Memory workspace_;  ///< Vectors: the queries, then for each thread its outputs; then for each thread its scratch.
  std::size_t vector_floats_ = 0, scratch_floats_ = 0;
  std::vector<Case> cases_;
};

void hold_against_roof(AttentionReport& report) {
  for (AttentionRow& row : report.rows) {
    const Roof& roof = *find_roof(report.roofs, row.table->name);
    const auto complain = [&](double share, const char* of) {
      if (share <= kMaxRoofShare) return;
      report.errors.push_back(fmt::format("error of the roof: {} of heads of {}, {} keys, {} queries, {} is at {:.0f} % "
                                          "of {}, so it was measured too low",
                                          quant::info(row.type).name, row.head_dim, row.n_keys, row.n_queries,
                                          row.table->name, share * 100, of));
    };
    row.float_share = row.ops_per_second.median / roof.float_ops_per_second;
    if (row.table->bf16_loop != nullptr && row.type != quant::DType::kF32) {
      row.bf16_share = row.ops_per_second.median / roof.bf16_ops_per_second;
    }
    complain(row.bf16_share.value_or(*row.float_share), "the arithmetic");
    if (!report.is_from_memory) continue;
    row.read_share = row.bytes_per_second / roof.read_bytes_per_second;
    complain(*row.read_share, "the read bandwidth");
  }
}

}  // namespace

Result<AttentionReport> run_attention_bench(os::ThreadPool& pool, const AttentionOptions& options) {
  WOOLLY_ASSERT(!options.types.empty() && !options.head_dims.empty() && !options.queries.empty() &&
                !options.keys.empty() && !options.tables.empty() && options.n_repetitions > 0);
  AttentionReport report;
  report.machine = machine_name(pool.size());
  report.n_threads = pool.size();
  report.is_from_memory = options.is_from_memory;
  AttentionBench bench(pool, options);
  WOOLLY_CHECK(bench.prepare());
  if (options.with_roof) {
    for (const KernelTable* table : options.tables) report.roofs.push_back({table, {}});
    WOOLLY_CHECK(measure_roofs(pool, options.effort.roof, report.roofs));
  }
  bench.run();
  if (options.with_roof) WOOLLY_CHECK(measure_roofs(pool, options.effort.roof, report.roofs));
  for (Case& c : bench.cases()) {
    const Summary rate = summarize(std::move(c.rates));
    const exec::KvLayout& layout = c.cache->layout;
    report.rows.push_back({layout.kernels->type, layout.head_dim, c.n_queries, c.cache->n_keys, c.table, rate,
                           rate.median / c.ops() * c.bytes(), {}, {}, {}});
  }
  if (options.with_roof) hold_against_roof(report);
  return report;
}

}  // namespace woolly::bench
