#include "exec/executor.h"

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "base/assert.h"
#include "base/checked.h"
#include "exec/act_layout.h"
#include "exec/bound.h"
#include "exec/chunk_queue.h"
#include "exec/recurrent.h"
#include "exec/routing.h"
#include "kernels/panel_format.h"
#include "model/rope.h"
#include "os/memory.h"

namespace woolly::exec {
namespace {

using kernels::ActColumn;
using kernels::ActFormat;
using kernels::kPanelRows;

/// Up to this many rows each thread prepares the input of a linear step for itself: norm and quantization of a row cost
/// less than the barrier that sharing them would need.
constexpr std::size_t kRedundantRows = 1;
/// Rows that a thread multiplies by the matrix of one head at once: all columns that kernels profit from.
constexpr std::size_t kHeadRows = 64;

/// The columns that matrix kernels read, by format.
struct Columns {
  ActColumn* of[kernels::kActFormats];
};

/// What matrices read of some rows.
struct Inputs {
  std::byte* activations;
  Columns columns;  ///< By row.
  Columns slots;    ///< By slot of `routing`.
  Routing routing;
};

/// What one thread needs for itself.
struct Scratch {
  float* tiles[2];       ///< [max_rows, kPanelRows] each; the first holds all slots of max_rows rows.
  float* attention;
  float* recurrence;
  std::byte* row;        ///< One row of the embedding table in file layout.
  std::uint8_t* panel;   ///< Where rows of a mapped file are packed to; the largest panel fits.
  Inputs inputs;         ///< Of kRedundantRows rows.
  std::byte* head_activations;  ///< Of kHeadRows rows.
  ActColumn head_columns[kernels::kActFormats][kHeadRows];
};

}  // namespace

struct Executor::State {
  const plan::Plan& plan;
  const pack::Weights& weights;
  os::ThreadPool& pool;
  const kernels::KernelTable& table;
  plan::Limits limits;
  KvLayout kv;

  os::Memory workspace;
  std::vector<BoundStep> steps;
  ActLayout act{};         ///< Of a row of any linear step's input.
  ActLayout expert_act{};  ///< Of what the experts' second matrices read.
  ActLayout head_act{};    ///< Of what a matrix of a head reads.
  Inputs shared{};         ///< Of all rows.
  /// Of one rotary embedding.
  struct Turning {
    const model::Rope* rope;
    std::vector<double> frequencies;
    float* angles = nullptr;  ///< [max_rows, n_rot].
  };
  std::vector<Turning> turnings;  ///< By plan::Rotation.
  std::vector<Scratch> scratch;
  std::vector<ActColumn> column_storage;
  ChunkQueue queue;
  std::uint64_t round = 0;  ///< As ChunkQueue counts them.
  const float* logits = nullptr;

  // The batch at hand.
  const Batch* batch = nullptr;
  std::vector<std::uint32_t> positions;  ///< [max_rows].
  std::vector<std::uint32_t> slice_of;   ///< [max_rows].
  bool has_single_rows = false;          ///< No sequence has more than one row.
  Recorder* recorder = nullptr;
  InputSquares* squares = nullptr;

  State(const plan::Plan& p, const pack::Weights& w, os::ThreadPool& threads, const plan::Limits& l, const KvLayout& k)
      : plan(p), weights(w), pool(threads), table(*p.kernels), limits(l), kv(k), queue(threads.size()) {}

  void take_batch(const Batch& b);
  [[nodiscard]] Work work_of_batch() const;

  // One thread's walk and its steps.
  template <typename Watch>
  struct Walk;
  /// All threads' walks, thread i timed by `watch_of(i)`.
  template <typename WatchOf>
  void walk(WatchOf watch_of);
};

void Executor::State::take_batch(const Batch& b) {
  batch = &b;
  has_single_rows = true;
  for (std::size_t s = 0; s < b.slices.size(); ++s) {
    const Slice& slice = b.slices[s];
    for (std::size_t i = 0; i < slice.n_rows; ++i) {
      positions[slice.first_row + i] = static_cast<std::uint32_t>(slice.sequence->n_tokens() + i);
      slice_of[slice.first_row + i] = static_cast<std::uint32_t>(s);
    }
    slice.sequence->begin_step(slice.n_rows);
    if (slice.n_rows > 1) has_single_rows = false;
  }
}

Work Executor::State::work_of_batch() const {
  const bool has_logits = !batch->logit_rows.empty();
  Work work{.n_runs = 1,
            .n_rows = batch->tokens.size(),
            .n_logit_runs = has_logits ? 1U : 0U,
            .n_logit_rows = batch->logit_rows.size()};
  for (const Slice& slice : batch->slices) {
    const std::uint64_t n_before = slice.sequence->n_tokens(), n = slice.n_rows;
    work.n_positions += n_before + n;
    work.n_pairs += n_before * n + n * (n + 1) / 2;
  }
  return work;
}

/// One thread's walk through the plan. Every thread takes the same turns; a barrier ends each phase. `Watch` times it: a
/// Stopwatch&, or NoStopwatch, which leaves no instruction.
template <typename Watch>
struct Executor::State::Walk {
  State& s;
  std::size_t thread;
  std::size_t n_threads;
  Scratch& mine;
  std::size_t n_rows;
  std::uint64_t round;
  Watch watch;
  std::size_t step = 0;  ///< At hand.

  Walk(State& state, std::size_t t, Watch w)
      : s(state),
        thread(t),
        n_threads(state.pool.size()),
        mine(state.scratch[t]),
        n_rows(state.batch->tokens.size()),
        round(state.round),
        watch(w) {}

