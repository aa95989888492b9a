// What a step of a model gives for the rows that were asked for.
#pragma once

#include <cstddef>
#include <span>

namespace woolly {

/// Logits [n_rows, vocab_size] float32, borrowed from what computed them and valid until its next step.
struct Logits {
  const float* data = nullptr;
  std::size_t n_rows = 0;
  std::size_t vocab_size = 0;
  std::size_t stride = 0;  ///< Floats from one row to the next.

  [[nodiscard]] std::span<const float> row(std::size_t i) const { return {data + i * stride, vocab_size}; }
};

}  // namespace woolly
