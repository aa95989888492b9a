// DeepSeek-V2 (https://arxiv.org/abs/2405.04434), V3 and R1 (https://arxiv.org/abs/2412.19437), and others of their form:
// attention to latent vectors, and experts behind the first layers.
#include <fmt/format.h>

#include <cmath>

#include "arch/recipes.h"
#include "arch/transformer.h"

namespace woolly::arch {
namespace {

using plan::BufferId;
using plan::Epilogue;
using plan::ProjectionSpec;

/// The steps of one layer's attention.
class LatentAttention {
 public:
  LatentAttention(plan::GraphBuilder& graph, const std::string& layer)
      : graph_(graph), spec_(graph.spec()), latent_(spec_.latent), layer_(layer) {}

  Mixed mix(BufferId x, plan::Norm of_x) {
    project(x, of_x);
    return graph_.has_tensor(layer_ + "attn_kv_b.weight") ? expanded() : absorbed();
  }

 private:
  /// Queries, and of all heads together the latent vector and the key of rotary position.
  void project(BufferId x, plan::Norm of_x) {
    const std::uint64_t q_dim = spec_.n_heads * std::uint64_t{latent_.key_dim}, kv_dim = latent_.rank + spec_.rope.n_rot;
    const bool has_query_rank = latent_.query_rank > 0 && !graph_.has_tensor(layer_ + "attn_q.weight");
    const std::uint64_t first_dim = has_query_rank ? latent_.query_rank : q_dim;
    const BufferId both = graph_.buffer("latent", first_dim + kv_dim);
    graph_.linear(layer_ + "qkv", x, of_x,
                  {projection(has_query_rank ? "attn_q_a" : "attn_q", first_dim), projection("attn_kv_a_mqa", kv_dim)},
                  Epilogue::kStore, both);
    queries_ = graph_.part(both, 0, first_dim);
    key_value_ = graph_.part(both, first_dim, kv_dim);
    latent_vector_ = graph_.part(key_value_, 0, latent_.rank);
    if (!has_query_rank) return;
    const BufferId q = graph_.buffer("queries", q_dim);
    graph_.linear(layer_ + "q", queries_, norm("attn_q_a_norm", first_dim), {projection("attn_q_b", q_dim)}, Epilogue::kStore, q);
    queries_ = q;
  }

  /// The latent vectors themselves are keys and values of one head: what makes keys of them is applied to queries, and what
  /// makes values to what attention gives.
  Mixed absorbed() {
    const std::uint64_t n_heads = spec_.n_heads, unrotated = latent_.key_dim - spec_.rope.n_rot;
    graph_.normalize(layer_ + "kv_a_norm", {latent_vector_, latent_vector_, norm("attn_kv_a_norm", latent_.rank)});
    const BufferId q = graph_.buffer("latent_queries", n_heads * spec_.head_dim);
    graph_.linear_heads(layer_ + "k_b", queries_, n_heads, unrotated, layer_ + "attn_k_b", latent_.rank, q);
    const BufferId attended = graph_.buffer("latent_attn", n_heads * latent_.rank);
    graph_.attend(layer_ + "attend", {.queries = q, .keys = key_value_, .values = latent_vector_, .out = attended});
    const BufferId out = graph_.buffer("attn", n_heads * latent_.value_dim);
    graph_.linear_heads(layer_ + "v_b", attended, n_heads, latent_.rank, layer_ + "attn_v_b", latent_.value_dim, out);
    return {out, "attn_output"};
  }

  /// Of older files, whose matrix has for each head the rows of its keys and then those of its values.
  Mixed expanded() {
    const std::uint64_t n_heads = spec_.n_heads, unrotated = latent_.key_dim - spec_.rope.n_rot;
    const std::uint64_t k_dim = n_heads * latent_.key_dim, v_dim = n_heads * latent_.value_dim;
    const std::uint64_t of_head = unrotated + latent_.value_dim;
    const BufferId kv = graph_.buffer("keys_values", k_dim + v_dim);
    std::vector<ProjectionSpec> parts;
    for (std::uint64_t head = 0; head < n_heads; ++head) {
      const auto part = [&](std::uint64_t first_row, std::uint64_t n_rows, std::uint64_t column) {
        ProjectionSpec of = projection("attn_kv_b", n_rows);
        of.first_row = head * of_head + first_row;
        of.of_rows = n_heads * of_head;
        of.column = column;
        parts.push_back(of);
      };
      part(0, unrotated, head * latent_.key_dim);
      part(unrotated, latent_.value_dim, k_dim + head * latent_.value_dim);
    }
    graph_.linear(layer_ + "kv_b", latent_vector_, norm("attn_kv_a_norm", latent_.rank), parts, Epilogue::kStore, kv);
    const BufferId out = graph_.buffer("attn", v_dim);
    graph_.attend(layer_ + "attend", {.queries = queries_,
                                      .keys = graph_.part(kv, 0, k_dim),
                                      .values = graph_.part(kv, k_dim, v_dim),
                                      .out = out,
                                      .shared_key = graph_.part(key_value_, latent_.rank, spec_.rope.n_rot)});
    return {out, "attn_output"};
  }

