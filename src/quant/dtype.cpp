#include "quant/dtype.h"

#include <algorithm>
#include <iterator>

#include "base/assert.h"
#include "quant/blocks.h"
#include "quant/decode.h"
#include "quant/flat.h"

namespace woolly::quant {

namespace {

/// A row for a format of blocks.h, which knows its own sizes.
template <typename Block>
constexpr DTypeInfo row(DType type, std::string_view name, decltype(DTypeInfo::decode) decode) {
  return {type, name, Block::kWeights, sizeof(Block), decode};
}

/// A row for one that is run in flat blocks.
template <typename Block, typename Flat, void (*kFlatten)(const std::uint8_t*, std::uint8_t*) noexcept,
          void (*kDecode)(const std::byte*, std::size_t, float*) noexcept>
constexpr DTypeInfo flat_row(DType type, std::string_view name) {
  constexpr auto kDecodeFile = [](const std::byte* blocks, std::size_t n_blocks, float* out) noexcept {
    for (std::size_t b = 0; b < n_blocks; ++b) {
      std::byte flat[sizeof(Flat)];
      kFlatten(reinterpret_cast<const std::uint8_t*>(blocks + b * sizeof(Block)), reinterpret_cast<std::uint8_t*>(flat));
      kDecode(flat, 1, out + b * Block::kWeights);
    }
  };
  return {type, name, Block::kWeights, sizeof(Block), kDecodeFile, {sizeof(Flat), kFlatten, kDecode}};
}

constexpr DTypeInfo kTable[] = {
    {DType::kF32, "F32", 1, 4, decode_f32},
    {DType::kF16, "F16", 1, 2, decode_f16},
    row<BlockQ4_0>(DType::kQ4_0, "Q4_0", decode_q4_0),
    row<BlockQ4_1>(DType::kQ4_1, "Q4_1", decode_q4_1),
    row<BlockQ5_0>(DType::kQ5_0, "Q5_0", decode_q5_0),
    row<BlockQ5_1>(DType::kQ5_1, "Q5_1", decode_q5_1),
    row<BlockQ8_0>(DType::kQ8_0, "Q8_0", decode_q8_0),
    row<BlockQ2_K>(DType::kQ2_K, "Q2_K", decode_q2_k),
    row<BlockQ3_K>(DType::kQ3_K, "Q3_K", decode_q3_k),
    row<BlockQ4_K>(DType::kQ4_K, "Q4_K", decode_q4_k),
    row<BlockQ5_K>(DType::kQ5_K, "Q5_K", decode_q5_k),
    row<BlockQ6_K>(DType::kQ6_K, "Q6_K", decode_q6_k),
    flat_row<BlockIQ2_XXS, Flat3<4>, flatten_iq2_xxs, decode_flat_iq2_xxs>(DType::kIQ2_XXS, "IQ2_XXS"),
    flat_row<BlockIQ2_XS, Flat3<8>, flatten_iq2_xs, decode_flat_iq2>(DType::kIQ2_XS, "IQ2_XS"),
    flat_row<BlockIQ3_XXS, Flat4, flatten_iq3_xxs, decode_flat_iq3_xxs>(DType::kIQ3_XXS, "IQ3_XXS"),
    flat_row<BlockIQ1_S, FlatIQ1_S, flatten_iq1_s, decode_flat_iq1_s>(DType::kIQ1_S, "IQ1_S"),
    row<BlockIQ4_NL>(DType::kIQ4_NL, "IQ4_NL", decode_iq4_nl),
    flat_row<BlockIQ3_S, Flat4, flatten_iq3_s, decode_flat_iq3_s>(DType::kIQ3_S, "IQ3_S"),
    flat_row<BlockIQ2_S, Flat3<8>, flatten_iq2_s, decode_flat_iq2>(DType::kIQ2_S, "IQ2_S"),
    row<BlockIQ4_XS>(DType::kIQ4_XS, "IQ4_XS", decode_iq4_xs),
    flat_row<BlockIQ1_M, Flat3<8>, flatten_iq1_m, decode_flat_iq1_m>(DType::kIQ1_M, "IQ1_M"),
    {DType::kBF16, "BF16", 1, 2, decode_bf16},
    flat_row<BlockTQ1_0, BlockTQ2_0, flatten_tq1_0, decode_tq2_0>(DType::kTQ1_0, "TQ1_0"),
    row<BlockTQ2_0>(DType::kTQ2_0, "TQ2_0", decode_tq2_0),
    row<BlockMXFP4>(DType::kMXFP4, "MXFP4", decode_mxfp4),
};
static_assert(std::ranges::is_sorted(kTable, {}, &DTypeInfo::type));

struct UnreadType {
  std::uint32_t id;
  std::string_view name;
};

// ggml.h `enum ggml_type`, with the ids that were given up.
constexpr UnreadType kUnread[] = {
    {4, "Q4_2"},      {5, "Q4_3"},      {9, "Q8_1"},      {15, "Q8_K"},     {24, "I8"},       {25, "I16"},
    {26, "I32"},      {27, "I64"},      {28, "F64"},      {31, "Q4_0_4_4"}, {32, "Q4_0_4_8"}, {33, "Q4_0_8_8"},
    {36, "IQ4_NL_4_4"}, {37, "IQ4_NL_4_8"}, {38, "IQ4_NL_8_8"}, {40, "NVFP4"}, {41, "Q1_0"},    {42, "Q2_0"},
};

}  // namespace

std::span<const DTypeInfo> all_dtypes() noexcept { return kTable; }

const DTypeInfo* find_dtype(std::uint32_t gguf_id) noexcept {
  const auto* found = std::ranges::find(kTable, static_cast<DType>(gguf_id), &DTypeInfo::type);
  return found == std::end(kTable) ? nullptr : found;
}

std::string_view unread_type_name(std::uint32_t gguf_id) noexcept {
  const auto* found = std::ranges::find(kUnread, gguf_id, &UnreadType::id);
  return found == std::end(kUnread) ? std::string_view{} : found->name;
}

const DTypeInfo& info(DType type) noexcept {
  const DTypeInfo* found = find_dtype(static_cast<std::uint32_t>(type));
  WOOLLY_ASSERT(found != nullptr);
  return *found;
}

}  // namespace woolly::quant
