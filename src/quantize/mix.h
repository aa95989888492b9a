// THE table of mixes: which type each tensor of a model takes under a name such as Q4_K_M. They are those of llama.cpp
// without an importance matrix, so that a name means the same everywhere.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "gguf/gguf.h"
#include "quant/dtype.h"

namespace woolly::quantize {

/// What a tensor is for, by its name.
enum class Role : std::uint8_t {
  kNone, kOutput, kEmbedding, kAttnQ, kAttnK, kAttnV, kAttnQkv, kAttnOutput, kFfnGate, kFfnUp, kFfnDown, kExperts,
};

/// In which layers an exception holds.
enum class Where : std::uint8_t {
  kAll,
  kMoreBits,        ///< The first and the last eighth, and every third between.
  kFirstEighth,
  kMiddle,          ///< All but the first and the last eighth.
  kFirstSixteenth,
  kFirstTwo,
  kFirstFour,
  kSharedValues,    ///< Where at least four heads share their values, so that the matrix is small.
};

struct Exception {
  Role role = Role::kNone;
  Where where = Where::kAll;
  quant::DType type = quant::DType::kF32;
};

struct Mix {
  std::string_view name;
  std::uint32_t file_type;  ///< `general.file_type` (llama.h `enum llama_ftype`).
  quant::DType base;
  std::array<Exception, 9> exceptions;  ///< The first that holds counts; the rest are empty.
};

std::span<const Mix> all_mixes() noexcept;
/// By name, in any case; nullptr if there is none.
const Mix* find_mix(std::string_view name) noexcept;

/// The type of each tensor of `file` under `mix`, in order. Vectors, norms, routers of experts, convolutions and the
/// like stay as they are. A tensor whose rows are no whole number of the type's blocks takes one of about as many bits that fits.
std::vector<quant::DType> choose_types(const gguf::File& file, const Mix& mix);

}  // namespace woolly::quantize
