#include "model/spec.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <vector>

namespace woolly::model {
namespace {

/// Reads `<prefix>.<name>` keys and keeps the first error.
class Reader {
 public:
  Reader(const gguf::Metadata& metadata, std::string_view prefix) : metadata_(metadata), prefix_(prefix) {}

  /// A whole number in [min, max]; `fallback` where the key is missing, an error if there is none.
  std::uint32_t number(std::string_view name, std::uint64_t min, std::uint64_t max,
                       std::optional<std::uint64_t> fallback = std::nullopt) {
    const std::string key = fmt::format("{}.{}", prefix_, name);
    const auto found = metadata_.find_uint(key);
    if (!found) return fail(found.error()), 0;
    if (!*found && !fallback) return fail({ErrorCode::kInvalidFile, fmt::format("metadata key {} is missing", key)}), 0;
    const std::uint64_t value = found->value_or(fallback.value_or(0));
    if (value < min || value > max) {
      fail({ErrorCode::kInvalidFile, fmt::format("{} is {}, allowed are {} to {}", key, value, min, max)});
      return 0;
    }
    return static_cast<std::uint32_t>(value);
  }

  /// A finite number in [min, max]; `fallback` where the key is missing.
  float real(std::string_view name, float min, float max, std::optional<float> fallback = std::nullopt) {
    const std::string key = fmt::format("{}.{}", prefix_, name);
    const auto found = metadata_.find_float(key);
    if (!found) return fail(found.error()), 0.0F;
    if (!*found && !fallback) return fail({ErrorCode::kInvalidFile, fmt::format("metadata key {} is missing", key)}), 0;
    const float value = found->value_or(fallback.value_or(0));
    if (!(value >= min && value <= max)) {
      fail({ErrorCode::kInvalidFile, fmt::format("{} is {}, allowed are {} to {}", key, value, min, max)});
      return 0.0F;
    }
    return value;
  }

  /// As `number`, but the key may hold an array of one number a layer, which must agree; those of layers that have none, if
  /// there may be such, are 0, and `is_none` tells which they are.
  std::uint32_t number_of_each_layer(std::string_view name, std::uint64_t min, std::uint64_t max,
                                     std::optional<std::uint64_t> fallback, std::vector<bool>* is_none = nullptr) {
    const std::string key = fmt::format("{}.{}", prefix_, name);
    const gguf::Value* value = metadata_.find(key);
    if (value == nullptr || value->type != gguf::ValueType::kArray) return number(name, min, max, fallback);
    const auto numbers = metadata_.ints(key);
    if (!numbers) return fail(numbers.error()), 0;
    std::int64_t n = numbers->empty() ? -1 : numbers->front();
    for (const std::int64_t other : *numbers) {
      if (is_none != nullptr) is_none->push_back(other == 0);
      if (is_none != nullptr && (n == 0 || other == 0)) {
        n = std::max(n, other);
      } else if (other != n) {
        fail({ErrorCode::kUnsupported,
              fmt::format("{} differs between layers ({} and {}), which is not supported", key, n, other)});
        return 0;
      }
    }
    if (n < 0 || static_cast<std::uint64_t>(n) < min || static_cast<std::uint64_t>(n) > max) {
      fail({ErrorCode::kInvalidFile, fmt::format("{} is {}, allowed are {} to {}", key, n, min, max)});
      return 0;
    }
    return static_cast<std::uint32_t>(n);
  }

  std::string text(std::string_view name, std::string_view fallback) {
    const auto found = metadata_.find_string(fmt::format("{}.{}", prefix_, name));
    if (!found) return fail(found.error()), std::string();
    return std::string(found->value_or(fallback));
  }

  void fail(Error error) {
    if (!error_) error_ = std::move(error);
  }
  [[nodiscard]] const std::optional<Error>& error() const { return error_; }