  void run() {
    watch.enter(0, n_rows);
    watch.lap(Phase::kStart);
    for (const BoundStep& bound : s.steps) {
      const auto* select = std::get_if<BoundSelectRows>(&bound);
      if (select != nullptr && s.batch->logit_rows.empty()) return;
      watch.enter(step, n_rows);
      std::visit([&](const auto& op) { (*this)(op); }, bound);
      ++step;
    }
  }

  void barrier() {
    s.pool.barrier();
    watch.lap(Phase::kWait);
  }

  ChunkQueue::Round chunks(std::size_t n) { return {s.queue, round++, thread, n}; }

  /// This thread's share of the rows: the first, and the one behind the last.
  [[nodiscard]] std::pair<std::size_t, std::size_t> my_rows() const {
    return {n_rows * thread / n_threads, n_rows * (thread + 1) / n_threads};
  }
  /// Calls `body(row)` for this thread's share of the rows.
  template <typename Body>
  void for_my_rows(Body body) {
    for (auto [row, end] = my_rows(); row < end; ++row) body(row);
  }

  void operator()(const BoundEmbed& op) {
    for_my_rows([&](std::size_t row) {
      const auto token = static_cast<std::size_t>(s.batch->tokens[row].value);
      float* out = op.out.row(row);
      s.weights.decode_row(*op.table, token, mine.row, out);
      if (op.scale != 1.0F) s.table.affine(out, op.scale, nullptr, op.out.width, out);
      for (const auto& turning : s.turnings) {
        float* angles = turning.angles + row * turning.rope->n_rot;
        model::rope_angles(*turning.rope, turning.frequencies, s.positions[row], angles);
      }
    });
    watch.lap(Phase::kEmbed);
    barrier();
  }

  /// Whether each thread prepares all rows for itself, or its share of them for all.
  [[nodiscard]] bool is_redundant() const { return n_rows <= kRedundantRows; }
  [[nodiscard]] Inputs& inputs() const { return is_redundant() ? mine.inputs : s.shared; }

  /// Norm and the formats that kernels read, of `width` values of one row.
  void prepare(const BoundInput& in, const float* x, std::size_t width, const ActLayout::Row& to,
               const Columns& columns, std::size_t column) const {
    if (in.norm) {
      s.table.rms_norm(x, in.norm->weight, in.norm->eps, width, to.x);
      x = to.x;
    }
    const auto wants = [&](ActFormat format) { return (in.act_formats >> static_cast<unsigned>(format) & 1U) != 0; };
    if (wants(ActFormat::kF32)) columns.of[0][column] = {.x = x};
    if (wants(ActFormat::kA32)) {
      s.table.quantize_a32(x, width, to.a32);
      columns.of[1][column] = {
          .q = to.a32.q, .scale = to.a32.scale, .sums32 = to.a32.sums32, .scaled_sums = to.a32.scaled_sums};
    }
    if (wants(ActFormat::kA256)) {
      s.table.quantize_a256(x, width, to.a256);
      columns.of[2][column] = {
          .q = to.a256.q, .scale = to.a256.scale, .sums32 = to.a256.sums32, .sums16 = to.a256.sums16};
    }
    if (wants(ActFormat::kBF16)) {
      s.table.round_bf16(x, width, to.bf16);
      columns.of[3][column] = {.bf16 = to.bf16};
    }
  }

  /// Whether this thread is the one that sums squares of inputs, so that their order is always the same.
  [[nodiscard]] bool counts_inputs() const { return s.squares != nullptr && thread == 0; }
  /// What `prepare` has made of a row, before its quantization.
  static const float* prepared(const BoundInput& in, const float* x, const ActLayout::Row& to) { return in.norm ? to.x : x; }

  /// Calls `body(row)` for all rows or this thread's share of them.
  template <typename Body>
  void for_rows_to_prepare(Body body) {
    if (!is_redundant()) return for_my_rows(body);
    for (std::size_t row = 0; row < n_rows; ++row) body(row);
  }

  /// Ends what for_rows_to_prepare began.
  void share_prepared() {
    watch.lap(Phase::kPrepare);
    if (!is_redundant()) barrier();
  }

  void prepare_rows(const BoundInput& in) {
    const Inputs& to = inputs();
    for_rows_to_prepare([&](std::size_t row) {
      const ActLayout::Row arrays = s.act.row(to.activations + row * s.act.row_bytes());
      prepare(in, in.buffer.row(row), in.buffer.width, arrays, to.columns, row);
    });
  }

  /// Multiplies one panel of matrix `index` of a stack by columns, to `tile` [n_columns, kPanelRows]. The rows of a mapped
  /// file are packed first, but for one column, which does not pay for it.
  void multiply(const BoundMatrix& matrix, std::size_t index, std::size_t panel, const ActColumn* columns,
                std::size_t n_columns, float* tile) const {
    const kernels::MatmulKernel& kernel = *matrix.kernel;
    const pack::MatrixBytes& bytes = matrix.weights;
    const std::uint8_t* from = bytes.data + index * bytes.stride + panel * bytes.panel_stride;
    if (bytes.row_stride != 0) {
      const std::size_t n = matrix.rows_of(panel);
      if (n_columns == 1 && n == kPanelRows && kernel.run_rows != nullptr) {
        return kernel.run_rows(from, bytes.row_stride, matrix.n_cols, columns[0], tile);
      }
      kernel.pack(from, bytes.row_stride, n, matrix.n_cols, mine.panel);
      from = mine.panel;
    }
    kernel.run(from, matrix.n_cols, columns, n_columns, tile);
  }

