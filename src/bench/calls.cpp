#include "bench/calls.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <random>
#include <utility>

#include "base/assert.h"
#include "bench/weights.h"
#include "exec/act_layout.h"
#include "kernels/dispatch.h"
#include "kernels/panel_format.h"
#include "os/memory.h"
#include "quant/dtype.h"

namespace woolly::bench {

/// The smallest kernel again, here, where it can be called by its name as well as through a table. The compiler must
/// know no more of it than of a kernel, so it is visible to other files and may write anywhere.
void plain_add(const float* y, std::size_t n, float* x) noexcept;
[[gnu::noinline]] void plain_add(const float* y, std::size_t n, float* x) noexcept {
  for (std::size_t i = 0; i < n; ++i) x[i] += y[i];
  asm volatile("" ::: "memory");
}

namespace {

using kernels::ActFormat;
using kernels::KernelTable;
using kernels::kPanelRows;
using Clock = std::chrono::steady_clock;

constexpr std::size_t kSizes[] = {16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576};

/// Small calls walk through this many elements, so that none waits for what the one before wrote, and all stays in the
/// first cache.
constexpr std::size_t kWalk = 1024;

/// What kernels read and write. Arrays of max(n, kWalk) floats.
struct Buffers {
  os::Memory memory;
  float *x, *y, *zeros, *out, *cos_sin;
  kernels::ActStorage a32, a256;
  std::uint16_t* bf16;
  const std::uint8_t* panel;

