#include "quantize/mix.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <string>

namespace woolly::quantize {
namespace {

using quant::DType;

constexpr Exception kOutputQ6{Role::kOutput, Where::kAll, DType::kQ6_K};
constexpr Exception kOutputQ5{Role::kOutput, Where::kAll, DType::kQ5_K};
constexpr Exception kSharedQ4{Role::kAttnV, Where::kSharedValues, DType::kQ4_K};

constexpr Mix kMixes[] = {
    {"F32", 0, DType::kF32, {}},
    {"F16", 1, DType::kF16, {}},
    {"BF16", 32, DType::kBF16, {}},
    {"Q8_0", 7, DType::kQ8_0, {}},
    {"Q4_0", 2, DType::kQ4_0, {kOutputQ6}},
    {"Q4_1", 3, DType::kQ4_1, {kOutputQ6}},
    {"Q5_0", 8, DType::kQ5_0, {kOutputQ6}},
    {"Q5_1", 9, DType::kQ5_1, {kOutputQ6}},
    {"Q2_K",
     10,
     DType::kQ2_K,
     {kOutputQ6,
      kSharedQ4,
      {Role::kAttnV, Where::kAll, DType::kQ3_K},
      {Role::kAttnOutput, Where::kAll, DType::kQ3_K},
      {Role::kFfnDown, Where::kAll, DType::kQ3_K}}},
    {"Q2_K_S",
     21,
     DType::kQ2_K,
     {kOutputQ6, kSharedQ4, {Role::kFfnDown, Where::kFirstEighth, DType::kQ4_K}}},
    {"Q3_K_S", 11, DType::kQ3_K, {kOutputQ6}},
    {"Q3_K_M",
     12,
     DType::kQ3_K,
     {kOutputQ6,
      {Role::kAttnV, Where::kFirstTwo, DType::kQ5_K},
      {Role::kAttnV, Where::kAll, DType::kQ4_K},
      {Role::kAttnQkv, Where::kAll, DType::kQ4_K},
      {Role::kAttnOutput, Where::kAll, DType::kQ4_K},
      {Role::kFfnDown, Where::kFirstSixteenth, DType::kQ5_K},
      {Role::kFfnDown, Where::kAll, DType::kQ4_K}}},
    {"Q3_K_L",
     13,
     DType::kQ3_K,
     {kOutputQ6,
      {Role::kAttnV, Where::kAll, DType::kQ5_K},
      {Role::kAttnQkv, Where::kAll, DType::kQ4_K},
      {Role::kAttnOutput, Where::kAll, DType::kQ5_K},
      {Role::kFfnDown, Where::kAll, DType::kQ5_K}}},
    {"Q4_K_S",
     14,
     DType::kQ4_K,
     {kOutputQ6,
      {Role::kAttnV, Where::kFirstFour, DType::kQ5_K},
      {Role::kFfnDown, Where::kFirstEighth, DType::kQ5_K}}},
    {"Q4_K_M",
     15,
     DType::kQ4_K,
     {kOutputQ6,
      {Role::kAttnV, Where::kMoreBits, DType::kQ6_K},
      {Role::kAttnQkv, Where::kAll, DType::kQ5_K},
      {Role::kFfnDown, Where::kMoreBits, DType::kQ6_K}}},
    {"Q5_K_S", 16, DType::kQ5_K, {kOutputQ6}},
    {"Q5_K_M",
     17,
     DType::kQ5_K,
     {kOutputQ6,
      {Role::kAttnV, Where::kMoreBits, DType::kQ6_K},
      {Role::kAttnQkv, Where::kAll, DType::kQ6_K},
      {Role::kFfnDown, Where::kMoreBits, DType::kQ6_K}}},
    {"Q6_K", 18, DType::kQ6_K, {}},
    {"IQ4_NL",
     25,
     DType::kIQ4_NL,
     {kOutputQ6,
      {Role::kAttnV, Where::kSharedValues, DType::kQ5_K},
      {Role::kFfnDown, Where::kFirstEighth, DType::kQ5_K}}},
    {"IQ4_XS",
     30,
     DType::kIQ4_XS,
     {kOutputQ6,
      {Role::kAttnV, Where::kSharedValues, DType::kQ5_K},
      {Role::kFfnDown, Where::kFirstEighth, DType::kQ5_K}}},
    {"IQ3_M",
     27,
     DType::kIQ3_S,
     {kOutputQ6,
      {Role::kAttnV, Where::kAll, DType::kQ4_K},
      {Role::kAttnQkv, Where::kAll, DType::kQ4_K},
      {Role::kAttnOutput, Where::kAll, DType::kQ4_K},
      {Role::kFfnDown, Where::kFirstEighth, DType::kQ4_K}}},
    {"IQ3_S", 26, DType::kIQ3_S, {kOutputQ6, kSharedQ4}},
    {"IQ3_XS",
     22,
     DType::kIQ3_S,
     {kOutputQ6,
      kSharedQ4,
      {Role::kAttnQ, Where::kAll, DType::kIQ3_XXS},
      {Role::kAttnK, Where::kAll, DType::kIQ3_XXS},
      {Role::kFfnGate, Where::kMiddle, DType::kIQ3_XXS},
      {Role::kFfnUp, Where::kMiddle, DType::kIQ3_XXS}}},
    {"IQ3_XXS",
     23,
     DType::kIQ3_XXS,
     {kOutputQ5,
      kSharedQ4,
      {Role::kEmbedding, Where::kAll, DType::kIQ3_S},
      {Role::kAttnQ, Where::kAll, DType::kIQ2_S},
      {Role::kAttnK, Where::kAll, DType::kIQ2_S},
      {Role::kAttnV, Where::kAll, DType::kIQ3_S},
      {Role::kAttnOutput, Where::kAll, DType::kIQ3_S},
      {Role::kFfnDown, Where::kFirstEighth, DType::kQ4_K},
      {Role::kFfnDown, Where::kAll, DType::kQ3_K}}},
    {"IQ2_M",
     29,
     DType::kIQ2_S,
     {kOutputQ5,
      kSharedQ4,
      {Role::kEmbedding, Where::kAll, DType::kIQ3_S},
      {Role::kAttnV, Where::kAll, DType::kIQ3_S},
      {Role::kAttnOutput, Where::kAll, DType::kIQ3_S},
      {Role::kFfnDown, Where::kFirstEighth, DType::kIQ3_S}}},
    {"IQ2_S",
     28,
     DType::kIQ2_XS,
     {kOutputQ5,
      kSharedQ4,
      {Role::kEmbedding, Where::kAll, DType::kIQ3_S},
      {Role::kAttnV, Where::kAll, DType::kIQ3_S},
      {Role::kAttnOutput, Where::kAll, DType::kIQ3_S},
      {Role::kFfnDown, Where::kFirstEighth, DType::kIQ3_S}}},
    {"IQ2_XS",
     20,
     DType::kIQ2_XS,
     {kOutputQ5,
      kSharedQ4,
      {Role::kEmbedding, Where::kAll, DType::kQ2_K},
      {Role::kAttnV, Where::kAll, DType::kQ2_K},
      {Role::kFfnDown, Where::kFirstEighth, DType::kQ2_K}}},
    {"IQ2_XXS",
     19,
     DType::kIQ2_XXS,
     {kOutputQ5,
      kSharedQ4,
      {Role::kEmbedding, Where::kAll, DType::kQ2_K},
      {Role::kAttnV, Where::kAll, DType::kQ2_K},
      {Role::kFfnDown, Where::kFirstEighth, DType::kQ2_K}}},
    {"IQ1_M",
     31,
     DType::kIQ1_M,
     {kOutputQ5,
      kSharedQ4,
      {Role::kEmbedding, Where::kAll, DType::kQ2_K},
      {Role::kAttnV, Where::kAll, DType::kQ2_K},
      {Role::kAttnOutput, Where::kAll, DType::kIQ2_XXS},
      {Role::kFfnDown, Where::kFirstEighth, DType::kQ2_K}}},
    {"IQ1_S",
     24,
     DType::kIQ1_S,
     {kOutputQ5,
      kSharedQ4,
      {Role::kEmbedding, Where::kAll, DType::kQ2_K},
      {Role::kAttnV, Where::kAll, DType::kQ2_K},
      {Role::kAttnOutput, Where::kAll, DType::kIQ2_XXS},
      {Role::kFfnDown, Where::kFirstEighth, DType::kQ2_K}}},
    {"TQ1_0", 36, DType::kTQ1_0, {kOutputQ6, {Role::kEmbedding, Where::kAll, DType::kQ4_K}}},
    {"TQ2_0", 37, DType::kTQ2_0, {kOutputQ6, {Role::kEmbedding, Where::kAll, DType::kQ4_K}}},
    {"MXFP4_MOE", 38, DType::kQ8_0, {{{Role::kExperts, Where::kAll, DType::kMXFP4}}}},
};

struct RoleName {
  std::string_view part;  ///< Of the name behind "blk.N.".
  Role role;
};
constexpr RoleName kRoleNames[] = {
    {"attn_q.", Role::kAttnQ},     {"attn_k.", Role::kAttnK},     {"attn_v.", Role::kAttnV},
    {"attn_v_b.", Role::kAttnV},   {"attn_qkv.", Role::kAttnQkv}, {"attn_output.", Role::kAttnOutput},
    {"ffn_gate", Role::kFfnGate},  {"ffn_up", Role::kFfnUp},      {"ffn_down", Role::kFfnDown},
};

/// Parts of names of matrices that are small, and that a model suffers from when they are coarse.
constexpr std::string_view kKept[] = {
    "_norm.", "ffn_gate_inp", "ssm_conv1d", "shortconv.conv.", "position_embd", "token_types", "altup", "laurel",
    "per_layer_model_proj",
};

struct Place {
  std::optional<std::uint64_t> layer;
  std::string_view rest;  ///< Of the name.
};

Place place_of(std::string_view name) {
  constexpr std::string_view kBlock = "blk.";
  if (!name.starts_with(kBlock)) return {std::nullopt, name};
  std::uint64_t layer = 0;
  const char* end = name.data() + name.size();
  const auto [after, error] = std::from_chars(name.data() + kBlock.size(), end, layer);
  if (error != std::errc{} || after == end || *after != '.') return {std::nullopt, name};
  return {layer, {after + 1, end}};
}

bool is_kept(const gguf::TensorView& tensor) {
  if (tensor.n_dims < 2 || !tensor.name.ends_with(".weight")) return true;
  return std::ranges::any_of(kKept, [&](std::string_view part) { return tensor.name.find(part) != std::string_view::npos; });
}

class Chooser {
 public:
  Chooser(const gguf::File& file, const Mix& mix) : file_(file), mix_(mix) {
    for (const gguf::TensorView& tensor : file.tensors()) {
      if (const auto layer = place_of(tensor.name).layer) n_layers_ = std::max(n_layers_, *layer + 1);
    }
  }