  /// Multiplies one panel of a projection by all rows, scaled and biased, to `tile` [n_rows, kPanelRows].
  void project(const BoundProjection& projection, std::size_t panel, const Columns& columns, float* tile) {
    multiply(projection.matrix, 0, panel, columns_for(projection.matrix, columns), n_rows, tile);
    watch.lap(Phase::kKernel);
    if (projection.scale == 1.0F && projection.bias == nullptr) return;
    const std::size_t n = projection.matrix.rows_of(panel);
    const float* bias = projection.bias == nullptr ? nullptr : projection.bias + panel * kPanelRows;
    for (std::size_t row = 0; row < n_rows; ++row) {
      s.table.affine(tile + row * kPanelRows, projection.scale, bias, n, tile + row * kPanelRows);
    }
    watch.lap(Phase::kEpilogue);
  }
  static const ActColumn* columns_for(const BoundMatrix& matrix, const Columns& columns) {
    return columns.of[static_cast<std::size_t>(matrix.kernel->act)];
  }

  void gate(plan::Epilogue epilogue, const float* gate, const float* up, std::size_t n, float* out) const {
    if (epilogue == plan::Epilogue::kSwiGlu) return s.table.swiglu(gate, up, n, out);
    if (epilogue == plan::Epilogue::kGeGlu) return s.table.geglu(gate, up, n, out);
    s.table.clamped_swiglu(gate, up, n, out);
  }

  void add(const BoundProjection& projection, std::size_t row, const float* y, std::size_t n, float* out) const {
    if (!projection.gate) return s.table.add(y, n, out);
    const std::uint32_t first = 0;
    float weight;
    s.table.sigmoid(projection.gate->row(row), 1, &weight);
    s.table.add_weighted(y, &first, &weight, 1, n, out);
  }

  void finish_panel(const BoundLinear& op, const BoundProjection& projection, std::size_t panel) {
    const std::size_t column = projection.out_column + panel * kPanelRows;
    const std::size_t n = projection.matrix.rows_of(panel);
    for (std::size_t row = 0; row < n_rows; ++row) {
      const float* y = mine.tiles[0] + row * kPanelRows;
      float* out = op.out.row(row) + column;
      switch (op.epilogue) {
        case plan::Epilogue::kStore: std::memcpy(out, y, n * sizeof(float)); break;
        case plan::Epilogue::kAdd: add(projection, row, y, n, out); break;
        case plan::Epilogue::kSoftCap: s.table.soft_cap(y, op.soft_cap, n, out); break;
        default: gate(op.epilogue, y, mine.tiles[1] + row * kPanelRows, n, out); break;
      }
    }
    watch.lap(Phase::kEpilogue);
  }

  void operator()(const BoundLinear& op) {
    prepare_rows(op.in);
    share_prepared();
    for (std::size_t row = 0; counts_inputs() && row < n_rows; ++row) {
      const ActLayout::Row arrays = s.act.row(inputs().activations + row * s.act.row_bytes());
      s.squares->add(step, 0, prepared(op.in, op.in.buffer.row(row), arrays));
    }
    const Columns& columns = inputs().columns;
    const bool is_gated = plan::is_gated(op.epilogue);
    const BoundMatrix& first = op.projections[0].matrix;
    std::size_t n_panels = first.n_panels;
    if (!is_gated) {
      for (std::size_t i = 1; i < op.projections.size(); ++i) n_panels += op.projections[i].matrix.n_panels;
    }
    const std::size_t at_once = panels_per_chunk(first.weights.panel_stride, n_panels, n_rows, n_threads);
    ChunkQueue::Round round_of_chunks = chunks(base::ceil_div(n_panels, at_once));
    const std::size_t n_chunks = base::ceil_div(n_panels, at_once);
    for (std::size_t chunk = round_of_chunks.next(); chunk < n_chunks; chunk = round_of_chunks.next()) {
      const std::size_t end = std::min(n_panels, (chunk + 1) * at_once);
      for (std::size_t panel = chunk * at_once; panel < end; ++panel) {
        if (is_gated) {
          project(op.projections[0], panel, columns, mine.tiles[0]);
          project(op.projections[1], panel, columns, mine.tiles[1]);
          finish_panel(op, op.projections[0], panel);
        } else {
          std::size_t i = 0, local = panel;
          while (local >= op.projections[i].matrix.n_panels) local -= op.projections[i++].matrix.n_panels;
          project(op.projections[i], local, columns, mine.tiles[0]);
          finish_panel(op, op.projections[i], local);
        }
      }
    }
    barrier();
  }

  /// A thread has one head of some rows at a time, and makes their input ready for itself.
  void operator()(const BoundLinearHeads& op) {
    const std::size_t n_cols = op.matrices.n_cols, in_width = op.in.buffer.width / op.n_heads;
    const std::size_t n_out = op.matrices.n_rows, out_width = op.out.width / op.n_heads;
    for (std::size_t row = 0; counts_inputs() && row < n_rows; ++row) {
      for (std::size_t head = 0; head < op.n_heads; ++head) s.squares->add(step, head, op.in.buffer.row(row) + head * in_width);
    }
    const Columns columns{{mine.head_columns[0], mine.head_columns[1], mine.head_columns[2], mine.head_columns[3]}};
    const std::size_t of_head = base::ceil_div(n_rows, kHeadRows), n_units = op.n_heads * of_head;
    ChunkQueue::Round units = chunks(n_units);
    for (std::size_t unit = units.next(); unit < n_units; unit = units.next()) {
      const std::size_t head = unit / of_head, first = unit % of_head * kHeadRows, n = std::min(kHeadRows, n_rows - first);
      for (std::size_t i = 0; i < n; ++i) {
        const float* in = op.in.buffer.row(first + i) + head * in_width;
        const ActLayout::Row arrays = s.head_act.row(mine.head_activations + i * s.head_act.row_bytes());
        prepare(op.in, in, n_cols, arrays, columns, i);
        std::memcpy(op.out.row(first + i) + head * out_width + n_out, in + n_cols, (in_width - n_cols) * sizeof(float));
      }
      watch.lap(Phase::kPrepare);
      for (std::size_t panel = 0; panel < op.matrices.n_panels; ++panel) {
        multiply(op.matrices, head, panel, columns_for(op.matrices, columns), n, mine.tiles[0]);
        watch.lap(Phase::kKernel);
        for (std::size_t i = 0; i < n; ++i) {
          std::memcpy(op.out.row(first + i) + head * out_width + panel * kPanelRows, mine.tiles[0] + i * kPanelRows,
                      op.matrices.rows_of(panel) * sizeof(float));
        }
        watch.lap(Phase::kEpilogue);
      }
    }
    barrier();
  }

