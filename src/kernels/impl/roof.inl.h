// What a processor reads and multiplies at most with this instruction set and nothing else to do: the roofs that
// measured speeds are held against (bench/roof.h).
#pragma once

#include "kernels/kernel_table.h"
#include "simd/vec.h"

namespace woolly::kernels::WOOLLY_ISA {
namespace simd = woolly::simd::WOOLLY_ISA;
namespace {

/// Makes the compiler forget what it knows of a vector, so that it can neither leave out what computes it nor move
/// what uses it out of a loop. Vectors stay in their registers.
template <typename Vector>
inline void forget(Vector& a) {
  if constexpr (requires { a.lo; }) {
    asm volatile("" : "+v"(a.lo), "+v"(a.hi));
  } else if constexpr (requires { a.v + a.v; }) {  // a register; of the scalar set an array
    asm volatile("" : "+v"(a.v));
  } else {
    asm volatile("" : "+m"(a));
  }
}

/// Lines of 64 bytes that one turn of the loop reads, over all streams.
constexpr std::size_t kLinesPerTurn = 8;

template <std::size_t kStreams>
std::uint64_t read_streams(const std::uint8_t* data, std::size_t bytes) noexcept {
  constexpr std::size_t kLines = kLinesPerTurn / kStreams;
  const std::size_t n_turns = bytes / (kLinesPerTurn * 64), stride = n_turns * kLines * 64;
  simd::Bytes seen[kLinesPerTurn];
  WOOLLY_UNROLL
  for (std::size_t i = 0; i < kLinesPerTurn; ++i) seen[i] = simd::splat_bytes(0);
  for (std::size_t turn = 0; turn < n_turns; ++turn) {
    const std::uint8_t* at = data + turn * kLines * 64;
    WOOLLY_UNROLL
    for (std::size_t i = 0; i < kLinesPerTurn; ++i) {
      seen[i] = simd::bit_or(seen[i], simd::load_bytes(at + i / kLines * stride + i % kLines * 64));
    }
  }
  WOOLLY_UNROLL
  for (std::size_t i = 1; i < kLinesPerTurn; ++i) seen[0] = simd::bit_or(seen[0], seen[i]);
  const std::int8_t ones[4] = {1, 1, 1, 1};
  const simd::Bytes low_bits = simd::bit_and(seen[0], simd::splat_bytes(0x7F));
  return static_cast<std::uint64_t>(simd::reduce_add(simd::dot_u8(simd::splat_i32(0), low_bits, simd::splat_quad(ones))));
}

std::uint64_t read_stream(const std::byte* data, std::size_t bytes, std::size_t n_streams) noexcept {
  const auto* from = reinterpret_cast<const std::uint8_t*>(data);
  switch (n_streams) {
    case 1: return read_streams<1>(from, bytes);
    case 2: return read_streams<2>(from, bytes);
    default: return read_streams<4>(from, bytes);
  }
}

/// Twice as many sums that do not depend on each other: enough to hide the latency of a multiplication (4 or 5 cycles,
/// one or two begun in each), and with the factors about as many as there are registers.
template <typename Bytes>
constexpr std::size_t n_factors() {
  if constexpr (requires(Bytes bytes) { bytes.lo; }) return 2;
  return 4;
}
constexpr std::size_t kFactors = n_factors<simd::Bytes>();
constexpr std::size_t kSums = 2 * kFactors;

std::uint64_t integer_loop(std::uint64_t n_turns) noexcept {
  // Each factor is at right angles to both quads, so that no sum ever grows, on any table.
  simd::Bytes factors[kFactors];
  WOOLLY_UNROLL
  for (std::size_t i = 0; i < kFactors; ++i) {
    std::uint8_t bytes[64];
    for (std::size_t j = 0; j < 64; ++j) bytes[j] = static_cast<std::uint8_t>((i + 1) * (j % 2 == 0 ? 3 : 5));
    factors[i] = simd::load_bytes(bytes);
    forget(factors[i]);
  }
  const std::int8_t quad_bytes[2][4] = {{5, -3, 5, -3}, {-5, 3, 10, -6}};
  simd::I32 quads[2] = {simd::splat_quad(quad_bytes[0]), simd::splat_quad(quad_bytes[1])};
  simd::I32 sums[kSums];
  WOOLLY_UNROLL
  for (std::size_t i = 0; i < kSums; ++i) sums[i] = simd::splat_i32(0);
  for (std::uint64_t turn = 0; turn < n_turns; ++turn) {
    forget(quads[0]);
    forget(quads[1]);
    WOOLLY_UNROLL
    for (std::size_t i = 0; i < kSums; ++i) sums[i] = simd::dot_u8(sums[i], factors[i / 2], quads[i % 2]);
  }
  WOOLLY_UNROLL
  for (std::size_t i = 0; i < kSums; ++i) forget(sums[i]);
  return n_turns * kSums * 64 * 2;
}

}  // namespace
}  // namespace woolly::kernels::WOOLLY_ISA
