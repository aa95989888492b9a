#include "quant/dtype.h"

#include <algorithm>
#include <iterator>

#include "base/assert.h"
#include "quant/blocks.h"
#include "quant/decode.h"

namespace woolly::quant {

namespace {

/// A row for a format of blocks.h, which knows its own sizes.
template <typename Block>
constexpr DTypeInfo row(DType type, std::string_view name, decltype(DTypeInfo::decode) decode) {
  return {type, name, Block::kWeights, sizeof(Block), decode};
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
    row<BlockIQ4_NL>(DType::kIQ4_NL, "IQ4_NL", decode_iq4_nl),
    row<BlockIQ4_XS>(DType::kIQ4_XS, "IQ4_XS", decode_iq4_xs),
    {DType::kBF16, "BF16", 1, 2, decode_bf16},
    row<BlockMXFP4>(DType::kMXFP4, "MXFP4", decode_mxfp4),
};
static_assert(std::ranges::is_sorted(kTable, {}, &DTypeInfo::type));

struct UnreadType {
  std::uint32_t id;
  std::string_view name;
};

// ggml.h `enum ggml_type`, with the ids that were given up.
constexpr UnreadType kUnread[] = {
    {4, "Q4_2"},      {5, "Q4_3"},   {9, "Q8_1"},   {15, "Q8_K"},       {16, "IQ2_XXS"},    {17, "IQ2_XS"},
    {18, "IQ3_XXS"},  {19, "IQ1_S"}, {21, "IQ3_S"}, {22, "IQ2_S"},      {24, "I8"},         {25, "I16"},
    {26, "I32"},      {27, "I64"},   {28, "F64"},   {29, "IQ1_M"},      {31, "Q4_0_4_4"},   {32, "Q4_0_4_8"},
    {33, "Q4_0_8_8"}, {34, "TQ1_0"}, {35, "TQ2_0"}, {36, "IQ4_NL_4_4"}, {37, "IQ4_NL_4_8"}, {38, "IQ4_NL_8_8"},
    {40, "NVFP4"},    {41, "Q1_0"},  {42, "Q2_0"},
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