  [[nodiscard]] ProjectionSpec projection(std::string_view name, std::uint64_t n_rows) const {
    return {.name = fmt::format("{}{}", layer_, name), .n_rows = n_rows};
  }
  plan::Norm norm(std::string_view name, std::uint64_t n) {
    return {graph_.vector(fmt::format("{}{}.weight", layer_, name), n), spec_.norm_eps};
  }

  plan::GraphBuilder& graph_;
  const model::Spec& spec_;
  const model::Latent& latent_;
  const std::string& layer_;
  BufferId queries_{}, key_value_{}, latent_vector_{};
};

Mixed latent_attention(plan::GraphBuilder& graph, const std::string& layer, BufferId x, plan::Norm norm) {
  return LatentAttention(graph, layer).mix(x, norm);
}

Error refuse(const model::Spec& spec, std::string_view name, std::uint64_t found, std::uint64_t allowed) {
  return {ErrorCode::kInvalidFile,
          fmt::format("{}.{} is {}, allowed is {}", spec.architecture, name, found, allowed)};
}

Result<model::Latent> read_latent(const gguf::Metadata& metadata, const model::Spec& spec) {
  constexpr std::uint64_t kMost = 1U << 16U;
  model::Latent latent;
  WOOLLY_TRY(latent.query_rank, model::read_number(metadata, spec, "attention.q_lora_rank", 0, kMost, 0));
  WOOLLY_TRY(latent.rank, model::read_number(metadata, spec, "attention.kv_lora_rank", 1, kMost));
  WOOLLY_TRY(latent.key_dim, model::read_number(metadata, spec, "attention.key_length_mla", 0, kMost, 0));
  WOOLLY_TRY(latent.value_dim, model::read_number(metadata, spec, "attention.value_length_mla", 0, kMost, 0));
  const std::uint32_t n_rot = spec.rope.n_rot;
  if (latent.key_dim == 0 || latent.value_dim == 0) {  // an older file
    latent.key_dim = spec.head_dim;
    latent.value_dim = spec.value_dim;
    if (spec.n_kv_heads != spec.n_heads) return refuse(spec, "attention.head_count_kv", spec.n_kv_heads, spec.n_heads);
  } else {
    if (spec.n_kv_heads != 1) return refuse(spec, "attention.head_count_kv", spec.n_kv_heads, 1);
    if (spec.head_dim != latent.rank + n_rot) return refuse(spec, "attention.key_length", spec.head_dim, latent.rank + n_rot);
    if (spec.value_dim != latent.rank) return refuse(spec, "attention.value_length", spec.value_dim, latent.rank);
  }
  if (latent.key_dim <= n_rot) {
    return Error{ErrorCode::kInvalidFile, fmt::format("{0}.attention.key_length_mla is {1}, it must be more than {0}.rope.dimension_count, {2}",
                                                      spec.architecture, latent.key_dim, n_rot)};
  }
  return latent;
}

Result<model::Experts> read_deepseek_experts(const gguf::Metadata& metadata, const model::Spec& spec) {
  WOOLLY_TRY(model::Experts experts, model::read_experts(metadata, spec));
  WOOLLY_TRY(experts.first_layer, model::read_number(metadata, spec, "leading_dense_block_count", 0, spec.n_layers, 0));
  WOOLLY_CHECK(model::read_gating(metadata, spec, experts));
  WOOLLY_TRY(const std::uint32_t n_shared, model::read_number(metadata, spec, "expert_shared_count", 1, 1024));
  experts.shared_ffn_dim = n_shared * experts.ffn_dim;
  return experts;
}

}  // namespace

Result<model::Spec> read_deepseek2_spec(const gguf::Metadata& metadata) {
  WOOLLY_TRY(model::Spec spec, model::read_transformer_spec(metadata, "deepseek2", model::RopePairs::kAdjacent));
  WOOLLY_TRY(spec.latent, read_latent(metadata, spec));
  WOOLLY_TRY(spec.experts, read_deepseek_experts(metadata, spec));
  model::Rope& rope = spec.rope;
  rope.first = spec.head_dim - rope.n_rot;

  // YaRN's temperature is of the whole score, not of the rotated elements alone. The file has a tenth of the factor by which
  // it grows with the logarithm of the extension.
  WOOLLY_TRY(const float multiplier, model::read_factor(metadata, spec, "rope.scaling.yarn_log_multiplier", 0.0F));
  const float logarithm = rope.factor > 1.0F ? std::log(rope.factor) : 0.0F;
  if (rope.is_yarn && multiplier != 0.0F) rope.magnitude /= 1.0F + 0.1F * logarithm;
  const float temperature = rope.magnitude * (1.0F + multiplier * logarithm);
  spec.attention_scale = temperature * temperature / std::sqrt(static_cast<float>(spec.latent.key_dim));

  WOOLLY_TRY(spec.attention_temperature.scale, model::read_factor(metadata, spec, "attention.temperature_scale", 0.0F));
  const std::uint64_t least = spec.attention_temperature.scale == 0.0F ? 0 : 1;
  WOOLLY_TRY(spec.attention_temperature.length,
             model::read_number(metadata, spec, "attention.temperature_length", least, 1U << 30U, 0));
  return spec;
}

void build_deepseek2(plan::GraphBuilder& graph) {
  build_transformer(graph, {.has_shared_expert = true,
                            .may_have_gate_and_up = true,
                            .has_selection_bias = true,
                            .mix = latent_attention});
}

}  // namespace woolly::arch
