#include "bench/roof.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>

#include "kernels/dispatch.h"
#include "os/cpu.h"
#include "os/memory.h"

namespace woolly::bench {
namespace {

using Clock = std::chrono::steady_clock;

/// What a thread claims at once: long enough for prefetching, short enough that a slow core does not hold up a pass.
constexpr std::uint64_t kPiece = std::uint64_t{4} << 20U;
constexpr std::size_t kStreams[] = {1, 2, 4};

template <typename Body>
double seconds_of(Body body) {
  const Clock::time_point begin = Clock::now();
  body();
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

/// Leaves at least half of the available memory to others.
std::uint64_t bytes_to_read(std::uint64_t wanted) {
  const std::uint64_t available = os::available_memory();
  const std::uint64_t allowed = available == 0 ? wanted : std::min(wanted, available / 2);
  return std::max(kPiece, allowed / kPiece * kPiece);
}

double best_read(const kernels::KernelTable& table, os::ThreadPool& pool, const os::Memory& memory, int n_passes) {
  const std::size_t n_pieces = static_cast<std::size_t>(memory.size() / kPiece);
  const auto for_pieces = [&](auto body) {
    pool.parallel_for(n_pieces, 1, [&](std::size_t begin, std::size_t end) {
      for (std::size_t piece = begin; piece < end; ++piece) body(memory.data() + piece * kPiece);
    });
  };
  for_pieces([](std::byte* piece) { std::memset(piece, 0x5A, kPiece); });
  double best = 0;
  std::atomic<std::uint64_t> seen{0};  // so that no read is for nothing
  for (const std::size_t n_streams : kStreams) {
    for (int pass = 0; pass < n_passes; ++pass) {
      const double seconds = seconds_of([&] {
        for_pieces([&](const std::byte* piece) {
          seen.fetch_add(table.read_stream(piece, kPiece, n_streams), std::memory_order_relaxed);
        });
      });
      best = std::max(best, static_cast<double>(memory.size()) / seconds);
    }
  }
  return best;
}

/// Of a loop of a table that stays in registers.
double best_rate(std::uint64_t (*loop)(std::uint64_t) noexcept, os::ThreadPool& pool, double seconds_wanted) {
  constexpr int kTries = 5;
  constexpr std::size_t kPiecesPerThread = 16;
  const std::size_t n_pieces = pool.size() * kPiecesPerThread;
  std::uint64_t n_turns = 1000;
  const auto rate = [&](double& seconds) {
    std::atomic<std::uint64_t> n_ops{0};
    seconds = seconds_of([&] {
      pool.parallel_for(n_pieces, 1, [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) {
          n_ops.fetch_add(loop(n_turns), std::memory_order_relaxed);
        }
      });
    });
    return static_cast<double>(n_ops.load()) / seconds;
  };
  double seconds = 0;
  for (rate(seconds); seconds < seconds_wanted; rate(seconds)) n_turns *= 2;
  double best = 0;
  for (int i = 0; i < kTries; ++i) best = std::max(best, rate(seconds));
  return best;
}

}  // namespace

std::string machine_name(std::size_t n_threads) {
  const std::string& processor = os::cpu().model_name;
  return fmt::format("{}, {} thread{}", processor.empty() ? "unknown processor" : processor, n_threads,
                     n_threads == 1 ? "" : "s");
}

Result<Roof> measure_roof(const kernels::KernelTable& table, os::ThreadPool& pool, const RoofEffort& effort) {
  WOOLLY_TRY(const os::Memory memory, os::Memory::reserve(bytes_to_read(effort.bytes), "reading for the roof"));
  return Roof{best_read(table, pool, memory, effort.n_passes),
              best_rate(table.integer_loop, pool, effort.arithmetic_seconds), memory.size(),
              best_rate(table.float_loop, pool, effort.arithmetic_seconds),
              table.bf16_loop == nullptr ? 0 : best_rate(table.bf16_loop, pool, effort.arithmetic_seconds)};
}

double Roof::ops_per_second(kernels::ActFormat format) const noexcept {
  switch (format) {
    case kernels::ActFormat::kF32: return float_ops_per_second;
    case kernels::ActFormat::kBF16: return bf16_ops_per_second;
    case kernels::ActFormat::kA32:
    case kernels::ActFormat::kA256: break;
  }
  return integer_ops_per_second;
}

Roof best_of(const Roof& a, const Roof& b) {
  return {std::max(a.read_bytes_per_second, b.read_bytes_per_second),
          std::max(a.integer_ops_per_second, b.integer_ops_per_second), std::max(a.bytes, b.bytes),
          std::max(a.float_ops_per_second, b.float_ops_per_second), std::max(a.bf16_ops_per_second, b.bf16_ops_per_second)};
}

Status measure_roofs(os::ThreadPool& pool, const RoofEffort& effort, std::vector<TableRoof>& roofs) {
  double reads = 0;
  for (const kernels::KernelTable* table : kernels::available_tables()) {
    const auto same = std::ranges::find(roofs, table, &TableRoof::table);
    const bool is_best = table == kernels::available_tables().back();
    if (same == roofs.end() && !is_best) continue;
    WOOLLY_TRY(const Roof roof, measure_roof(*table, pool, effort));
    reads = std::max(reads, roof.read_bytes_per_second);
    if (same != roofs.end()) same->roof = best_of(same->roof, roof);
  }
  for (TableRoof& row : roofs) row.roof.read_bytes_per_second = std::max(row.roof.read_bytes_per_second, reads);
  return {};
}

const Roof* find_roof(const std::vector<TableRoof>& roofs, std::string_view isa) {
  const auto same = std::ranges::find_if(roofs, [&](const TableRoof& row) { return isa == row.table->name; });
  return same == roofs.end() ? nullptr : &same->roof;
}

}  // namespace woolly::bench