  /// Rotates queries and key of one row and key-value head and appends key and value to the cache.
  void append(const BoundAttend& op, std::size_t row, std::size_t kv_head) const {
    const model::Spec& spec = s.plan.spec;
    const std::size_t head_dim = spec.head_dim, group = spec.n_heads / spec.n_kv_heads;
    const auto rotate = [&](float* head) {
      if (op.rotation == plan::Rotation::kNone) return;
      const auto& turning = s.turnings[static_cast<std::size_t>(op.rotation)];
      const std::size_t n_rot = turning.rope->n_rot;
      const bool is_adjacent = turning.rope->pairs == model::RopePairs::kAdjacent;
      (is_adjacent ? s.table.rope_adjacent : s.table.rope_halves)(head + turning.rope->first, turning.angles + row * n_rot, n_rot);
    };
    const std::size_t position = s.positions[row];
    const float temperature = model::attention_temperature(spec.attention_temperature, s.positions[row]);
    const std::size_t query_stride = op.queries.width / spec.n_heads;  // with a gate, of two heads
    float* queries = op.queries.row(row) + kv_head * group * query_stride;
    float* key = op.keys.row(row) + kv_head * head_dim;
    const float* value = op.values.row(row) + kv_head * spec.value_dim;
    for (std::size_t g = 0; g < group; ++g) {
      float* query = queries + g * query_stride;
      if (op.query_norm) s.table.rms_norm(query, op.query_norm->weight, op.query_norm->eps, head_dim, query);
      rotate(query);
      if (temperature != 1.0F) s.table.affine(query, temperature, nullptr, head_dim, query);
    }
    if (op.shared_key) {
      const std::size_t n = op.shared_key->width;
      std::memcpy(key + head_dim - n, op.shared_key->row(row), n * sizeof(float));
    }
    if (op.key_norm) s.table.rms_norm(key, op.key_norm->weight, op.key_norm->eps, head_dim, key);
    rotate(key);

    std::uint8_t* block = s.batch->slices[s.slice_of[row]].sequence->block_of(position);
    const std::size_t slot = position % kernels::kKvBlock;
    s.kv.kernels->store_key(key, head_dim, slot, block + s.kv.key_offset(op.layer, kv_head));
    s.kv.kernels->store_value(value, spec.value_dim, slot, block + s.kv.value_offset(op.layer, kv_head));
  }

  /// Attention of queries [first, end) of one key-value head; query i is row i / group of `slice`, head i % group.
  void attend(const BoundAttend& op, const Slice& slice, std::size_t kv_head, std::size_t first, std::size_t end) const {
    const model::Spec& spec = s.plan.spec;
    const std::size_t head_dim = spec.head_dim, group = spec.n_heads / spec.n_kv_heads;
    const std::size_t query_stride = op.queries.width / spec.n_heads;
    const float* queries[kernels::kMaxQueries];
    float* outputs[kernels::kMaxQueries];
    std::uint32_t n_keys[kernels::kMaxQueries];
    float sinks[kernels::kMaxQueries];
    for (std::size_t at = first; at < end; at += kernels::kMaxQueries) {
      const std::size_t n = std::min(end - at, kernels::kMaxQueries);
      for (std::size_t i = 0; i < n; ++i) {
        const std::size_t row = slice.first_row + (at + i) / group, head = kv_head * group + (at + i) % group;
        queries[i] = op.queries.row(row) + head * query_stride;
        outputs[i] = op.out.row(row) + head * spec.value_dim;
        n_keys[i] = s.positions[row] + 1;
        if (op.sinks != nullptr) sinks[i] = op.sinks[head];
      }
      s.kv.kernels->attend({.n_queries = n,
                            .queries = queries,
                            .outputs = outputs,
                            .n_keys = n_keys,
                            .blocks = slice.sequence->block_table(),
                            .key_offset = s.kv.key_offset(op.layer, kv_head),
                            .value_offset = s.kv.value_offset(op.layer, kv_head),
                            .head_dim = head_dim,
                            .value_dim = spec.value_dim,
                            .scale = spec.attention_scale,
                            .scratch = mine.attention,
                            .soft_cap = spec.attention_soft_cap,
                            .window = op.window,
                            .sinks = op.sinks == nullptr ? nullptr : sinks});
      for (std::size_t i = 0; op.has_gates && i < n; ++i) {
        const std::size_t row = slice.first_row + (at + i) / group, head = kv_head * group + (at + i) % group;
        float* gate = op.queries.row(row) + head * query_stride + head_dim;
        s.table.sigmoid(gate, spec.value_dim, gate);
        s.table.multiply(gate, outputs[i], spec.value_dim, outputs[i]);
      }
    }
  }