 private:
  const gguf::Metadata& metadata_;
  std::string_view prefix_;
  std::optional<Error> error_;
};

constexpr float kLargest = 3.4e38F;

Rope read_rope(Reader& keys, const Spec& spec, RopePairs pairs) {
  Rope rope;
  rope.pairs = pairs;
  rope.n_rot = keys.number("rope.dimension_count", 0, spec.head_dim, spec.head_dim);
  if (rope.n_rot == 0) rope.n_rot = spec.head_dim;
  if (rope.n_rot % 2 != 0) {
    keys.fail({ErrorCode::kInvalidFile, fmt::format("{}.rope.dimension_count is {}, it must be even", spec.architecture, rope.n_rot)});
  }
  rope.base = keys.real("rope.freq_base", 1e-3F, kLargest, 10000.0F);
  const std::string type = keys.text("rope.scaling.type", "linear");
  float factor = keys.real("rope.scaling.factor", 0.0F, 1e6F, 0.0F);
  if (factor == 0.0F) factor = keys.real("rope.scale_linear", 0.0F, 1e6F, 0.0F);
  if (type != "none" && factor != 0.0F) rope.factor = factor;
  const float attn_factor = keys.real("rope.scaling.attn_factor", 0.0F, 1e6F, 1.0F);
  rope.original_context = keys.number("rope.scaling.original_context_length", 0, 1U << 30U, spec.context_length);
  if (rope.original_context == 0) rope.original_context = spec.context_length;
  if (type == "yarn") {
    rope.is_yarn = true;
    if (rope.factor > 1.0F) rope.magnitude = 0.1F * std::log(rope.factor) + 1.0F;  // the paper's temperature
  } else if (type != "linear" && type != "none" && type != "longrope") {
    keys.fail({ErrorCode::kUnsupported,
               fmt::format("rope.scaling.type is \"{}\"; supported are none, linear, yarn and longrope", type)});
  }
  if (attn_factor != 0.0F) rope.magnitude *= attn_factor;
  return rope;
}

}  // namespace

Result<Spec> read_recurrent_spec(const gguf::Metadata& metadata, std::string_view prefix) {
  Reader keys(metadata, prefix);
  Spec spec;
  spec.architecture = prefix;
  spec.n_layers = keys.number("block_count", 1, 1024);
  spec.hidden_dim = keys.number("embedding_length", 1, 1U << 20U);
  spec.context_length = keys.number("context_length", 1, 1U << 30U);
  spec.norm_eps = keys.real("attention.layer_norm_rms_epsilon", 0.0F, 1.0F);

  const auto tokens = metadata.strings("tokenizer.ggml.tokens");
  if (!tokens) return tokens.error();
  spec.vocab_size = keys.number("vocab_size", 0, 1U << 24U, tokens->size());
  if (!tokens->empty()) spec.vocab_size = static_cast<std::uint32_t>(tokens->size());
  if (spec.vocab_size == 0) {
    keys.fail({ErrorCode::kInvalidFile, fmt::format("{}.vocab_size is 0 and there is no vocabulary", prefix)});
  }
  if (keys.error()) return *keys.error();
  return spec;
}

Result<Spec> read_transformer_spec(const gguf::Metadata& metadata, std::string_view prefix, RopePairs pairs, Heads heads) {
  Reader keys(metadata, prefix);
  WOOLLY_TRY(Spec spec, read_recurrent_spec(metadata, prefix));
  spec.ffn_dim = keys.number_of_each_layer("feed_forward_length", 1, 1U << 22U, std::nullopt);
  std::vector<bool> has_no_queries;  // says nothing that those without keys and values do not say
  const bool all_attend = heads == Heads::kOfAllLayers;
  spec.n_heads = keys.number_of_each_layer("attention.head_count", 1, 4096, std::nullopt, all_attend ? nullptr : &has_no_queries);
  spec.n_kv_heads = keys.number_of_each_layer("attention.head_count_kv", 1, 4096, spec.n_heads,
                                              all_attend ? nullptr : &spec.is_recurrent);
  if (keys.error()) return *keys.error();

  if (!spec.is_recurrent.empty() && spec.is_recurrent.size() != spec.n_layers) {
    return Error{ErrorCode::kInvalidFile, fmt::format("{}.attention.head_count_kv has {} entries, allowed is one for each of {} layers",
                                                      prefix, spec.is_recurrent.size(), spec.n_layers)};
  }
  if (spec.n_heads % spec.n_kv_heads != 0) {
    return Error{ErrorCode::kInvalidFile, fmt::format("{0}.attention.head_count is {1}, it must be a multiple of "
                                                      "{0}.attention.head_count_kv, which is {2}",
                                                      prefix, spec.n_heads, spec.n_kv_heads)};
  }
  spec.head_dim = keys.number("attention.key_length", 0, 1024, 0);
  if (spec.head_dim == 0) spec.head_dim = spec.hidden_dim / spec.n_heads;
  const std::uint32_t value_dim = keys.number("attention.value_length", 0, 1024, 0);
  spec.value_dim = value_dim == 0 ? spec.head_dim : value_dim;
  if (spec.head_dim < 2 || spec.head_dim > 1024) {
    keys.fail({ErrorCode::kInvalidFile,
               fmt::format("{}: heads of {} elements, allowed are 2 to 1024", prefix, spec.head_dim)});
  }
  spec.attention_scale = 1.0F / std::sqrt(static_cast<float>(spec.head_dim));
  spec.rope = read_rope(keys, spec, pairs);
  if (keys.error()) return *keys.error();
  return spec;
}

Result<Experts> read_experts(const gguf::Metadata& metadata, const Spec& spec) {
  Reader keys(metadata, spec.architecture);
  Experts experts;
  experts.n = keys.number("expert_count", 1, 1024);
  if (keys.error()) return *keys.error();
  experts.n_used = keys.number("expert_used_count", 1, experts.n);
  if (keys.error()) return *keys.error();
  experts.ffn_dim = keys.number("expert_feed_forward_length", 0, 1U << 22U, 0);
  experts.shared_ffn_dim = keys.number("expert_shared_feed_forward_length", 0, 1U << 22U, 0);
  if (experts.ffn_dim == 0) experts.ffn_dim = spec.ffn_dim / experts.n_used;
  const float scale = keys.real("expert_weights_scale", 0.0F, 1e6F, 0.0F);
  if (scale != 0.0F) experts.weight_scale = scale;
  experts.n_groups = std::max(1U, keys.number("expert_group_count", 0, std::min(experts.n, Experts::kMostGroups), 0));
  experts.n_groups_used = experts.n_groups;
  if (experts.n_groups > 1) experts.n_groups_used = keys.number("expert_group_used_count", 1, experts.n_groups);
  if (experts.n % experts.n_groups != 0 || experts.n / experts.n_groups * experts.n_groups_used < experts.n_used) {
    keys.fail({ErrorCode::kInvalidFile,
               fmt::format("{0}.expert_used_count is {1}: it cannot be that many of {2} experts in {3} groups "
                           "({0}.expert_group_count) of which {4} are used ({0}.expert_group_used_count)",
                           spec.architecture, experts.n_used, experts.n, experts.n_groups, experts.n_groups_used)});
  }
  if (experts.ffn_dim == 0) {
    keys.fail({ErrorCode::kInvalidFile,
               fmt::format("{0}.expert_feed_forward_length is missing, and {0}.feed_forward_length is {1}, less than "
                           "{0}.expert_used_count, {2}",
                           spec.architecture, spec.ffn_dim, experts.n_used)});
  }
  if (keys.error()) return *keys.error();
  return experts;
}

Status read_gating(const gguf::Metadata& metadata, const Spec& spec, Experts& experts) {
  constexpr std::uint32_t kSigmoid = 2;  // 1: softmax, 0: not set
  WOOLLY_TRY(const std::uint32_t function, read_number(metadata, spec, "expert_gating_func", 0, kSigmoid, 0));
  experts.gating = function == kSigmoid ? Gating::kSigmoid : Gating::kSoftmax;
  WOOLLY_TRY(const std::optional<bool> normalizes, metadata.find_bool(spec.architecture + ".expert_weights_norm"));
  experts.normalizes = normalizes.value_or(false);
  return {};
}

Status read_windows(const gguf::Metadata& metadata, std::uint32_t window, std::uint32_t n_pattern, Spec& spec) {
  Reader keys(metadata, spec.architecture);
  spec.window = keys.number("attention.sliding_window", 0, 1U << 30U, window);
  if (keys.error()) return *keys.error();
  if (spec.window == 0) return {};
  const std::string key = spec.architecture + ".attention.sliding_window_pattern";
  const gguf::Value* pattern = metadata.find(key);
  if (pattern != nullptr && pattern->type == gguf::ValueType::kArray) {
    WOOLLY_TRY(const std::vector<std::int64_t> flags, metadata.ints(key));
    if (flags.size() < spec.n_layers) {
      return Error{ErrorCode::kInvalidFile,
                   fmt::format("{} has {} entries, allowed is one for each of {} layers", key, flags.size(), spec.n_layers)};
    }
    for (std::uint32_t layer = 0; layer < spec.n_layers; ++layer) spec.is_windowed.push_back(flags[layer] != 0);
    return {};
  }
  n_pattern = keys.number("attention.sliding_window_pattern", 0, 1024, n_pattern);
  if (keys.error()) return *keys.error();
  for (std::uint32_t layer = 0; layer < spec.n_layers; ++layer) {
    spec.is_windowed.push_back(n_pattern == 0 || layer % n_pattern < n_pattern - 1);
  }
  return {};
}

Result<std::uint32_t> read_number(const gguf::Metadata& metadata, const Spec& spec, std::string_view name,
                                  std::uint64_t min, std::uint64_t max, std::optional<std::uint64_t> unset) {
  Reader keys(metadata, spec.architecture);
  const std::uint32_t value = keys.number(name, min, max, unset);
  if (keys.error()) return *keys.error();
  return value;
}

Result<float> read_factor(const gguf::Metadata& metadata, const Spec& spec, std::string_view name, float unset) {
  Reader keys(metadata, spec.architecture);
  const float value = keys.real(name, -kLargest, kLargest, unset);
  if (keys.error()) return *keys.error();
  return value == 0.0F ? unset : value;
}

}  // namespace woolly::model
