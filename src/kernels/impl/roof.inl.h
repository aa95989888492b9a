// What a processor reads and multiplies at most with this instruction set and nothing else to do: the roofs that
// measured speeds are held against (bench/roof.h).
#pragma once

#include "kernels/kernel_table.h"
#include "simd/vec.h"
#if defined(WOOLLY_ISA_AMX)
#include "simd/tiles_amx.h"
#elif WOOLLY_HAS_BF16
#include "simd/bf16_avx512.h"
#endif

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

template <typename Vector>
constexpr std::size_t n_registers() {
  if constexpr (requires(Vector vector) { vector.lo; }) return 2;
  return 1;
}

/// Sums that do not depend on each other: two multiplications may begin in a cycle and take 4 or 5, so there are twelve
/// registers of them.
constexpr std::size_t kFloatSums = 12 / n_registers<simd::F32>();
#if !defined(WOOLLY_ISA_AMX)
/// Fewer where a product of four bytes takes several steps (`dot_s8` has no bias there): these need registers, and the
/// sum itself is quick.
constexpr std::size_t kIntegerSums = simd::kSignedBias == 0 ? 4 : 12 / n_registers<simd::I32>();
#endif

#if defined(WOOLLY_ISA_AMX)
std::uint64_t integer_loop(std::uint64_t n_turns) noexcept {
  const simd::TileShapes shapes(64);
  return simd::multiply_tiles_of_zeros<false>(n_turns);
}
#else
std::uint64_t integer_loop(std::uint64_t n_turns) noexcept {
  // The factors are at right angles, so that no sum ever grows, on any table.
  std::uint8_t bytes[64];
  for (std::size_t i = 0; i < 64; ++i) bytes[i] = i % 2 == 0 ? 3 : 5;
  const std::int8_t quad_bytes[4] = {5, -3, 5, -3};
  simd::Bytes factor = simd::load_bytes(bytes);
  forget(factor);
  simd::I32 quad = simd::splat_quad(quad_bytes);
  simd::I32 sums[kIntegerSums];
  WOOLLY_UNROLL
  for (std::size_t i = 0; i < kIntegerSums; ++i) {
    sums[i] = simd::splat_i32(0);
    forget(sums[i]);
  }
  for (std::uint64_t turn = 0; turn < n_turns; ++turn) {
    WOOLLY_UNROLL
    for (std::size_t i = 0; i < kIntegerSums; ++i) {
      forget(quad);
      sums[i] = simd::dot_u8(sums[i], factor, quad);
    }
  }
  WOOLLY_UNROLL
  for (std::size_t i = 0; i < kIntegerSums; ++i) forget(sums[i]);
  return n_turns * kIntegerSums * 64 * 2;
}
#endif

/// `n_ops` operations in each `multiply(factor, zero, sum)`.
template <typename Multiply>
inline std::uint64_t loop_of_floats(std::uint64_t n_turns, std::uint64_t n_ops, Multiply multiply) {
  simd::F32 factor = simd::splat(1.0F), zero = simd::splat(0.0F);  // so that no sum ever grows
  simd::F32 sums[kFloatSums];
  WOOLLY_UNROLL
  for (std::size_t i = 0; i < kFloatSums; ++i) {
    sums[i] = simd::splat(0.0F);
    forget(sums[i]);
  }
  for (std::uint64_t turn = 0; turn < n_turns; ++turn) {
    forget(factor);
    forget(zero);
    WOOLLY_UNROLL
    for (std::size_t i = 0; i < kFloatSums; ++i) sums[i] = multiply(factor, zero, sums[i]);
  }
  WOOLLY_UNROLL
  for (std::size_t i = 0; i < kFloatSums; ++i) forget(sums[i]);
  return n_turns * kFloatSums * n_ops;
}

std::uint64_t float_loop(std::uint64_t n_turns) noexcept {
  return loop_of_floats(n_turns, 16 * 2, [](simd::F32 a, simd::F32 b, simd::F32 sum) { return simd::fma(a, b, sum); });
}

#if defined(WOOLLY_ISA_AMX)
std::uint64_t bf16_loop(std::uint64_t n_turns) noexcept {
  const simd::TileShapes shapes(64);
  return simd::multiply_tiles_of_zeros<true>(n_turns);
}
#elif WOOLLY_HAS_BF16
std::uint64_t bf16_loop(std::uint64_t n_turns) noexcept {
  return loop_of_floats(n_turns, 32 * 2, [](simd::F32 a, simd::F32 b, simd::F32 sum) {
    return simd::dot_bf16(sum, simd::as_bytes(simd::as_i32(a)), simd::as_i32(b));
  });
}
#else
constexpr std::uint64_t (*bf16_loop)(std::uint64_t) noexcept = nullptr;
#endif

}  // namespace
}  // namespace woolly::kernels::WOOLLY_ISA