  /// Queries of a key-value head that are attended to at once, at most. Many share what is done for a block of keys, but
  /// each thread should find several tiles, and one of a group where there are few groups.
  [[nodiscard]] std::size_t queries_at_once(std::size_t n_queries) const {
    constexpr std::size_t kTilesPerThread = 4;
    const std::size_t n_kv_heads = s.plan.spec.n_kv_heads, group = s.plan.spec.n_heads / n_kv_heads;
    const std::size_t of_group = base::ceil_div(n_queries * n_kv_heads, n_threads);
    const std::size_t least = std::min({group, of_group, kernels::kMaxQueries});
    return std::clamp(n_queries * n_kv_heads / (kTilesPerThread * n_threads), least, kernels::kMaxQueries);
  }

  void operator()(const BoundAttend& op) {
    const std::size_t n_kv_heads = s.plan.spec.n_kv_heads, group = s.plan.spec.n_heads / n_kv_heads;
    const std::size_t n_units = n_rows * n_kv_heads;
    // No other row of a sequence that has one is in the batch, so its keys are complete at once.
    const bool has_enough_units = n_units >= n_threads;
    const auto is_at_once = [&](const Slice& slice) { return slice.n_rows == 1 && has_enough_units; };
    ChunkQueue::Round units = chunks(n_units);
    for (std::size_t unit = units.next(); unit < n_units; unit = units.next()) {
      const std::size_t row = unit / n_kv_heads, kv_head = unit % n_kv_heads;
      append(op, row, kv_head);
      watch.lap(Phase::kAppend);
      const Slice& slice = s.batch->slices[s.slice_of[row]];
      if (!is_at_once(slice)) continue;
      attend(op, slice, kv_head, 0, group);
      watch.lap(Phase::kAttention);
    }
    barrier();
    if (s.has_single_rows && has_enough_units) return;

    // The others, when all their keys are in the cache: a tile is some queries of one key-value head.
    std::size_t n_queries = 0;
    for (const Slice& slice : s.batch->slices) n_queries += is_at_once(slice) ? 0 : slice.n_rows * group;
    const std::size_t at_once = queries_at_once(n_queries);
    const auto tiles_of = [&](const Slice& slice) {
      return is_at_once(slice) ? 0 : base::ceil_div(slice.n_rows * group, at_once);
    };
    std::size_t n_tiles = 0;  // of one key-value head
    for (const Slice& slice : s.batch->slices) n_tiles += tiles_of(slice);
    ChunkQueue::Round tiles = chunks(n_tiles * n_kv_heads);
    for (std::size_t tile = tiles.next(); tile < n_tiles * n_kv_heads; tile = tiles.next()) {
      std::size_t slice = 0, local = tile % n_tiles;
      while (local >= tiles_of(s.batch->slices[slice])) local -= tiles_of(s.batch->slices[slice++]);
      const Slice& of = s.batch->slices[slice];
      attend(op, of, tile / n_tiles, local * at_once, std::min(of.n_rows * group, (local + 1) * at_once));
      watch.lap(Phase::kAttention);
    }
    barrier();
  }

  /// Calls body(slice, i) for each sequence and i below n, shared out: a sequence's rows follow each other.
  template <typename Body>
  void for_parts_of_slices(std::size_t n, Body body) {
    const std::size_t n_units = s.batch->slices.size() * n;
    ChunkQueue::Round units = chunks(n_units);
    for (std::size_t unit = units.next(); unit < n_units; unit = units.next()) body(s.batch->slices[unit / n], unit % n);
    watch.lap(Phase::kKernel);
    barrier();
  }

  void operator()(const BoundConvolve& op) {
    for_parts_of_slices(base::ceil_div(op.out.width, kConvolvedColumns), [&](const Slice& slice, std::size_t i) {
      const std::size_t first = i * kConvolvedColumns;
      convolve(op, slice, first, std::min(kConvolvedColumns, op.out.width - first), s.table);
    });
  }

  void operator()(const BoundRecur& op) {
    for_parts_of_slices(op.n_heads, [&](const Slice& slice, std::size_t head) { recur(op, slice, head, mine.recurrence, s.table); });
  }

  void operator()(const BoundNormalize& op) {
    for_my_rows([&](std::size_t row) {
      float* normed = op.adds ? op.in.row(row) : op.out.row(row);
      const std::size_t n = op.in.width / op.n_groups;
      for (std::size_t at = 0; at < op.in.width; at += n) {
        s.table.rms_norm(op.in.row(row) + at, op.norm.weight + at, op.norm.eps, n, normed + at);
      }
      if (op.adds) s.table.add(normed, op.in.width, op.out.row(row));
    });
    watch.lap(Phase::kEpilogue);
    barrier();
  }

  void operator()(const BoundRoute& op) {
    prepare_rows(op.in);
    watch.lap(Phase::kPrepare);
    const Inputs& from = inputs();
    const std::size_t n_panels = op.router.n_panels + (op.shared_gate ? 1 : 0);  // the last is that of the gate
    const auto logits_of = [&](std::size_t panel, std::size_t first, std::size_t end) {
      const bool is_gate = panel == op.router.n_panels;
      const BoundMatrix& matrix = is_gate ? *op.shared_gate : op.router;
      const std::size_t local = is_gate ? 0 : panel, column = is_gate ? op.router.n_rows : panel * kPanelRows;
      multiply(matrix, 0, local, columns_for(matrix, from.columns) + first, end - first, mine.tiles[0]);
      const std::size_t n = matrix.rows_of(local);
      for (std::size_t row = first; row < end; ++row) {
        float* out = op.out.row(row) + column;
        std::memcpy(out, mine.tiles[0] + (row - first) * kPanelRows, n * sizeof(float));
        if (op.bias != nullptr && !is_gate) s.table.add(op.bias + panel * kPanelRows, n, out);
      }
      watch.lap(Phase::kKernel);
    };
    if (is_redundant()) {
      ChunkQueue::Round panels = chunks(n_panels);
      for (std::size_t panel = panels.next(); panel < n_panels; panel = panels.next()) logits_of(panel, 0, n_rows);
    } else if (const auto [first, end] = my_rows(); first < end) {
      for (std::size_t panel = 0; panel < n_panels; ++panel) logits_of(panel, first, end);
      for_my_rows([&](std::size_t row) { s.shared.routing.choose(row, op.out.row(row), op.selection_bias, s.table); });
      watch.lap(Phase::kEpilogue);
    }
    barrier();
  }

