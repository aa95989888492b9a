// The header of a GGUF file that is to be written (version 3).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "gguf/gguf.h"

namespace woolly::gguf {

/// A header, and where the data of its tensors belongs.
struct Layout {
  std::vector<std::byte> header;       ///< Ends where the data begins, with its padding.
  std::vector<std::uint64_t> offsets;  ///< Of each tensor, from the beginning of the file; bytes between are zero.
  std::uint64_t file_size;
};

/// Lays out a file of `metadata` and of `tensors` (name, type, n_dims and shape count) in their order. The alignment is
/// that of general.alignment, if `metadata` has it; what it and the tensors hold must be such as a File has.
Layout lay_out(const Metadata& metadata, std::span<const TensorView> tensors);

}  // namespace woolly::gguf