  [[nodiscard]] DType choose(const gguf::TensorView& tensor) const {
    if (is_kept(tensor)) return tensor.type;
    const Place place = place_of(tensor.name);
    const Role role = role_of(tensor, place);
    const auto* exception = std::ranges::find_if(mix_.exceptions, [&](const Exception& e) {
      return e.role != Role::kNone && e.role == role && holds(e.where, place.layer.value_or(0));
    });
    return fitting(exception == mix_.exceptions.end() ? mix_.base : exception->type, tensor.n_cols());
  }

 private:
  [[nodiscard]] Role role_of(const gguf::TensorView& tensor, const Place& place) const {
    if (mix_.exceptions.front().role == Role::kExperts) return tensor.n_dims > 2 ? Role::kExperts : Role::kNone;
    if (tensor.name == "output.weight") return Role::kOutput;
    // A tied embedding is the output too.
    if (tensor.name == "token_embd.weight") return file_.find_tensor("output.weight") == nullptr ? Role::kOutput : Role::kEmbedding;
    const auto* found = std::ranges::find_if(kRoleNames, [&](const RoleName& r) { return place.rest.starts_with(r.part); });
    return found == std::end(kRoleNames) ? Role::kNone : found->role;
  }

  [[nodiscard]] bool holds(Where where, std::uint64_t layer) const {
    const std::uint64_t eighth = n_layers_ / 8;
    switch (where) {
      case Where::kAll: return true;
      case Where::kMoreBits: return layer < eighth || layer >= 7 * n_layers_ / 8 || (layer - eighth) % 3 == 2;
      case Where::kFirstEighth: return layer < eighth;
      case Where::kMiddle: return layer >= eighth && layer < 7 * n_layers_ / 8;
      case Where::kFirstSixteenth: return layer < n_layers_ / 16;
      case Where::kFirstTwo: return layer < 2;
      case Where::kFirstFour: return layer < 4;
      case Where::kSharedValues: return shares_values(layer);
    }
    return false;
  }

