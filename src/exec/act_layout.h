// Where the activations of one row lie in memory, in each of the formats that matrix kernels read.
#pragma once

#include <cstddef>
#include <iterator>
#include <utility>

#include "base/checked.h"
#include "kernels/kernel_table.h"

namespace woolly::exec {

constexpr std::size_t round_line(std::size_t bytes) { return static_cast<std::size_t>(base::round_up(bytes, 64)); }

/// Of rows of at most `width` values.
struct ActLayout {
  std::size_t width;

  struct Row {
    float* x;
    kernels::ActStorage a32, a256;
    std::uint16_t* bf16;
  };
  /// An odd number of lines, for the reason of plan::Buffer::stride.
  [[nodiscard]] std::size_t row_bytes() const {
    return (round_line(width * 4) + 2 * place(nullptr, nullptr) + round_line(width * 2)) | 64U;
  }
  /// The arrays of a row that begins at `at` and has row_bytes().
  [[nodiscard]] Row row(std::byte* at) const {
    Row row{reinterpret_cast<float*>(at), {}, {}, {}};
    at += round_line(width * 4);
    at += place(at, &row.a32);
    at += place(at, &row.a256);
    row.bf16 = reinterpret_cast<std::uint16_t*>(at);
    return row;
  }

 private:
  /// One quantized format, an array after the other; `out` may be null. Returns the bytes.
  std::size_t place(std::byte* at, kernels::ActStorage* out) const {
    const std::size_t n_blocks = width / 32;
    const std::size_t sizes[] = {width, n_blocks * 4, n_blocks * 2, n_blocks * 4, n_blocks * 4};
    std::size_t offsets[std::size(sizes)], end = 0;
    for (std::size_t i = 0; i < std::size(sizes); ++i) offsets[i] = std::exchange(end, end + round_line(sizes[i]));
    if (out != nullptr) {
      *out = {reinterpret_cast<std::int8_t*>(at + offsets[0]), reinterpret_cast<float*>(at + offsets[1]),
              reinterpret_cast<std::int16_t*>(at + offsets[2]), reinterpret_cast<std::int16_t*>(at + offsets[3]),
              reinterpret_cast<float*>(at + offsets[4])};
    }
    return end;
  }
};

}  // namespace woolly::exec