  static Result<Buffers> create(std::size_t n) {
    const exec::ActLayout layout{std::max(n, kWalk)};
    constexpr std::size_t kArrays = 5;
    WOOLLY_TRY(os::Memory memory, os::Memory::reserve((kArrays + 1) * layout.row_bytes(), "activations"));
    std::array<exec::ActLayout::Row, kArrays> rows;
    for (std::size_t i = 0; i < kArrays; ++i) rows[i] = layout.row(memory.data() + i * layout.row_bytes());
    auto* panel = reinterpret_cast<std::uint8_t*>(memory.data() + kArrays * layout.row_bytes());
    fill_panel({panel, layout.row_bytes()});
    Buffers buffers{std::move(memory), rows[0].x,   rows[1].x,    rows[2].x, rows[3].x,
                    rows[4].x,         rows[0].a32, rows[0].a256, rows[0].bf16, panel};
    std::mt19937 random(20240229);  // the seed has no meaning
    for (std::size_t i = 0; i < layout.width; ++i) {
      buffers.x[i] = static_cast<float>(random() % 2001) / 1000.0F - 1.0F;
      buffers.y[i] = -buffers.x[i];
      buffers.zeros[i] = 0.0F;  // can be added to x for ever
      buffers.cos_sin[i] = static_cast<float>(i % 2);  // a right angle: so can x be rotated
    }
    const KernelTable& scalar = *kernels::available_tables().front();
    scalar.quantize_a32(buffers.x, layout.width, buffers.a32);
    scalar.quantize_a256(buffers.x, layout.width, buffers.a256);
    scalar.round_bf16(buffers.x, layout.width, buffers.bf16);
    return buffers;
  }
};

/// Times `n_calls` calls with n elements.
using Repeat = double (*)(const KernelTable& table, const Buffers& b, std::size_t n, std::size_t n_calls);

/// Calls `call(at)` with the beginnings of pieces of n elements, one after the other; gives seconds.
template <typename Call>
double time_calls(std::size_t n, std::size_t n_calls, Call call) {
  const std::size_t last = std::max(n, kWalk) - n;
  std::size_t at = 0;
  const Clock::time_point begin = Clock::now();
  for (std::size_t i = 0; i < n_calls; ++i) {
    call(at);
    at = at < last ? at + n : 0;
  }
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

template <quant::DType kType>
double time_matmul(const KernelTable& table, const Buffers& b, std::size_t n, std::size_t n_calls) {
  const kernels::MatmulKernel& kernel = *table.matmul(kType);
  const kernels::ActStorage& a = kernel.act == ActFormat::kA32 ? b.a32 : b.a256;
  const kernels::ActColumn column{b.x, a.q, a.scale, a.sums32, a.sums16, a.scaled_sums, b.bf16};
  return time_calls(n, n_calls, [&](std::size_t) { kernel.run(b.panel, n / kPanelRows, &column, 1, b.out); });
}

/// The kernels: name; what sizes are multiples of; how calls are timed.
struct Kernel {
  std::string_view name;
  std::size_t unit;
  Repeat time;
};

constexpr Kernel kKernels[] = {
    {"rms_norm", 1,
     [](const KernelTable& table, const Buffers& b, std::size_t n, std::size_t n_calls) {
       return time_calls(n, n_calls, [&](std::size_t i) { table.rms_norm(b.x + i, b.y + i, 1e-5F, n, b.out + i); });
     }},
    {"quantize_a32", 32,
     [](const KernelTable& table, const Buffers& b, std::size_t n, std::size_t n_calls) {
       return time_calls(n, n_calls, [&](std::size_t i) { table.quantize_a32(b.x + i, n, b.a32); });
     }},
    {"quantize_a256", 256,
     [](const KernelTable& table, const Buffers& b, std::size_t n, std::size_t n_calls) {
       return time_calls(n, n_calls, [&](std::size_t i) { table.quantize_a256(b.x + i, n, b.a256); });
     }},
    {"round_bf16", 2,
     [](const KernelTable& table, const Buffers& b, std::size_t n, std::size_t n_calls) {
       return time_calls(n, n_calls, [&](std::size_t i) { table.round_bf16(b.x + i, n, b.bf16); });
     }},
    {"affine", 1,
     [](const KernelTable& table, const Buffers& b, std::size_t n, std::size_t n_calls) {
       return time_calls(n, n_calls, [&](std::size_t i) { table.affine(b.x + i, 0.5F, b.y + i, n, b.out + i); });
     }},
    {"add", 1,
     [](const KernelTable& table, const Buffers& b, std::size_t n, std::size_t n_calls) {
       return time_calls(n, n_calls, [&](std::size_t i) { table.add(b.zeros + i, n, b.x + i); });
     }},
    {"softmax", 1,
     [](const KernelTable& table, const Buffers& b, std::size_t n, std::size_t n_calls) {
       return time_calls(n, n_calls, [&](std::size_t i) { table.softmax(b.x + i, 1.0F, n, b.out + i); });
     }},
    {"swiglu", 1,
     [](const KernelTable& table, const Buffers& b, std::size_t n, std::size_t n_calls) {
       return time_calls(n, n_calls, [&](std::size_t i) { table.swiglu(b.x + i, b.y + i, n, b.out + i); });
     }},
    {"rope_adjacent", 2,
     [](const KernelTable& table, const Buffers& b, std::size_t n, std::size_t n_calls) {
       return time_calls(n, n_calls, [&](std::size_t i) { table.rope_adjacent(b.x + i, b.cos_sin, n); });
     }},
    {"rope_halves", 2,
     [](const KernelTable& table, const Buffers& b, std::size_t n, std::size_t n_calls) {
       return time_calls(n, n_calls, [&](std::size_t i) { table.rope_halves(b.x + i, b.cos_sin, n); });
     }},
    // One of each kind of activations.
    {"matmul F32", kPanelRows, time_matmul<quant::DType::kF32>},
    {"matmul BF16", kPanelRows, time_matmul<quant::DType::kBF16>},
    {"matmul Q8_0", kPanelRows * 32, time_matmul<quant::DType::kQ8_0>},
    {"matmul Q4_K", kPanelRows * 256, time_matmul<quant::DType::kQ4_K>},
};

double time_direct(const KernelTable& /*table*/, const Buffers& b, std::size_t n, std::size_t n_calls) {
  return time_calls(n, n_calls, [&](std::size_t i) { plain_add(b.zeros + i, n, b.x + i); });
}
double time_through_table(const KernelTable& table, const Buffers& b, std::size_t n, std::size_t n_calls) {
  return time_calls(n, n_calls, [&](std::size_t i) { table.add(b.zeros + i, n, b.x + i); });
}

/// What is measured in turn.
struct Case {
  Repeat time;
  const KernelTable* table;
  std::size_t n;
  std::size_t n_calls = 1;
  std::vector<double> ns{};  ///< Per call.
};

void measure(std::vector<Case>& cases, const Buffers& buffers, const CallOptions& options) {
  for (Case& c : cases) {
    while (c.time(*c.table, buffers, c.n, c.n_calls) < options.seconds) c.n_calls *= 2;
  }
  for (std::size_t i = 0; i < options.n_repetitions; ++i) {
    for (Case& c : cases) {
      const double seconds = c.time(*c.table, buffers, c.n, c.n_calls);
      c.ns.push_back(seconds / static_cast<double>(c.n_calls) * 1e9);
    }
  }
}

}  // namespace

std::vector<std::string> slower_than_scalar(const std::vector<CallRow>& rows) {
  const std::string_view scalar = kernels::available_tables().front()->name;
  std::vector<std::string> lines;
  for (const CallRow& row : rows) {
    const auto plain = std::ranges::find_if(rows, [&](const CallRow& other) {
      return other.isa == scalar && other.kernel == row.kernel && other.n_elements == row.n_elements;
    });
    if (plain == rows.end()) continue;
    const double scatter = (row.ns.median * row.ns.spread + plain->ns.median * plain->ns.spread) / 2;
    if (row.ns.median - plain->ns.median <= std::max(0.05 * plain->ns.median, scatter)) continue;
    lines.push_back(fmt::format("slower than scalar code: {} of {} takes {:.1f} ns with {}, {:.1f} ns without",
                                row.kernel, row.n_elements, row.ns.median, row.isa, plain->ns.median));
  }
  return lines;
}

Result<CallReport> run_call_bench(const CallOptions& options) {
  WOOLLY_ASSERT(!options.tables.empty() && options.n_repetitions > 0);
  WOOLLY_TRY(const Buffers buffers, Buffers::create(options.max_elements));
  CallReport report;
  report.machine = machine_name(1);
  std::vector<Case> cases;
  for (const Kernel& kernel : kKernels) {
    for (const std::size_t n : kSizes) {
      if (n % kernel.unit != 0 || n > options.max_elements) continue;
      for (const KernelTable* table : options.tables) {
        cases.push_back({kernel.time, table, n});
        report.rows.push_back({kernel.name, n, table->name, {}});
      }
    }
  }
  KernelTable table = *options.tables.front();
  table.add = plain_add;
  cases.push_back({time_direct, &table, kSizes[0]});
  cases.push_back({time_through_table, &table, kSizes[0]});
  measure(cases, buffers, options);
  for (std::size_t i = 0; i < report.rows.size(); ++i) report.rows[i].ns = summarize(std::move(cases[i].ns));
  report.direct_ns = summarize(std::move(cases[cases.size() - 2].ns));
  report.table_ns = summarize(std::move(cases.back().ns));
  report.errors = slower_than_scalar(report.rows);
  return report;
}

}  // namespace woolly::bench