  [[nodiscard]] bool shares_values(std::uint64_t layer) const {
    const std::string block = "blk." + std::to_string(layer) + ".";
    const gguf::TensorView* queries = file_.find_tensor(block + "attn_q.weight");
    const gguf::TensorView* values = file_.find_tensor(block + "attn_v.weight");
    return queries != nullptr && values != nullptr && queries->n_rows() >= 4 * values->n_rows();
  }

  /// A type of about as many bits, in smaller blocks, where `type` does not fit.
  [[nodiscard]] static DType fitting(DType type, std::uint64_t n_cols) {
    const auto fits = [&](DType t) { return n_cols % quant::info(t).block_k == 0; };
    if (fits(type)) return type;
    switch (type) {
      case DType::kQ2_K:
      case DType::kQ3_K:
      case DType::kTQ1_0:
      case DType::kTQ2_0: type = DType::kQ4_0; break;
      case DType::kQ4_K: type = DType::kQ5_0; break;
      case DType::kQ5_K: type = DType::kQ5_1; break;
      case DType::kQ6_K: type = DType::kQ8_0; break;
      default: type = DType::kIQ4_NL; break;
    }
    return fits(type) ? type : DType::kF16;
  }

  const gguf::File& file_;
  const Mix& mix_;
  std::uint64_t n_layers_ = 0;
};

char upper(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; }

}  // namespace

std::span<const Mix> all_mixes() noexcept { return kMixes; }

const Mix* find_mix(std::string_view name) noexcept {
  const auto* found = std::ranges::find_if(kMixes, [&](const Mix& mix) {
    return std::ranges::equal(mix.name, name, {}, {}, upper);
  });
  return found == std::end(kMixes) ? nullptr : found;
}

std::vector<DType> choose_types(const gguf::File& file, const Mix& mix) {
  const Chooser chooser(file, mix);
  std::vector<DType> types;
  for (const gguf::TensorView& tensor : file.tensors()) types.push_back(chooser.choose(tensor));
  return types;
}

}  // namespace woolly::quantize
