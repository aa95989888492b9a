// Random transformers of any shape as GGUF bytes, small enough for a test.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "support/gguf_builder.h"

namespace woolly::test {

struct TinyModel {
  std::string architecture = "llama";
  std::uint32_t n_layers = 2, hidden_dim = 48, n_heads = 4, n_kv_heads = 2, head_dim = 12, ffn_dim = 80, vocab_size = 70;
  /// With architecture "qwen3moe", else there are none.
  std::uint32_t n_experts = 6, n_experts_used = 3, expert_ffn_dim = 40;
  bool has_expert_scale = false;
  bool has_bias = false, is_tied = false, has_rope_factors = false;
  unsigned seed = 1;

  /// The file, to which a test may add keys; `leave_out` names tensors that it shall lack.
  [[nodiscard]] GgufBuilder build(const std::vector<std::string>& leave_out = {}) const {
    GgufBuilder file;
    const auto key = [&](const char* name) { return architecture + "." + name; };
    file.add_string("general.architecture", architecture);
    file.add_u32(key("block_count"), n_layers).add_u32(key("embedding_length"), hidden_dim);
    file.add_u32(key("feed_forward_length"), ffn_dim).add_u32(key("context_length"), 512);
    file.add_u32(key("attention.head_count"), n_heads).add_u32(key("attention.head_count_kv"), n_kv_heads);
    file.add_u32(key("attention.key_length"), head_dim).add_u32(key("attention.value_length"), head_dim);
    file.add_u32(key("rope.dimension_count"), head_dim).add_u32(key("vocab_size"), vocab_size);
    file.add_f32(key("attention.layer_norm_rms_epsilon"), 1e-5F);

    const bool has_experts = architecture == "qwen3moe";
    if (has_experts) {
      file.add_u32(key("expert_count"), n_experts).add_u32(key("expert_used_count"), n_experts_used);
      file.add_u32(key("expert_feed_forward_length"), expert_ffn_dim);
    }

    std::mt19937 random(seed);
    const auto add_shape = [&](const std::string& name, const std::vector<std::uint64_t>& shape, float mean, float spread) {
      std::normal_distribution<float> normal(mean, spread);
      std::size_t n = 1;
      for (const std::uint64_t dim : shape) n *= dim;
      std::vector<float> values(n);
      for (float& value : values) value = normal(random);
      for (const std::string& skipped : leave_out) {
        if (skipped == name) return;
      }
      file.add_tensor(name, shape, values);
    };
    const auto add = [&](const std::string& name, std::uint64_t n_cols, std::uint64_t n_rows, float mean, float spread) {
      if (n_rows == 1) {
        add_shape(name, {n_cols}, mean, spread);
      } else {
        add_shape(name, {n_cols, n_rows}, mean, spread);
      }
    };
    const auto matrix = [&](const std::string& name, std::uint64_t n_cols, std::uint64_t n_rows) {
      add(name + ".weight", n_cols, n_rows, 0.0F, 1.5F / std::sqrt(static_cast<float>(n_cols)));
      if (has_bias) add(name + ".bias", n_rows, 1, 0.0F, 0.3F);
    };
    const auto stack = [&](const std::string& name, std::uint64_t n_cols, std::uint64_t n_rows) {
      add_shape(name + ".weight", {n_cols, n_rows, n_experts}, 0.0F, 1.5F / std::sqrt(static_cast<float>(n_cols)));
      if (has_expert_scale) add(name + ".scale", n_experts, 1, 1.0F, 0.3F);
    };
    const std::uint64_t q_dim = std::uint64_t{n_heads} * head_dim, kv_dim = std::uint64_t{n_kv_heads} * head_dim;
    add("token_embd.weight", hidden_dim, vocab_size, 0.0F, 1.0F);
    for (std::uint32_t layer = 0; layer < n_layers; ++layer) {
      const std::string p = "blk." + std::to_string(layer) + ".";
      add(p + "attn_norm.weight", hidden_dim, 1, 1.0F, 0.2F);
      matrix(p + "attn_q", hidden_dim, q_dim);
      matrix(p + "attn_k", hidden_dim, kv_dim);
      matrix(p + "attn_v", hidden_dim, kv_dim);
      matrix(p + "attn_output", q_dim, hidden_dim);
      add(p + "attn_q_norm.weight", head_dim, 1, 1.0F, 0.2F);
      add(p + "attn_k_norm.weight", head_dim, 1, 1.0F, 0.2F);
      add(p + "ffn_norm.weight", hidden_dim, 1, 1.0F, 0.2F);
      if (has_experts) {
        matrix(p + "ffn_gate_inp", hidden_dim, n_experts);
        stack(p + "ffn_gate_exps", hidden_dim, expert_ffn_dim);
        stack(p + "ffn_up_exps", hidden_dim, expert_ffn_dim);
        stack(p + "ffn_down_exps", expert_ffn_dim, hidden_dim);
      } else {
        matrix(p + "ffn_gate", hidden_dim, ffn_dim);
        matrix(p + "ffn_up", hidden_dim, ffn_dim);
        matrix(p + "ffn_down", ffn_dim, hidden_dim);
      }
    }
    add("output_norm.weight", hidden_dim, 1, 1.0F, 0.2F);
    if (!is_tied) matrix("output", hidden_dim, vocab_size);
    if (has_rope_factors) add("rope_freqs.weight", head_dim / 2, 1, 2.0F, 0.5F);
    return file;
  }
};

}  // namespace woolly::test
