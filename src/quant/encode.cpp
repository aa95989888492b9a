#include "quant/encode.h"

#include <algorithm>
#include <iterator>

namespace woolly::quant {
namespace {

struct Encoder {
  DType type;
  Encode encode;
};

constexpr Encoder kEncoders[] = {
    {DType::kF32, encode_f32},   {DType::kF16, encode_f16},       {DType::kBF16, encode_bf16},
    {DType::kQ8_0, encode_q8_0}, {DType::kQ4_0, encode_q4_0},     {DType::kQ4_1, encode_q4_1},
    {DType::kQ5_0, encode_q5_0}, {DType::kQ5_1, encode_q5_1},     {DType::kQ2_K, encode_q2_k},
    {DType::kQ3_K, encode_q3_k}, {DType::kQ4_K, encode_q4_k},     {DType::kQ5_K, encode_q5_k},
    {DType::kQ6_K, encode_q6_k}, {DType::kIQ4_NL, encode_iq4_nl}, {DType::kIQ4_XS, encode_iq4_xs},
    {DType::kTQ1_0, encode_tq1_0},     {DType::kTQ2_0, encode_tq2_0},     {DType::kMXFP4, encode_mxfp4},
    {DType::kIQ1_S, encode_iq1_s},     {DType::kIQ1_M, encode_iq1_m},     {DType::kIQ2_XXS, encode_iq2_xxs},
    {DType::kIQ2_XS, encode_iq2_xs},   {DType::kIQ2_S, encode_iq2_s},     {DType::kIQ3_XXS, encode_iq3_xxs},
    {DType::kIQ3_S, encode_iq3_s},
};

}  // namespace

Encode find_encoder(DType type) noexcept {
  const auto* found = std::ranges::find(kEncoders, type, &Encoder::type);
  return found == std::end(kEncoders) ? nullptr : found->encode;
}

}  // namespace woolly::quant