  /// Multiplies one panel of one expert by its columns, scaled, to `tile` [n, kPanelRows].
  void project(const BoundExperts& experts, const Routing::Group& group, std::size_t panel, const Columns& slots,
               float* tile) {
    const ActColumn* columns = columns_for(experts.matrix, slots) + group.first_slot;
    multiply(experts.matrix, group.expert, panel, columns, group.n, tile);
    watch.lap(Phase::kKernel);
    if (experts.scales == nullptr && experts.biases == nullptr) return;
    const float scale = experts.scales == nullptr ? 1.0F : experts.scales[group.expert];
    const float* bias = experts.biases;
    if (bias != nullptr) bias += group.expert * experts.matrix.n_rows + panel * kPanelRows;
    for (std::size_t i = 0; i < group.n; ++i) {
      float* y = tile + i * kPanelRows;
      s.table.affine(y, scale, bias, experts.matrix.rows_of(panel), y);
    }
    watch.lap(Phase::kEpilogue);
  }

  /// Gives rows their slots, and slots the columns of their rows.
  void group_rows(Inputs& of, unsigned act_formats) const {
    of.routing.group(n_rows);
    const std::size_t n_used = s.plan.spec.experts.n_used;
    for (std::size_t format = 0; format < kernels::kActFormats; ++format) {
      if ((act_formats >> format & 1U) == 0) continue;
      for (std::size_t slot = 0; slot < n_rows * n_used; ++slot) {
        of.slots.of[format][slot] = of.columns.of[format][of.routing.at_slot(slot).row];
      }
    }
  }

  void operator()(const BoundExpertsUp& op) {
    Inputs& from = inputs();
    if (is_redundant()) {
      for (std::size_t row = 0; row < n_rows; ++row) from.routing.choose(row, op.logits.row(row), op.selection_bias, s.table);
    }
    if (is_redundant() || thread == 0) group_rows(from, op.act_formats);
    share_prepared();

    const std::span<const Routing::Group> groups = from.routing.groups();
    if (counts_inputs()) {
      for (const Routing::Group& group : groups) {
        for (std::size_t i = 0; i < group.n; ++i) {
          const std::size_t row = from.routing.at_slot(group.first_slot + i).row;
          // The router read the same, behind a norm.
          s.squares->add(step, group.expert, s.act.row(from.activations + row * s.act.row_bytes()).x);
        }
      }
    }
    const BoundMatrix& gate = op.gate.matrix;
    const std::size_t mean_columns = base::ceil_div(n_rows * s.plan.spec.experts.n_used, groups.size());
    const std::size_t at_once =
        panels_per_chunk(gate.weights.panel_stride, gate.n_panels * groups.size(), mean_columns, n_threads);
    const std::size_t of_group = base::ceil_div(gate.n_panels, at_once), n_chunks = of_group * groups.size();
    ChunkQueue::Round round_of_chunks = chunks(n_chunks);
    for (std::size_t chunk = round_of_chunks.next(); chunk < n_chunks; chunk = round_of_chunks.next()) {
      const Routing::Group& group = groups[chunk / of_group];
      const std::size_t first = chunk % of_group * at_once, end = std::min(gate.n_panels, first + at_once);
      for (std::size_t panel = first; panel < end; ++panel) {
        project(op.gate, group, panel, from.slots, mine.tiles[0]);
        project(op.up, group, panel, from.slots, mine.tiles[1]);
        for (std::size_t i = 0; i < group.n; ++i) {
          const auto [row, rank] = from.routing.at_slot(group.first_slot + i);
          this->gate(op.epilogue, mine.tiles[0] + i * kPanelRows, mine.tiles[1] + i * kPanelRows, gate.rows_of(panel),
                     op.out.row(row) + rank * gate.n_rows + panel * kPanelRows);
        }
        watch.lap(Phase::kEpilogue);
      }
    }
    barrier();
  }

