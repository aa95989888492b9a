// Random numbers for sampling: xoshiro256** seeded through splitmix64, after the public-domain sources of David
// Blackman and Sebastiano Vigna (https://prng.di.unimi.it/xoshiro256starstar.c and splitmix64.c). Integers only, so the
// stream of a seed is the same everywhere.
#pragma once

#include <array>
#include <bit>
#include <cstdint>

namespace woolly::sample {

/// The next number of a splitmix64 stream; advances `state`.
constexpr std::uint64_t splitmix64(std::uint64_t& state) noexcept {
  state += 0x9E3779B97F4A7C15u;
  std::uint64_t z = state;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

class Rng {
 public:
  explicit constexpr Rng(std::uint64_t seed) noexcept : state_{} {
    for (std::uint64_t& word : state_) word = splitmix64(seed);
  }
  /// Not all zero.
  explicit constexpr Rng(const std::array<std::uint64_t, 4>& state) noexcept : state_(state) {}

  constexpr std::uint64_t next() noexcept {
    const std::uint64_t result = std::rotl(state_[1] * 5, 7) * 9;
    const std::uint64_t shifted = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= shifted;
    state_[3] = std::rotl(state_[3], 45);
    return result;
  }

  /// Uniform in [0, 1): the upper 53 bits, as many as a double holds.
  constexpr double next_unit() noexcept { return static_cast<double>(next() >> 11) * 0x1p-53; }

 private:
  std::array<std::uint64_t, 4> state_;
};

}  // namespace woolly::sample
