// Random transformers of any shape as GGUF bytes, small enough for a test.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <initializer_list>
#include <random>
#include <string>
#include <vector>

#include "support/gguf_builder.h"

namespace woolly::test {

struct TinyModel {
  std::string architecture = "llama";
  std::uint32_t n_layers = 2, hidden_dim = 48, n_heads = 4, n_kv_heads = 2, head_dim = 12, ffn_dim = 80, vocab_size = 70;
  /// With an architecture that must have experts, or `has_experts`.
  bool has_experts = false;
  std::uint32_t n_experts = 6, n_experts_used = 3, expert_ffn_dim = 40;
  bool has_expert_scale = false;
  bool has_gate_and_up = false;  ///< Of experts, in one tensor.
  std::uint32_t query_rank = 24;  ///< With latent attention; 0: queries have none.
  bool is_older_form = false;     ///< As older files have latent attention and the delta rule.
  /// Heads with a state: of values, and fewer of keys.
  std::uint32_t n_state_heads = 4, n_state_keys = 2, state_key_dim = 9, state_value_dim = 35;
  bool has_bias = false, is_tied = false, has_rope_factors = false;
  unsigned seed = 1;

  /// The file, to which a test may add keys; `leave_out` names tensors that it shall lack.
  [[nodiscard]] GgufBuilder build(const std::vector<std::string>& leave_out = {}) const {
    GgufBuilder file;
    const auto key = [&](const char* name) { return architecture + "." + name; };
    file.add_string("general.architecture", architecture);
    file.add_u32(key("block_count"), n_layers).add_u32(key("embedding_length"), hidden_dim);
    file.add_u32(key("feed_forward_length"), ffn_dim).add_u32(key("context_length"), 512);
    file.add_u32(key("attention.head_count"), n_heads);
    const auto is_one_of = [&](std::initializer_list<const char*> names) {
      return std::find(names.begin(), names.end(), architecture) != names.end();
    };
    const bool is_qwen_next = is_one_of({"qwen35", "qwen35moe", "qwen3next"});
    const bool is_lfm2 = is_one_of({"lfm2", "lfm2moe"});
    const auto is_recurrent = [&](std::uint32_t layer) {
      return ((is_lfm2 || architecture == "granitehybrid") && layer % 2 == 1) || (is_qwen_next && layer % 2 == 0) ||
             architecture == "mamba2";
    };
    const bool has_state_space = is_one_of({"mamba2", "granitehybrid", "falcon-h1"});
    if (is_qwen_next || has_state_space) {
      file.add_u32(key("ssm.time_step_rank"), n_state_heads).add_u32(key("ssm.group_count"), n_state_keys);
      file.add_u32(key("ssm.state_size"), state_key_dim).add_u32(key("ssm.inner_size"), n_state_heads * state_value_dim);
      file.add_u32(key("ssm.conv_kernel"), 4).add_u32(key("full_attention_interval"), 2);
    }
    if (is_lfm2 || architecture == "granitehybrid") {
      std::vector<std::int32_t> of_layers;
      for (std::uint32_t i = 0; i < n_layers; ++i) of_layers.push_back(is_recurrent(i) ? 0 : static_cast<std::int32_t>(n_kv_heads));
      file.add_i32s(key("attention.head_count_kv"), of_layers);
      if (is_lfm2) file.add_u32(key("shortconv.l_cache"), 3);
    } else if (architecture == "deepseek2") {
      file.add_u32(key("attention.head_count_kv"), is_older_form ? n_heads : 1);
    } else {
      file.add_u32(key("attention.head_count_kv"), n_kv_heads);
    }
    const std::uint32_t n_rot = architecture == "deepseek2" ? head_dim / 4 * 2 : head_dim, rank = 20;
    const std::uint32_t key_dim = head_dim + n_rot, value_dim = head_dim + 3;  // with latent attention
    if (architecture == "deepseek2") {
      file.add_u32(key("attention.key_length"), is_older_form ? key_dim : rank + n_rot);
      file.add_u32(key("attention.value_length"), is_older_form ? value_dim : rank);
      file.add_u32(key("attention.kv_lora_rank"), rank).add_u32(key("attention.q_lora_rank"), query_rank);
      if (!is_older_form) {
        file.add_u32(key("attention.key_length_mla"), key_dim).add_u32(key("attention.value_length_mla"), value_dim);
      }
      file.add_u32(key("expert_shared_count"), 2);
      file.add_f32(key("expert_weights_scale"), 2.5F);
    } else {
      file.add_u32(key("attention.key_length"), head_dim).add_u32(key("attention.value_length"), head_dim);
    }
    if (is_one_of({"deepseek2", "lfm2moe"})) file.add_u32(key("leading_dense_block_count"), 1);
    if (architecture == "lfm2moe") file.add_u32(key("expert_gating_func"), 2);
    if (architecture != "mamba2") file.add_u32(key("rope.dimension_count"), n_rot);
    file.add_u32(key("vocab_size"), vocab_size);
    file.add_f32(key("attention.layer_norm_rms_epsilon"), 1e-5F);
    file.add_u32(key("attention.sliding_window"), 20);  // less than one block, and than texts of tests

    const bool with_experts = has_experts || is_one_of({"qwen3moe", "granitemoe", "gpt-oss", "deepseek2", "qwen35moe", "qwen3next", "lfm2moe"});
    const bool experts_share = is_one_of({"llama", "mistral3", "granitemoe", "granitehybrid"});
    const std::uint32_t expert_dim = experts_share ? ffn_dim : expert_ffn_dim;
    const std::uint32_t shared_dim = architecture == "deepseek2" ? 2 * expert_dim : 24;
    if (with_experts) {
      file.add_u32(key("expert_count"), n_experts).add_u32(key("expert_used_count"), n_experts_used);
      file.add_u32(key("expert_feed_forward_length"), expert_dim);
      file.add_u32(key("expert_shared_feed_forward_length"), shared_dim);
    }
    if (is_one_of({"granite", "granitemoe", "granitehybrid"})) {
      file.add_f32(key("embedding_scale"), 1.5F).add_f32(key("residual_scale"), 0.6F);
      file.add_f32(key("attention.scale"), 0.2F).add_f32(key("logit_scale"), 2.0F);
    }
    if (architecture == "gemma2") {
      file.add_f32(key("attn_logit_softcapping"), 4.0F).add_f32(key("final_logit_softcapping"), 3.0F);
    }
    if (architecture == "mistral3") {
      file.add_f32(key("attention.temperature_scale"), 0.3F).add_u32(key("rope.scaling.original_context_length"), 16);
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
      if (has_bias) add(name + ".bias", n_rows, n_experts, 0.0F, 0.3F);
    };
    const std::uint64_t q_dim = std::uint64_t{n_heads} * head_dim, kv_dim = std::uint64_t{n_kv_heads} * head_dim;
    const bool norms_rows = architecture == "olmo2", has_gate_in_up = is_one_of({"phi3", "glm4"});
    add("token_embd.weight", hidden_dim, vocab_size, 0.0F, 1.0F);
    for (std::uint32_t layer = 0; layer < n_layers; ++layer) {
      const std::string p = "blk." + std::to_string(layer) + ".";
      add(p + "attn_norm.weight", hidden_dim, 1, 1.0F, 0.2F);
      if (is_recurrent(layer) && is_qwen_next) {
        const std::uint64_t of_keys = n_state_keys * state_key_dim, of_values = n_state_heads * state_value_dim;
        if (is_older_form) {
          matrix(p + "ssm_in", hidden_dim, 2 * of_keys + 2 * of_values);
        } else {
          matrix(p + "attn_qkv", hidden_dim, 2 * of_keys + of_values);
          matrix(p + "attn_gate", hidden_dim, of_values);
        }
        if (architecture == "qwen3next") {
          matrix(p + "ssm_ba", hidden_dim, 2 * n_state_heads);
        } else {
          matrix(p + "ssm_beta", hidden_dim, n_state_heads);
          matrix(p + "ssm_alpha", hidden_dim, n_state_heads);
        }
        add(p + "ssm_conv1d.weight", 4, 2 * of_keys + of_values, 0.0F, 0.6F);
        add(p + "ssm_dt.bias", n_state_heads, 1, 0.0F, 0.5F);
        add(p + "ssm_a", n_state_heads, 1, -0.5F, 0.1F);
        add(p + "ssm_norm.weight", state_value_dim, 1, 1.0F, 0.2F);
        matrix(p + "ssm_out", of_values, hidden_dim);
      } else if (is_recurrent(layer) && is_lfm2) {
        matrix(p + "shortconv.in_proj", hidden_dim, 3 * hidden_dim);
        matrix(p + "shortconv.out_proj", hidden_dim, hidden_dim);
        add(p + "shortconv.conv.weight", 3, hidden_dim, 0.0F, 0.6F);
      } else if (architecture == "deepseek2") {
        if (query_rank > 0) {
          matrix(p + "attn_q_a", hidden_dim, query_rank);
          add(p + "attn_q_a_norm.weight", query_rank, 1, 1.0F, 0.2F);
        }
        matrix(p + (query_rank > 0 ? "attn_q_b" : "attn_q"), query_rank > 0 ? query_rank : hidden_dim, std::uint64_t{n_heads} * key_dim);
        matrix(p + "attn_kv_a_mqa", hidden_dim, rank + n_rot);
        add(p + "attn_kv_a_norm.weight", rank, 1, 1.0F, 0.2F);
        if (is_older_form) {
          matrix(p + "attn_kv_b", rank, std::uint64_t{n_heads} * (head_dim + value_dim));
        } else {
          add_shape(p + "attn_k_b.weight", {head_dim, rank, n_heads}, 0.0F, 0.3F);
          add_shape(p + "attn_v_b.weight", {rank, value_dim, n_heads}, 0.0F, 0.3F);
        }
        matrix(p + "attn_output", std::uint64_t{n_heads} * value_dim, hidden_dim);
      } else if (!is_recurrent(layer)) {
        matrix(p + "attn_q", hidden_dim, is_qwen_next ? 2 * q_dim : q_dim);
        matrix(p + "attn_k", hidden_dim, kv_dim);
        matrix(p + "attn_v", hidden_dim, kv_dim);
        matrix(p + "attn_output", q_dim, hidden_dim);
        add(p + "attn_q_norm.weight", norms_rows ? q_dim : head_dim, 1, 1.0F, 0.2F);
        add(p + "attn_k_norm.weight", norms_rows ? kv_dim : head_dim, 1, 1.0F, 0.2F);
      }
      if (architecture == "falcon-h1" || (has_state_space && is_recurrent(layer))) {
        const std::uint64_t of_keys = n_state_keys * state_key_dim, of_values = n_state_heads * state_value_dim;
        matrix(p + "ssm_in", hidden_dim, 2 * of_values + 2 * of_keys + n_state_heads);
        add(p + "ssm_conv1d.weight", 4, of_values + 2 * of_keys, 0.0F, 0.6F);
        add(p + "ssm_conv1d.bias", of_values + 2 * of_keys, 1, 0.0F, 0.3F);
        add(p + "ssm_dt.bias", n_state_heads, 1, 0.0F, 0.5F);
        add(p + "ssm_a", 1, n_state_heads, -0.5F, 0.1F);
        add(p + "ssm_d", 1, n_state_heads, 1.0F, 0.3F);
        if (architecture != "falcon-h1" || !is_tied) add(p + "ssm_norm.weight", of_values / n_state_keys, n_state_keys, 1.0F, 0.2F);
        matrix(p + "ssm_out", of_values, hidden_dim);
      }
      add(p + "attn_sinks.weight", n_heads, 1, 0.0F, 1.0F);
      add(p + "post_attention_norm.weight", hidden_dim, 1, 1.0F, 0.2F);
      add(p + (architecture == "falcon-h1" ? "ffn_norm" : "ffn_norm.weight"), hidden_dim, 1, 1.0F, 0.2F);
      add(p + "post_ffw_norm.weight", hidden_dim, 1, 1.0F, 0.2F);
      const auto network = [&](const std::string& suffix, std::uint32_t dim) {
        if (!has_gate_in_up) matrix(p + "ffn_gate" + suffix, hidden_dim, dim);
        matrix(p + "ffn_up" + suffix, hidden_dim, has_gate_in_up ? 2 * dim : dim);
        matrix(p + "ffn_down" + suffix, dim, hidden_dim);
      };
      if (with_experts && (!is_one_of({"deepseek2", "lfm2moe"}) || layer > 0)) {
        matrix(p + "ffn_gate_inp", hidden_dim, n_experts);
        add(p + "exp_probs_b.bias", n_experts, 1, 0.0F, 0.3F);
        if (has_gate_and_up) {
          stack(p + "ffn_gate_up_exps", hidden_dim, 2 * expert_dim);
        } else {
          stack(p + "ffn_gate_exps", hidden_dim, expert_dim);
          stack(p + "ffn_up_exps", hidden_dim, expert_dim);
        }
        stack(p + "ffn_down_exps", expert_dim, hidden_dim);
        network("_shexp", shared_dim);
        add(p + "ffn_gate_inp_shexp.weight", hidden_dim, 1, 0.0F, 0.3F);
      } else {
        network("", ffn_dim);
      }
    }
    add(is_lfm2 ? "token_embd_norm.weight" : "output_norm.weight", hidden_dim, 1, 1.0F, 0.2F);
    if (!is_tied) matrix("output", hidden_dim, vocab_size);
    if (has_rope_factors) {
      for (const char* name : {"rope_freqs.weight", "rope_factors_short.weight", "rope_factors_long.weight"}) {
        add(name, head_dim / 2, 1, 2.0F, 0.5F);
      }
    }
    return file;
  }
};

}  // namespace woolly::test