  /// A panel of all experts at once, so that a row's results meet in one thread, which adds them in order of rank.
  void operator()(const BoundExpertsDown& op) {
    const Inputs& from = inputs();
    const BoundMatrix& down = op.down.matrix;
    const std::size_t n_used = s.plan.spec.experts.n_used;
    for_rows_to_prepare([&](std::size_t row) {
      for (std::size_t rank = 0; rank < n_used; ++rank) {
        const std::size_t slot = from.routing.slots_of(row)[rank];
        const ActLayout::Row arrays = s.expert_act.row(from.activations + slot * s.expert_act.row_bytes());
        prepare(op.in, op.in.buffer.row(row) + rank * down.n_cols, down.n_cols, arrays, from.slots, slot);
      }
    });
    share_prepared();

    const std::span<const Routing::Group> groups = from.routing.groups();
    if (counts_inputs()) {
      for (const Routing::Group& group : groups) {
        for (std::size_t i = 0; i < group.n; ++i) {
          const auto [row, rank] = from.routing.at_slot(group.first_slot + i);
          const float* x = op.in.buffer.row(row) + rank * down.n_cols;
          const ActLayout::Row arrays = s.expert_act.row(from.activations + (group.first_slot + i) * s.expert_act.row_bytes());
          s.squares->add(step, group.expert, prepared(op.in, x, arrays));
        }
      }
    }
    const std::size_t at_once =
        panels_per_chunk(groups.size() * down.weights.panel_stride, down.n_panels, n_rows, n_threads);
    const std::size_t n_chunks = base::ceil_div(down.n_panels, at_once);
    ChunkQueue::Round round_of_chunks = chunks(n_chunks);
    for (std::size_t chunk = round_of_chunks.next(); chunk < n_chunks; chunk = round_of_chunks.next()) {
      const std::size_t end = std::min(down.n_panels, (chunk + 1) * at_once);
      for (std::size_t panel = chunk * at_once; panel < end; ++panel) {
        for (const Routing::Group& group : groups) {
          project(op.down, group, panel, from.slots, mine.tiles[0] + group.first_slot * kPanelRows);
        }
        for (std::size_t row = 0; row < n_rows; ++row) {
          s.table.add_weighted(mine.tiles[0], from.routing.slots_of(row), from.routing.weights_of(row), n_used,
                               down.rows_of(panel), op.out.row(row) + panel * kPanelRows);
        }
        watch.lap(Phase::kEpilogue);
      }
    }
    barrier();
  }

  void operator()(const BoundSelectRows& op) {
    const std::span<const std::uint32_t> wanted = s.batch->logit_rows;
    if (wanted.size() == n_rows) return;
    if (thread == 0) {
      for (const BoundBuffer& buffer : op.buffers) {
        for (std::size_t i = 0; i < wanted.size(); ++i) {  // ascending, so nothing is overwritten before it is read
          std::memmove(buffer.row(i), buffer.row(wanted[i]), buffer.width * sizeof(float));
        }
      }
    }
    n_rows = wanted.size();
    watch.lap(Phase::kSelect);
    barrier();
  }
};

template <typename WatchOf>
void Executor::State::walk(WatchOf watch_of) {
  pool.run([&](std::size_t thread) {
    Walk<decltype(watch_of(thread))> walk(*this, thread, watch_of(thread));
    walk.run();
    if (thread == 0) round = walk.round;  // all threads have left the rounds behind when the region ends
  });
}

Executor::Executor(std::unique_ptr<State> state) : state_(std::move(state)) {}
Executor::~Executor() = default;

const plan::Limits& Executor::limits() const noexcept { return state_->limits; }

void Executor::record_to(Recorder* recorder) noexcept { state_->recorder = recorder; }

void Executor::count_inputs(InputSquares* squares) noexcept { state_->squares = squares; }

namespace {

/// Where what `create` takes goes, in bytes.
struct WorkspaceSizes {
  ActLayout act{}, expert_act{}, head_act{};
  std::size_t tile, slot_tile, attention, recurrence, table_row, panel, angles;

  WorkspaceSizes(const plan::Plan& plan, const plan::Limits& limits) {
    std::size_t table_row_bytes = 0, panel_bytes = 0, key_dim = 0;
    for (const plan::Step& step : plan.steps) {
      const auto prepares = [&](plan::BufferId in) {
        act.width = std::max(act.width, static_cast<std::size_t>(plan.buffers[in.index].width));
      };
      if (const auto* linear = std::get_if<plan::Linear>(&step.op)) prepares(linear->in);
      if (const auto* route = std::get_if<plan::Route>(&step.op)) prepares(route->in);
      if (const auto* recur = std::get_if<plan::Recur>(&step.op)) key_dim = std::max(key_dim, recur->key_dim);
      if (const auto* heads = std::get_if<plan::LinearHeads>(&step.op)) {
        head_act.width = std::max(head_act.width, static_cast<std::size_t>(plan.matrices[heads->matrices.index].n_cols));
      }
      if (const auto* embed = std::get_if<plan::Embed>(&step.op)) {
        table_row_bytes = pack::Weights::row_scratch_bytes(plan.matrices[embed->table.index]);
      }
    }
    if (plan.matrix_place == plan::MatrixPlace::kFile) {
      for (const plan::PackedMatrix& matrix : plan.matrices) {
        const auto n_cols = static_cast<std::size_t>(matrix.n_cols);
        panel_bytes = std::max(panel_bytes, round_line(kernels::panel_bytes(matrix.tensor->type, n_cols)));
      }
    }
    const model::Experts& experts = plan.spec.experts;
    n_experts_used_ = experts.n_used;
    expert_act.width = experts.ffn_dim;
    tile = limits.max_rows * kPanelRows * sizeof(float);
    slot_tile = std::max<std::size_t>(1, experts.n_used) * tile;
    attention = round_line(kernels::attention_scratch_floats(plan.spec.head_dim, plan.spec.value_dim) * sizeof(float));
    recurrence = round_line(recurrence_scratch_floats(key_dim) * sizeof(float));
    table_row = round_line(table_row_bytes);
    panel = panel_bytes;
    angles = round_line(limits.max_rows * plan.spec.rope.n_rot * sizeof(float));
    n_turnings_ = plan.spec.window_rope ? 2 : 1;
  }

