#include "bench/kernels.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <deque>
#include <memory>
#include <random>
#include <thread>
#include <utility>

#include "base/assert.h"
#include "base/checked.h"
#include "bench/blas/blas.h"
#include "bench/weights.h"
#include "exec/act_layout.h"
#include "exec/chunk_queue.h"
#include "kernels/dispatch.h"
#include "kernels/panel_format.h"
#include "os/memory.h"

namespace woolly::bench {
namespace {

using kernels::ActColumn;
using kernels::ActFormat;
using kernels::kPanelRows;
using kernels::KernelTable;
using Clock = std::chrono::steady_clock;

/// Of one matrix, when caches shall hold it: half of what two cores of a server have for themselves (32 MiB of L3 for
/// two cores of Zen 4).
constexpr std::uint64_t kCachedBytes = std::uint64_t{16} << 20U;

/// Activations of one k in all formats, in the layout of the executor.
class Inputs {
 public:
  static Result<std::unique_ptr<Inputs>> create(std::size_t k, std::size_t n_columns, const KernelTable& table) {
    const exec::ActLayout layout{k};
    WOOLLY_TRY(os::Memory memory, os::Memory::reserve(n_columns * layout.row_bytes(), "activations"));
    auto inputs = std::unique_ptr<Inputs>(new Inputs(k, std::move(memory)));
    std::mt19937 random(20240229);  // the seed has no meaning
    for (std::size_t c = 0; c < n_columns; ++c) {
      const exec::ActLayout::Row row = layout.row(inputs->memory_.data() + c * layout.row_bytes());
      for (std::size_t i = 0; i < k; ++i) row.x[i] = static_cast<float>(random() % 2001) / 1000.0F - 1.0F;
      if (k % 32 == 0) table.quantize_a32(row.x, k, row.a32);
      if (k % 256 == 0) table.quantize_a256(row.x, k, row.a256);
      table.round_bf16(row.x, k, row.bf16);
      const auto add = [&](ActFormat format, ActColumn column) {
        inputs->columns_[static_cast<std::size_t>(format)].push_back(column);
      };
      add(ActFormat::kF32, {.x = row.x});
      add(ActFormat::kA32, {.q = row.a32.q,
                            .scale = row.a32.scale,
                            .sums32 = row.a32.sums32,
                            .scaled_sums = row.a32.scaled_sums});
      add(ActFormat::kA256, {.q = row.a256.q,
                             .scale = row.a256.scale,
                             .sums32 = row.a256.sums32,
                             .sums16 = row.a256.sums16});
      add(ActFormat::kBF16, {.bf16 = row.bf16});
    }
    return inputs;
  }

  [[nodiscard]] std::size_t k() const { return k_; }
  [[nodiscard]] const ActColumn* columns(ActFormat format) const {
    return columns_[static_cast<std::size_t>(format)].data();
  }

 private:
  Inputs(std::size_t k, os::Memory memory) : k_(k), memory_(std::move(memory)) {}
  std::size_t k_;
  os::Memory memory_;
  std::vector<ActColumn> columns_[kernels::kActFormats];
};

/// The packed weights of a type and shape: `n_held` panels in memory stand for those of one matrix after the other,
/// over and over.
struct Matrix {
  quant::DType type;
  Shape shape;
  const Inputs* inputs;
  std::size_t n_panels, panel_bytes;  ///< Of the matrix.
  std::size_t n_held;
  std::uint8_t* held = nullptr;
  std::size_t next = 0;  ///< Of the panels held, where the next product begins.
  std::vector<std::byte> rows{};  ///< As a file has them, where a library wants them.

  [[nodiscard]] double ops(std::size_t n_columns) const {
    return 2.0 * static_cast<double>(shape.n_rows) * static_cast<double>(shape.k) * static_cast<double>(n_columns);
  }
  [[nodiscard]] double bytes() const {
    return static_cast<double>(shape.n_rows) * static_cast<double>(panel_bytes) / kPanelRows;
  }
};

void fill(const Matrix& matrix, os::ThreadPool& pool) {
  std::vector<std::uint8_t> panel(matrix.panel_bytes);
  fill_panel(panel);
  pool.parallel_for(matrix.n_held, 1, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      std::memcpy(matrix.held + i * matrix.panel_bytes, panel.data(), matrix.panel_bytes);
    }
  });
}

/// The whole of a matrix as a file would have it.
std::vector<std::byte> rows_of(const Matrix& matrix) {
  const quant::DTypeInfo& info = quant::info(matrix.type);
  const std::size_t row_bytes = matrix.shape.k / info.block_k * info.block_bytes;
  std::vector<std::byte> rows(matrix.shape.n_rows * row_bytes);
  for (std::size_t row = 0; row < matrix.shape.n_rows; ++row) {
    kernels::unpack_row(matrix.type, matrix.held, row % kPanelRows, matrix.shape.k, rows.data() + row * row_bytes);
  }
  return rows;
}

