// The table of tensor types: what a GGUF type id means, how its blocks are laid out, and how they decode in scalar code.
// Adding a type is a codec in one of the family files and a row in dtype.cpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace woolly::quant {

/// Tensor types by their GGUF ids (ggml.h `enum ggml_type`).
enum class DType : std::uint32_t {
  kF32 = 0, kF16 = 1, kQ4_0 = 2, kQ4_1 = 3, kQ5_0 = 6, kQ5_1 = 7, kQ8_0 = 8, kQ2_K = 10, kQ3_K = 11, kQ4_K = 12,
  kQ5_K = 13, kQ6_K = 14, kIQ2_XXS = 16, kIQ2_XS = 17, kIQ3_XXS = 18, kIQ1_S = 19, kIQ4_NL = 20, kIQ3_S = 21,
  kIQ2_S = 22, kIQ4_XS = 23, kIQ1_M = 29, kBF16 = 30, kTQ1_0 = 34, kTQ2_0 = 35, kMXFP4 = 39,
};

/// The flat blocks that a type is run in, if those of the file do not say the codes of weights (blocks.h).
struct FlatForm {
  std::uint32_t block_bytes = 0;  ///< 0: the type is run as the file has it.
  void (*flatten)(const std::uint8_t* block, std::uint8_t* flat) noexcept = nullptr;                  ///< One block.
  void (*decode)(const std::byte* blocks, std::size_t n_blocks, float* out) noexcept = nullptr;  ///< Of flat ones.
};

/// One row of the table.
struct DTypeInfo {
  DType type;
  std::string_view name;      ///< As users know it: "Q4_K".
  std::uint32_t block_k;      ///< Weights in a block; a row is a whole number of blocks.
  std::uint32_t block_bytes;  ///< Bytes of a block in the file.
  /// Decodes `n_blocks` consecutive blocks to `n_blocks * block_k` floats. Any bits are allowed in `blocks`.
  void (*decode)(const std::byte* blocks, std::size_t n_blocks, float* out) noexcept;
  FlatForm flat{};
};

/// All rows, ascending by id.
std::span<const DTypeInfo> all_dtypes() noexcept;

/// The row of a GGUF type id, or nullptr for one that is not known.
const DTypeInfo* find_dtype(std::uint32_t gguf_id) noexcept;

/// The name of a type that ggml defines or once defined and that is not in the table, for messages; empty for any other.
std::string_view unread_type_name(std::uint32_t gguf_id) noexcept;

/// The row of a known type.
const DTypeInfo& info(DType type) noexcept;

}  // namespace woolly::quant