  [[nodiscard]] std::size_t activations_of(std::size_t n_rows) const {
    return std::max(n_rows * act.row_bytes(), n_rows * n_experts_used_ * expert_act.row_bytes());
  }
  [[nodiscard]] std::size_t head_activations() const { return head_act.width == 0 ? 0 : kHeadRows * head_act.row_bytes(); }
  [[nodiscard]] std::uint64_t all(const plan::WorkspaceLayout& buffers, const plan::Limits& limits,
                                  std::size_t n_threads) const {
    const std::size_t of_thread =
        slot_tile + tile + attention + recurrence + table_row + panel + activations_of(kRedundantRows) + head_activations();
    return buffers.bytes + activations_of(limits.max_rows) + n_turnings_ * angles + n_threads * of_thread;
  }

 private:
  std::size_t n_experts_used_, n_turnings_;
};

}  // namespace

std::uint64_t Executor::workspace_bytes(const plan::Plan& plan, const plan::Limits& limits, std::size_t n_threads) {
  return WorkspaceSizes(plan, limits).all(plan::lay_out(plan, limits), limits, n_threads);
}

Result<std::unique_ptr<Executor>> Executor::create(const plan::Plan& plan, const pack::Weights& weights,
                                                   os::ThreadPool& pool, const plan::Limits& limits,
                                                   const KvLayout& layout) {
  auto state = std::make_unique<State>(plan, weights, pool, limits, layout);
  State& s = *state;
  const plan::WorkspaceLayout buffers = plan::lay_out(plan, limits);
  const WorkspaceSizes sizes(plan, limits);
  s.act = sizes.act;
  s.expert_act = sizes.expert_act;
  s.head_act = sizes.head_act;
  s.turnings.push_back({&plan.spec.rope, {}});
  if (plan.spec.window_rope) s.turnings.push_back({&*plan.spec.window_rope, {}});
  const std::size_t n_threads = pool.size();
  const model::Experts& experts = plan.spec.experts;
  WOOLLY_TRY(s.workspace, os::Memory::reserve(sizes.all(buffers, limits, n_threads), "workspace"));

  std::byte* at = s.workspace.data();
  s.steps = bind(plan, weights, buffers, at);
  s.logits = reinterpret_cast<const float*>(at + buffers.offsets[plan.logits.index]);
  at += buffers.bytes;
  s.shared.activations = std::exchange(at, at + sizes.activations_of(limits.max_rows));
  for (State::Turning& turning : s.turnings) turning.angles = reinterpret_cast<float*>(std::exchange(at, at + sizes.angles));

  const std::size_t columns_of_row = 1 + experts.n_used;
  s.column_storage.resize(kernels::kActFormats * columns_of_row * (limits.max_rows + n_threads * kRedundantRows));
  ActColumn* column = s.column_storage.data();
  const auto give = [&](Inputs& inputs, std::size_t n_rows) {
    for (ActColumn*& of : inputs.columns.of) of = std::exchange(column, column + n_rows);
    for (ActColumn*& of : inputs.slots.of) of = std::exchange(column, column + n_rows * experts.n_used);
    inputs.routing = Routing(experts, n_rows);
  };
  give(s.shared, limits.max_rows);
  s.scratch.resize(n_threads);
  for (Scratch& scratch : s.scratch) {
    scratch.tiles[0] = reinterpret_cast<float*>(std::exchange(at, at + sizes.slot_tile));
    scratch.tiles[1] = reinterpret_cast<float*>(std::exchange(at, at + sizes.tile));
    scratch.attention = reinterpret_cast<float*>(std::exchange(at, at + sizes.attention));
    scratch.recurrence = reinterpret_cast<float*>(std::exchange(at, at + sizes.recurrence));
    scratch.row = std::exchange(at, at + sizes.table_row);
    scratch.panel = reinterpret_cast<std::uint8_t*>(std::exchange(at, at + sizes.panel));
    scratch.inputs.activations = std::exchange(at, at + sizes.activations_of(kRedundantRows));
    give(scratch.inputs, kRedundantRows);
    scratch.head_activations = std::exchange(at, at + sizes.head_activations());
  }

  const bool is_long = plan.long_rope_factors && limits.n_ctx > plan.spec.rope.original_context;
  const std::optional<plan::VectorId>& of_rope = is_long ? plan.long_rope_factors : plan.rope_factors;
  std::span<const float> factors;
  if (of_rope) {
    const plan::PackedVector& vector = plan.vectors[of_rope->index];
    factors = {weights.vector(vector), static_cast<std::size_t>(vector.n)};
  }
  s.turnings[0].frequencies = model::rope_frequencies(plan.spec.rope, factors);
  if (plan.spec.window_rope) s.turnings[1].frequencies = model::rope_frequencies(*plan.spec.window_rope, {});
  s.positions.resize(limits.max_rows);
  s.slice_of.resize(limits.max_rows);
  return std::unique_ptr<Executor>(new Executor(std::move(state)));
}

Logits Executor::run(const Batch& batch) {
  State& s = *state_;
  WOOLLY_ASSERT(!batch.tokens.empty() && batch.tokens.size() <= s.limits.max_rows);
  WOOLLY_ASSERT(batch.logit_rows.size() <= s.limits.max_logit_rows);
  s.take_batch(batch);
  if (s.recorder == nullptr) {
    s.walk([](std::size_t) { return NoStopwatch{}; });
  } else {
    s.recorder->begin_run(s.has_single_rows ? Stage::kGeneration : Stage::kPrompt, s.work_of_batch());
    s.walk([&](std::size_t thread) -> Stopwatch& { return s.recorder->stopwatch(thread); });
  }
  for (const Slice& slice : batch.slices) {
    slice.sequence->advance(batch.tokens.subspan(slice.first_row, slice.n_rows));
  }
  s.batch = nullptr;
  return {s.logits, batch.logit_rows.size(), s.plan.spec.vocab_size,
          static_cast<std::size_t>(s.plan.buffers[s.plan.logits.index].stride())};
}

}  // namespace woolly::exec