/// A row of the report while it is measured.
struct Case {
  Matrix* matrix;
  std::size_t n_columns;
  std::string_view name;
  const kernels::MatmulKernel* kernel;     ///< Or else:
  std::unique_ptr<BlasProduct> product{};
  std::size_t n_products = 1;              ///< Of one repetition.
  std::vector<double> rates{};            ///< Operations per second.
};

/// The threads of other libraries go on looking for work: OpenBLAS for 2^26 cycles, libgomp for less. What is measured
/// next should have the processor for itself.
constexpr std::chrono::milliseconds kUntilThreadsSleep{50};

class KernelBench {
 public:
  KernelBench(os::ThreadPool& pool, const KernelOptions& options)
      : pool_(pool), options_(options), queue_(pool.size()) {}

  Status prepare() {
    const std::size_t most_columns = *std::ranges::max_element(options_.columns);
    for (const Shape& shape : options_.shapes) {
      if (find_inputs(shape.k) != nullptr) continue;
      WOOLLY_TRY(inputs_.emplace_back(), Inputs::create(shape.k, most_columns, *options_.tables.front()));
    }
    WOOLLY_CHECK(prepare_matrices());
    for (Matrix& matrix : matrices_) {
      for (const std::size_t n_columns : options_.columns) {
        for (const KernelTable* table : options_.tables) {
          cases_.push_back({&matrix, n_columns, table->name, table->matmul(matrix.type)});
        }
        if (options_.with_blas) WOOLLY_CHECK(add_libraries(matrix, n_columns));
      }
    }
    std::size_t out_floats = 0;
    for (const Matrix& matrix : matrices_) out_floats = std::max(out_floats, matrix.shape.n_rows * most_columns);
    tile_floats_ = most_columns * kPanelRows;
    WOOLLY_TRY(workspace_,
               os::Memory::reserve((pool_.size() * tile_floats_ + out_floats) * sizeof(float), "results"));
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
  [[nodiscard]] const Inputs* find_inputs(std::size_t k) const {
    const auto same = std::ranges::find_if(inputs_, [&](const auto& inputs) { return inputs->k() == k; });
    return same == inputs_.end() ? nullptr : same->get();
  }

  Status prepare_matrices() {
    for (const quant::DType type : options_.types) {
      const quant::DTypeInfo& info = quant::info(type);
      for (const Shape& shape : options_.shapes) {
        if (shape.k % info.block_k != 0) {
          return Error{ErrorCode::kInvalidArgument,
                       fmt::format("shape {}x{} with {}: k is {}, allowed are multiples of {}", shape.n_rows, shape.k,
                                   info.name, shape.k, info.block_k)};
        }
        const std::size_t n_panels = base::ceil_div(shape.n_rows, kPanelRows);
        matrices_.push_back({type, shape, find_inputs(shape.k), n_panels, kernels::panel_bytes(type, shape.k), 0});
      }
    }
    std::size_t n_bytes = 0;
    const std::uint64_t allowed = bytes_of_matrix();
    for (Matrix& matrix : matrices_) {
      matrix.n_held = std::max<std::size_t>(1, allowed / matrix.panel_bytes);
      if (!options_.is_from_memory) matrix.n_held = std::min(matrix.n_held, matrix.n_panels);
      if (options_.with_blas) matrix.n_held = matrix.n_panels;
      n_bytes += matrix.n_held * matrix.panel_bytes;
    }
    WOOLLY_TRY(weights_, os::Memory::reserve(n_bytes, "weights"));
    auto* at = reinterpret_cast<std::uint8_t*>(weights_.data());
    for (Matrix& matrix : matrices_) {
      matrix.held = std::exchange(at, at + matrix.n_held * matrix.panel_bytes);
      fill(matrix, pool_);
    }
    return {};
  }

  Status add_libraries(Matrix& matrix, std::size_t n_columns) {
    const std::size_t k = matrix.shape.k;
    for (const BlasLibrary& library : blas_libraries()) {
      if (!library.knows(matrix.type)) continue;
      if (matrix.rows.empty()) matrix.rows = rows_of(matrix);
      std::vector<float>& x = dense_inputs_.emplace_back(n_columns * k);
      for (std::size_t c = 0; c < n_columns; ++c) {
        std::memcpy(x.data() + c * k, matrix.inputs->columns(ActFormat::kF32)[c].x, k * sizeof(float));
      }
      WOOLLY_TRY(std::unique_ptr<BlasProduct> product,
                 library.create({matrix.type, matrix.shape.n_rows, k, n_columns, matrix.rows.data(), x.data(),
                                 pool_.size()}));
      cases_.push_back({&matrix, n_columns, library.name, nullptr, std::move(product)});
    }
    return {};
  }

  /// What is held of each matrix.
  [[nodiscard]] std::uint64_t bytes_of_matrix() const {
    if (!options_.is_from_memory) return kCachedBytes;
    const std::uint64_t wanted = options_.effort.memory_bytes;
    const std::uint64_t each = std::max(wanted / matrices_.size(), wanted / 8);
    // At least half of the available memory is left to others.
    const std::uint64_t available = os::available_memory();
    return available == 0 ? each : std::min(each, available / 2 / matrices_.size());
  }

  /// Matrices in turn: what follows a product reads other weights, so that none of them stay in caches when they
  /// shall come from memory.
  [[nodiscard]] std::vector<Case*> in_order() {
    std::vector<std::vector<Case*>> of(matrices_.size());
    for (Case& c : cases_) of[static_cast<std::size_t>(c.matrix - matrices_.data())].push_back(&c);
    std::vector<Case*> order;
    for (std::size_t i = 0; order.size() < cases_.size(); ++i) {
      for (const std::vector<Case*>& cases : of) {
        if (i < cases.size()) order.push_back(cases[i]);
      }
    }
    return order;
  }

  /// Finds out how many products a repetition takes; caches, threads and clocks settle meanwhile.
  void warm_up(Case& c) {
    // From memory, nothing is read twice in a repetition.
    const std::size_t most = options_.is_from_memory ? std::max<std::size_t>(1, c.matrix->n_held / c.matrix->n_panels)
                                                     : std::size_t{1} << 20U;
    while (seconds_of(c, c.n_products) < options_.effort.seconds && c.n_products < most) {
      c.n_products = std::min(2 * c.n_products, most);
    }
  }

  void measure(Case& c) {
    seconds_of(c, base::ceil_div(c.n_products, 4));  // other weights were in the caches
    const double seconds = seconds_of(c, c.n_products);
    c.rates.push_back(c.matrix->ops(c.n_columns) * static_cast<double>(c.n_products) / seconds);
    if (c.product != nullptr) std::this_thread::sleep_for(kUntilThreadsSleep);
  }

  double seconds_of(const Case& c, std::size_t n) {
    return c.product != nullptr ? seconds_of_product(*c.product, n) : seconds_of_kernel(c, n);
  }

  static double seconds_of_product(BlasProduct& product, std::size_t n) {
    const Clock::time_point begin = Clock::now();
    for (std::size_t i = 0; i < n; ++i) product.run();
    return std::chrono::duration<double>(Clock::now() - begin).count();
  }

  /// Carries `n` products out, one after the other as steps of a model, on all threads.
  double seconds_of_kernel(const Case& c, std::size_t n) {
    Matrix& matrix = *c.matrix;
    const std::size_t at_once = exec::panels_per_chunk(matrix.panel_bytes, matrix.n_panels, c.n_columns, pool_.size());
    const std::size_t n_chunks = base::ceil_div(matrix.n_panels, at_once);
    Clock::time_point begin, end;
    pool_.run([&](std::size_t thread) {
      pool_.barrier();
      if (thread == 0) begin = Clock::now();
      for (std::size_t i = 0; i < n; ++i) {
        exec::ChunkQueue::Round chunks(queue_, round_ + i, thread, n_chunks);
        for (std::size_t chunk = chunks.next(); chunk < n_chunks; chunk = chunks.next()) {
          const std::size_t last = std::min(matrix.n_panels, (chunk + 1) * at_once);
          for (std::size_t panel = chunk * at_once; panel < last; ++panel) multiply(c, thread, i, panel);
        }
        pool_.barrier();
      }
      if (thread == 0) end = Clock::now();
    });
    round_ += n;
    matrix.next = (matrix.next + n * matrix.n_panels) % matrix.n_held;
    return std::chrono::duration<double>(end - begin).count();
  }

  /// One panel of product i since the last: to a tile of the thread's own, and from there to the result.
  void multiply(const Case& c, std::size_t thread, std::size_t i, std::size_t panel) const {
    const Matrix& matrix = *c.matrix;
    const std::size_t held = (matrix.next + i * matrix.n_panels + panel) % matrix.n_held;
    float* floats = reinterpret_cast<float*>(workspace_.data());
    float* tile = floats + thread * tile_floats_;
    c.kernel->run(matrix.held + held * matrix.panel_bytes, matrix.shape.k, matrix.inputs->columns(c.kernel->act),
                  c.n_columns, tile);
    float* out = floats + pool_.size() * tile_floats_ + panel * kPanelRows;
    const std::size_t n_rows = std::min(kPanelRows, matrix.shape.n_rows - panel * kPanelRows);
    for (std::size_t column = 0; column < c.n_columns; ++column) {
      std::memcpy(out + column * matrix.shape.n_rows, tile + column * kPanelRows, n_rows * sizeof(float));
    }
  }

  os::ThreadPool& pool_;
  const KernelOptions& options_;
  exec::ChunkQueue queue_;
  std::uint64_t round_ = 0;  ///< As ChunkQueue counts them.
  std::vector<std::unique_ptr<Inputs>> inputs_;
  os::Memory weights_;
  std::vector<Matrix> matrices_;
  std::deque<std::vector<float>> dense_inputs_;  ///< Of the libraries' products.
  os::Memory workspace_;  ///< A tile for each thread, then the result [n_columns, n_rows].
  std::size_t tile_floats_ = 0;
  std::vector<Case> cases_;
};

Status check_libraries(const std::vector<quant::DType>& types) {
  const std::span<const BlasLibrary> libraries = blas_libraries();
  if (libraries.empty()) {
    return Error{ErrorCode::kUnsupported, "this build has no OpenBLAS and oneDNN: configure with -DWOOLLY_BENCH_BLAS=ON"};
  }
  const auto knows = [&](quant::DType type) {
    return std::ranges::any_of(libraries, [&](const BlasLibrary& library) { return library.knows(type); });
  };
  if (std::ranges::any_of(types, knows)) return {};
  return Error{ErrorCode::kInvalidArgument, "OpenBLAS and oneDNN know none of the types; allowed are F32 and BF16"};
}

void hold_against_roof(KernelReport& report) {
  for (KernelRow& row : report.rows) {
    if (!report.has_roof(row)) continue;
    const auto complain = [&](double share, const char* of) {
      if (share <= kMaxRoofShare) return;
      report.errors.push_back(fmt::format("error of the roof: {} {}x{}, {} columns, {} is at {:.0f} % of {}, so it was "
                                          "measured too low",
                                          quant::info(row.type).name, row.shape.n_rows, row.shape.k, row.n_columns,
                                          row.isa, share * 100, of));
    };
    row.ops_share = row.ops_per_second.median / report.ops_roof(row);
    complain(*row.ops_share, "the arithmetic");
    if (!report.is_from_memory) continue;
    row.read_share = row.bytes_per_second / find_roof(report.roofs, row.isa)->read_bytes_per_second;
    complain(*row.read_share, "the read bandwidth");
  }
}

}  // namespace

bool KernelReport::has_roof(const KernelRow& row) const { return find_roof(roofs, row.isa) != nullptr; }

double KernelReport::ops_roof(const KernelRow& row) const {
  const auto same = std::ranges::find_if(roofs, [&](const TableRoof& of) { return row.isa == of.table->name; });
  WOOLLY_ASSERT(same != roofs.end());
  return same->roof.ops_per_second(same->table->matmul(row.type)->act);
}

Result<KernelReport> run_kernel_bench(os::ThreadPool& pool, const KernelOptions& options) {
  WOOLLY_ASSERT(!options.types.empty() && !options.shapes.empty() && !options.columns.empty() &&
                !options.tables.empty() && options.n_repetitions > 0 &&
                !(options.with_blas && options.is_from_memory));
  if (options.with_blas) WOOLLY_CHECK(check_libraries(options.types));
  KernelReport report;
  report.machine = machine_name(pool.size());
  report.n_threads = pool.size();
  report.is_from_memory = options.is_from_memory;
  KernelBench bench(pool, options);
  WOOLLY_CHECK(bench.prepare());
  if (options.with_roof) {
    for (const KernelTable* table : options.tables) report.roofs.push_back({table, {}});
    WOOLLY_CHECK(measure_roofs(pool, options.effort.roof, report.roofs));
  }
  bench.run();
  if (options.with_roof) WOOLLY_CHECK(measure_roofs(pool, options.effort.roof, report.roofs));
  for (Case& c : bench.cases()) {
    const Summary rate = summarize(std::move(c.rates));
    const double bytes = rate.median / c.matrix->ops(c.n_columns) * c.matrix->bytes();
    report.rows.push_back({c.matrix->type, c.matrix->shape, c.n_columns, c.name, rate, bytes, {}, {}});
  }
  if (options.with_roof) hold_against_roof(report);
  return report;
}

}  // namespace woolly::bench
