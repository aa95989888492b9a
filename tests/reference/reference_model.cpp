#include "reference/reference_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numbers>
#include <optional>
#include <string_view>
#include <utility>

#include "base/assert.h"
#include "gguf/load.h"
#include "reference/file_reader.h"
#include "reference/math.h"
#include "reference/mixers.h"

namespace woolly::reference {

// -- loading --------------------------------------------------------------------------------------------------------

/// Reads the keys and tensors that the architectures define and nothing else. What a file may leave out, and what
/// it means then, follows llama.cpp (src/llama-model.cpp and the architectures' files in src/models at v0.5.0).
class Loader : FileReader {
 public:
  Loader(const gguf::File& file, const os::TensorSource& source) : FileReader(file, source) {}

  Result<ReferenceModel> load() {
    WOOLLY_TRY(architecture_, file_.metadata.get_string("general.architecture"));
    if (!is_one_of({"llama", "mistral3", "qwen2", "qwen3", "qwen3moe", "gemma2", "gemma3", "phi3", "granite", "granitemoe",
                    "olmo2", "glm4", "smollm3", "gpt-oss", "lfm2", "deepseek2", "qwen35", "qwen35moe", "qwen3next",
                    "mamba2", "granitehybrid", "falcon-h1", "lfm2moe"})) {
      return Error{ErrorCode::kUnsupported, fmt::format("the reference has no architecture {}", architecture_)};
    }
    is_llama_ = is_one_of({"llama", "mistral3", "granite", "granitemoe", "granitehybrid"});
    is_lfm2_ = is_one_of({"lfm2", "lfm2moe"});
    is_granite_ = is_one_of({"granite", "granitemoe", "granitehybrid"});
    must_have_experts_ = is_one_of({"qwen3moe", "granitemoe", "gpt-oss", "deepseek2", "qwen35moe", "qwen3next", "lfm2moe"});
    is_qwen_next_ = is_one_of({"qwen35", "qwen35moe", "qwen3next"});
    WOOLLY_CHECK(read_shape());
    WOOLLY_CHECK(read_factors());
    WOOLLY_CHECK(read_rope());
    WOOLLY_CHECK(read_windows());
    WOOLLY_CHECK(read_tensors());
    return std::move(model_);
  }

 private:
  Status read_shape() {
    const gguf::Metadata& metadata = file_.metadata;
    WOOLLY_TRY(const std::uint64_t n_layers, metadata.get_uint(key("block_count")));
    WOOLLY_TRY(const std::uint64_t hidden_dim, metadata.get_uint(key("embedding_length")));
    WOOLLY_TRY(const float rms_eps, metadata.get_float(key("attention.layer_norm_rms_epsilon")));
    model_.hidden_dim_ = hidden_dim;
    model_.rms_eps_ = static_cast<double>(rms_eps);
    if (architecture_ == "mamba2") return model_.layers_.resize(n_layers), Status();
    WOOLLY_TRY(const std::uint64_t ffn_dim, metadata.get_uint(key("feed_forward_length")));
    WOOLLY_TRY(const std::size_t n_more, find_uint("nextn_predict_layers", 0));
    model_.layers_.resize(n_layers - (is_qwen_next_ ? n_more : 0));
    if (is_qwen_next_) WOOLLY_CHECK(read_recurrent_layers());
    WOOLLY_TRY(const std::size_t n_heads, read_heads("attention.head_count"));
    WOOLLY_TRY(model_.n_kv_heads_, read_heads("attention.head_count_kv"));
    if (n_heads == 0 || model_.n_kv_heads_ == 0 || n_heads % model_.n_kv_heads_ != 0) {
      return Error{ErrorCode::kInvalidFile, fmt::format("{} heads, {} KV heads", n_heads, model_.n_kv_heads_)};
    }
    WOOLLY_TRY(model_.head_dim_, find_uint("attention.key_length", hidden_dim / n_heads));
    WOOLLY_TRY(const std::size_t value_length, find_uint("attention.value_length", model_.head_dim_));
    WOOLLY_TRY(const auto is_causal, metadata.find_bool(key("attention.causal")));
    WOOLLY_TRY(const std::size_t n_experts, find_uint("expert_count", 0));
    has_experts_ = n_experts != 0 && (must_have_experts_ || is_one_of({"llama", "mistral3", "granitehybrid"}));
    if ((value_length != model_.head_dim_ && architecture_ != "deepseek2") || !is_causal.value_or(true) || (must_have_experts_ && n_experts == 0)) {
      return Error{ErrorCode::kUnsupported, "the reference has no attention to what follows, and keys as long as values"};
    }
    if (has_experts_) {
      model_.n_experts_ = n_experts;
      WOOLLY_TRY(model_.n_experts_used_, find_uint("expert_used_count", 0));
      WOOLLY_TRY(model_.expert_scale_, find_float("expert_weights_scale", 1));
      if (model_.n_experts_used_ == 0 || model_.n_experts_used_ > n_experts) {
        return Error{ErrorCode::kInvalidFile, fmt::format("{} of {} experts", model_.n_experts_used_, n_experts)};
      }
      WOOLLY_TRY(model_.expert_ffn_dim_, find_uint("expert_feed_forward_length", ffn_dim / model_.n_experts_used_));
      if (is_llama_) model_.expert_ffn_dim_ = ffn_dim;
      if (is_one_of({"deepseek2", "lfm2moe"})) WOOLLY_CHECK(read_gating());
    }
    model_.ffn_dim_ = ffn_dim;
    model_.n_heads_ = n_heads;
    return {};
  }

  Status read_recurrent_layers() {
    WOOLLY_TRY(const std::size_t interval, find_uint("full_attention_interval", 4));
    std::vector<std::int64_t> flags;
    if (file_.metadata.has(key("attention.recurrent_layers"))) {
      WOOLLY_TRY(flags, file_.metadata.ints(key("attention.recurrent_layers")));
    }
    for (std::size_t i = 0; i < model_.layers_.size(); ++i) {
      is_recurrent_.push_back(flags.empty() ? (i + 1) % interval != 0 : flags.at(i) != 0);
    }
    return {};
  }

  Status read_gating() {
    Gating& gating = model_.gating_;
    WOOLLY_TRY(const std::size_t function, find_uint("expert_gating_func", 1));
    gating.is_sigmoid = function == 2;
    WOOLLY_TRY(const auto normalizes, file_.metadata.find_bool(key("expert_weights_norm")));
    gating.normalizes = normalizes.value_or(false) || architecture_ == "lfm2moe";
    WOOLLY_TRY(gating.n_groups, find_uint("expert_group_count", 1));
    WOOLLY_TRY(gating.n_groups_used, find_uint("expert_group_used_count", gating.n_groups));
    return {};
  }

  /// Heads of the layers that have any; an array has 0 for those that are recurrent.
  Result<std::size_t> read_heads(std::string_view name) {
    const gguf::Value* value = file_.metadata.find(key(name));
    if ((!is_lfm2_ && architecture_ != "granitehybrid") || value == nullptr || value->type != gguf::ValueType::kArray) {
      WOOLLY_TRY(const std::uint64_t unset, file_.metadata.get_uint(key("attention.head_count")));
      return find_uint(name, unset);
    }
    WOOLLY_TRY(const std::vector<std::int64_t> numbers, file_.metadata.ints(key(name)));
    for (std::size_t i = 0; i < model_.layers_.size(); ++i) is_recurrent_.push_back(numbers.at(i) == 0);
    return static_cast<std::size_t>(*std::max_element(numbers.begin(), numbers.end()));
  }

  Status read_factors() {
    const auto hidden = static_cast<double>(model_.hidden_dim_), head = static_cast<double>(model_.head_dim_);
    const auto n_heads = static_cast<double>(model_.n_heads_);
    model_.attention_scale_ = 1 / std::sqrt(head);
    if (is_one_of({"gemma2", "gemma3"})) {
      model_.gate_ = Gate::kGelu;
      model_.embedding_scale_ = std::sqrt(hidden);
      const bool is_27b = model_.layers_.size() == (architecture_ == "gemma2" ? 46 : 62);
      if (is_27b) model_.attention_scale_ = 1 / std::sqrt(hidden / n_heads);
      WOOLLY_TRY(model_.logit_cap_, find_float("final_logit_softcapping", architecture_ == "gemma2" ? 30 : 0));
    }
    if (architecture_ == "gemma2") {
      WOOLLY_TRY(model_.attention_cap_, find_float("attn_logit_softcapping", 50));
    }
    if (is_granite_) {
      WOOLLY_TRY(const double divisor, find_float("logit_scale", 1));
      model_.logit_scale_ = 1 / divisor;
      WOOLLY_TRY(model_.residual_scale_, find_float("residual_scale", 1));
      WOOLLY_TRY(model_.embedding_scale_, find_float("embedding_scale", 1));
      WOOLLY_TRY(model_.attention_scale_, find_float("attention.scale", model_.attention_scale_));
    }
    if (architecture_ == "gpt-oss") model_.gate_ = Gate::kClamped;
    return {};
  }

  Status read_rope() {
    Rope& rope = model_.rope_;
    WOOLLY_TRY(const std::vector<std::int64_t> sections, file_.metadata.ints(key("rope.dimension_sections")));
    const bool has_sections = sections.size() > 1 && sections[0] > 0 && sections[1] > 0;
    const bool turns_neighbours = is_llama_ || is_one_of({"smollm3", "deepseek2"}) || (architecture_ == "glm4" && !has_sections);
    rope.pairs = turns_neighbours ? Rope::Pairs::kNeighbours : Rope::Pairs::kHalves;
    WOOLLY_TRY(rope.n_rot, find_uint("rope.dimension_count", model_.head_dim_));
    if (rope.n_rot > model_.head_dim_ || rope.n_rot % 2 != 0) {
      return Error{ErrorCode::kInvalidFile, fmt::format("{} of {} elements turn", rope.n_rot, model_.head_dim_)};
    }
    WOOLLY_TRY(rope.base, find_float("rope.freq_base", 10000));
    WOOLLY_TRY(rope.magnitude, find_float("rope.scaling.attn_factor", 1));
    WOOLLY_TRY(const auto type, file_.metadata.find_string(key("rope.scaling.type")));
    WOOLLY_TRY(const std::size_t context, find_uint("context_length", 0));
    WOOLLY_TRY(rope.original_context, find_uint("rope.scaling.original_context_length", context));
    if (architecture_ == "mistral3") {
      WOOLLY_TRY(model_.temperature_, find_float("attention.temperature_scale", 0));
      model_.temperature_length_ = rope.original_context;
    }
    if (type == "none") return {};
    if (type.has_value() && type != "linear" && type != "yarn" && type != "longrope") {
      return Error{ErrorCode::kUnsupported, fmt::format("the reference has no RoPE scaling {}", *type)};
    }
    const bool has_factor = file_.metadata.has(key("rope.scaling.factor"));
    WOOLLY_TRY(rope.factor, find_float(has_factor ? "rope.scaling.factor" : "rope.scale_linear", 1));
    rope.is_yarn = type == "yarn";
    if (architecture_ == "mistral3" && rope.is_yarn) {
      WOOLLY_TRY(rope.fast_turns, find_float("rope.scaling.yarn_beta_fast", 32));
      WOOLLY_TRY(rope.slow_turns, find_float("rope.scaling.yarn_beta_slow", 1));
      WOOLLY_TRY(const double multiplier, find_float("rope.scaling.yarn_log_multiplier", 0));
      rope.magnitude /= 1 + 0.1 * multiplier * std::log(rope.factor);
    }
    return {};
  }

  /// Which layers have a window, and which rotary embedding they have.
  Status read_windows() {
    std::size_t unset = 0, every = 0;
    if (architecture_ == "gemma2") {
      unset = 4096;
      every = 2;
    }
    if (architecture_ == "gemma3") every = 6;
    if (architecture_ == "olmo2") every = 4;
    if (architecture_ == "gpt-oss") every = 2;
    std::size_t window = 0;
    if (every != 0) {
      WOOLLY_TRY(window, find_uint("attention.sliding_window", unset));
    }
    if (architecture_ == "lfm2") {  // all layers that attend
      WOOLLY_TRY(window, find_uint("attention.sliding_window", 0));
      for (Layer& layer : model_.layers_) {
        layer.window = window;
        layer.rope = model_.rope_;
      }
      return {};
    }
    std::vector<std::int64_t> flags;
    const gguf::Value* pattern = file_.metadata.find(key("attention.sliding_window_pattern"));
    if (window != 0 && pattern != nullptr && pattern->type == gguf::ValueType::kArray) {
      WOOLLY_TRY(flags, file_.metadata.ints(key("attention.sliding_window_pattern")));
    } else if (window != 0) {
      WOOLLY_TRY(every, find_uint("attention.sliding_window_pattern", every));
    }
    Rope of_window = model_.rope_;
    if (is_one_of({"gemma3", "olmo2"})) {  // their windowed layers are not stretched
      of_window.factor = of_window.magnitude = 1;
      of_window.is_yarn = false;
    }
    if (architecture_ != "olmo2") {
      WOOLLY_TRY(of_window.base, find_float("rope.freq_base_swa", architecture_ == "gemma3" ? 10000 : model_.rope_.base));
    }
    WOOLLY_TRY(const auto is_finetuned, file_.metadata.find_bool(key("rope.scaling.finetuned")));
    for (std::size_t i = 0; i < model_.layers_.size(); ++i) {
      Layer& layer = model_.layers_[i];
      const bool is_windowed = window != 0 && (flags.empty() ? (i + 1) % every != 0 : flags.at(i) != 0);
      layer.window = is_windowed ? window : 0;
      layer.rope = is_windowed ? of_window : model_.rope_;
      if (architecture_ == "smollm3") layer.has_rope = (i + 1) % 4 != 0;
      if (is_one_of({"granite", "granitehybrid"})) layer.has_rope = is_finetuned.value_or(true);
    }
    return {};
  }

  Status read_tensors() {
    const gguf::TensorView* embd = file_.find_tensor("token_embd.weight");
    model_.vocab_size_ = embd != nullptr ? embd->n_rows() : 0;
    const std::size_t vocab = model_.vocab_size_;
    const std::size_t hidden = model_.hidden_dim_;
    WOOLLY_TRY(model_.token_embd_, read("token_embd.weight", hidden, vocab));
    // That of LFM2 is named after the embedding.
    WOOLLY_TRY(model_.output_norm_, read(is_lfm2_ ? "token_embd_norm.weight" : "output_norm.weight", hidden, 1));
    model_.output_ = {.n_rows = vocab, .n_cols = hidden, .weight = model_.token_embd_, .bias = {}};  // "tied"
    if (file_.find_tensor("output.weight") != nullptr) {
      WOOLLY_TRY(model_.output_.weight, read("output.weight", hidden, vocab));
    }
    if (architecture_ == "qwen2") {
      WOOLLY_TRY(model_.output_.bias, read_optional("output.bias", vocab));
    }
    std::vector<float> freq_factors;
    if (is_llama_) {
      WOOLLY_TRY(freq_factors, read_optional("rope_freqs.weight", model_.rope_.n_rot / 2));
    } else if (architecture_ == "phi3") {  // the sequences of tests are not longer than the original context
      WOOLLY_TRY(freq_factors, read_optional("rope_factors_short.weight", model_.rope_.n_rot / 2));
    }
    for (Layer& layer : model_.layers_) layer.rope.freq_factors = freq_factors;
    for (std::size_t i = 0; i < model_.layers_.size(); ++i) {
      WOOLLY_CHECK(read_attention(fmt::format("blk.{}.", i), i));
      WOOLLY_CHECK(read_ffn(fmt::format("blk.{}.", i), i));
    }
    return {};
  }

  Status read_attention(const std::string& prefix, std::size_t index) {
    Layer& layer = model_.layers_[index];
    const std::size_t hidden = model_.hidden_dim_;
    const std::size_t q_dim = model_.n_heads_ * model_.head_dim_;
    const std::size_t kv_dim = model_.n_kv_heads_ * model_.head_dim_;
    if (architecture_ != "olmo2") {
      WOOLLY_TRY(layer.attn_norm, read(prefix + "attn_norm.weight", hidden, 1));
    }
    if (has_post_norms()) {
      WOOLLY_TRY(layer.attn_post_norm, read(prefix + "post_attention_norm.weight", hidden, 1));
      WOOLLY_TRY(layer.ffn_post_norm, read(prefix + "post_ffw_norm.weight", hidden, 1));
    }
    if (architecture_ == "gpt-oss") {
      WOOLLY_TRY(layer.sinks, read(prefix + "attn_sinks.weight", model_.n_heads_, 1));
    }
    layer.attends = is_recurrent_.empty() ? !is_one_of({"deepseek2", "mamba2"}) : !is_recurrent_[index];
    if (is_one_of({"mamba2", "falcon-h1"}) || (architecture_ == "granitehybrid" && !layer.attends)) {
      WOOLLY_TRY(layer.mixer, read_state_space(*this, prefix, hidden, model_.rms_eps_));
    } else if (architecture_ == "deepseek2") {
      WOOLLY_TRY(layer.mixer, read_latent_attention(*this, prefix, hidden, model_.n_heads_, model_.rms_eps_, model_.rope_));
    } else if (is_qwen_next_ && !layer.attends) {
      WOOLLY_TRY(layer.mixer, read_delta_rule(*this, prefix, hidden, model_.rms_eps_));
    } else if (!layer.attends) {
      WOOLLY_TRY(layer.mixer, read_short_convolution(*this, prefix, hidden));
    }
    if (!layer.attends) return {};
    layer.has_gates = is_qwen_next_;
    WOOLLY_TRY(layer.q, read_linear(prefix + "attn_q", hidden, is_qwen_next_ ? 2 * q_dim : q_dim, {.has_bias = true, .has_scale = true}));
    WOOLLY_TRY(layer.k, read_linear(prefix + "attn_k", hidden, kv_dim, {.has_bias = true, .has_scale = true}));
    WOOLLY_TRY(layer.v, read_linear(prefix + "attn_v", hidden, kv_dim, {.has_bias = true, .has_scale = true}));
    WOOLLY_TRY(layer.attn_output,
               read_linear(prefix + "attn_output", q_dim, hidden,
                           {.has_bias = is_llama_ || architecture_ == "gpt-oss", .has_scale = true}));
    if (architecture_ == "olmo2") {
      WOOLLY_TRY(layer.q_norm, read(prefix + "attn_q_norm.weight", q_dim, 1));
      WOOLLY_TRY(layer.k_norm, read(prefix + "attn_k_norm.weight", kv_dim, 1));
    }
    if (is_qwen_next_ || is_lfm2_ || is_one_of({"qwen3", "qwen3moe", "gemma3"})) {
      WOOLLY_TRY(layer.q_norm, read(prefix + "attn_q_norm.weight", model_.head_dim_, 1));
      WOOLLY_TRY(layer.k_norm, read(prefix + "attn_k_norm.weight", model_.head_dim_, 1));
    }
    return {};
  }

  Status read_ffn(const std::string& prefix, std::size_t index) {
    Layer& layer = model_.layers_[index];
    const std::size_t hidden = model_.hidden_dim_;
    layer.has_ffn = architecture_ != "mamba2";
    if (!layer.has_ffn) return {};
    if (architecture_ != "olmo2") {
      const std::string_view name = is_qwen_next_ || architecture_ == "gpt-oss" ? "post_attention_norm" : "ffn_norm";
      const std::string_view ending = architecture_ == "falcon-h1" ? "" : ".weight";
      WOOLLY_TRY(layer.ffn_norm, read(fmt::format("{}{}{}", prefix, name, ending), hidden, 1));
    }
    std::size_t n_dense = 0;
    if (is_one_of({"deepseek2", "lfm2moe"})) {
      WOOLLY_TRY(n_dense, find_uint("leading_dense_block_count", 0));
    }
    if (!has_experts_ || index < n_dense) return read_network(prefix, "", model_.ffn_dim_, layer.ffn);
    std::size_t shared_dim = 0;
    if (architecture_ == "deepseek2") {
      WOOLLY_TRY(const std::size_t n_shared, find_uint("expert_shared_count", 0));
      shared_dim = n_shared * model_.expert_ffn_dim_;
    }
    if (is_one_of({"deepseek2", "lfm2moe"})) {
      WOOLLY_TRY(layer.selection_bias, read_optional(prefix + "exp_probs_b.bias", model_.n_experts_));
    }
    if (is_one_of({"granitemoe", "granitehybrid"})) {
      WOOLLY_TRY(shared_dim, find_uint("expert_shared_feed_forward_length", 0));
    }
    if (is_qwen_next_) {
      WOOLLY_TRY(shared_dim, find_uint("expert_shared_feed_forward_length", model_.ffn_dim_));
      WOOLLY_TRY(layer.shared_gate, read_linear(prefix + "ffn_gate_inp_shexp", hidden, 1, {}));
    }
    layer.has_ffn = shared_dim != 0;
    if (layer.has_ffn) WOOLLY_CHECK(read_network(prefix, "_shexp", shared_dim, layer.ffn));
    return read_experts(prefix, layer);
  }

  Status read_network(const std::string& prefix, const std::string& suffix, std::size_t ffn, Expert& network) {
    const std::size_t hidden = model_.hidden_dim_;
    const Optional optional{.has_bias = is_llama_ || architecture_ == "falcon-h1",
                            .has_scale = is_qwen_next_ || is_one_of({"llama", "mistral3", "qwen3"}),
                            .scales_bias = true};
    WOOLLY_TRY(network.down, read_linear(prefix + "ffn_down" + suffix, ffn, hidden, optional));
    if (is_one_of({"phi3", "glm4"})) {  // one matrix holds both
      WOOLLY_TRY(network.gate, read_linear(prefix + "ffn_up", hidden, 2 * ffn, optional));
      cut_in_two(network);
      return {};
    }
    WOOLLY_TRY(network.gate, read_linear(prefix + "ffn_gate" + suffix, hidden, ffn, optional));
    WOOLLY_TRY(network.up, read_linear(prefix + "ffn_up" + suffix, hidden, ffn, optional));
    return {};
  }

  /// Gives the second half of the rows of `gate` to `up`.
  static void cut_in_two(Expert& network) {
    network.gate.n_rows /= 2;
    network.up = network.gate;
    const auto half = static_cast<std::ptrdiff_t>(network.gate.n_rows * network.gate.n_cols);
    network.up.weight.erase(network.up.weight.begin(), network.up.weight.begin() + half);
  }

  [[nodiscard]] bool has_post_norms() const { return is_one_of({"gemma2", "gemma3", "olmo2", "glm4"}); }

  Status read_experts(const std::string& prefix, Layer& layer) {
    const std::size_t hidden = model_.hidden_dim_, ffn = model_.expert_ffn_dim_;
    WOOLLY_TRY(layer.router,
               read_linear(prefix + "ffn_gate_inp", hidden, model_.n_experts_, {.has_bias = architecture_ == "gpt-oss"}));
    layer.experts.resize(model_.n_experts_);
    if (has(prefix + "ffn_gate_up_exps.weight")) {  // of each expert both, one after the other
      WOOLLY_CHECK(read_stack(prefix + "ffn_gate_up_exps", hidden, 2 * ffn, layer.experts, &Expert::gate));
      for (Expert& expert : layer.experts) cut_in_two(expert);
    } else {
      WOOLLY_CHECK(read_stack(prefix + "ffn_gate_exps", hidden, ffn, layer.experts, &Expert::gate));
      WOOLLY_CHECK(read_stack(prefix + "ffn_up_exps", hidden, ffn, layer.experts, &Expert::up));
    }
    return read_stack(prefix + "ffn_down_exps", ffn, hidden, layer.experts, &Expert::down);
  }

  /// One matrix of each expert, from a tensor that holds them one after the other.
  Status read_stack(const std::string& name, std::size_t n_cols, std::size_t n_rows, std::vector<Expert>& experts,
                    Linear Expert::* matrix) {
    WOOLLY_TRY(const std::vector<float> all, read(name + ".weight", n_cols, n_rows * experts.size()));
    std::vector<float> scales, biases;
    if (is_qwen_next_ || is_one_of({"llama", "mistral3", "qwen3moe"})) {
      WOOLLY_TRY(scales, read_optional(name + ".scale", experts.size()));
    }
    if (architecture_ == "gpt-oss" && file_.find_tensor(name + ".bias") != nullptr) {
      WOOLLY_TRY(biases, read(name + ".bias", n_rows, experts.size()));
    }
    for (std::size_t i = 0; i < experts.size(); ++i) {
      const auto first = all.begin() + static_cast<std::ptrdiff_t>(i * n_rows * n_cols);
      Linear& linear = experts[i].*matrix;
      linear = {.n_rows = n_rows,
                .n_cols = n_cols,
                .weight = {first, first + static_cast<std::ptrdiff_t>(n_rows * n_cols)},
                .bias = {}};
      if (!scales.empty()) linear.scale = static_cast<double>(scales[i]);
      if (!biases.empty()) {
        const auto bias = biases.begin() + static_cast<std::ptrdiff_t>(i * n_rows);
        linear.bias.assign(bias, bias + static_cast<std::ptrdiff_t>(n_rows));
      }
    }
    return {};
  }

  ReferenceModel model_;
  bool is_llama_ = false;  ///< With the optional biases of llama.
  bool is_lfm2_ = false, is_granite_ = false;
  bool must_have_experts_ = false;
  bool has_experts_ = false;
  bool is_qwen_next_ = false;  ///< Qwen3-Next and Qwen3.5.
  std::vector<bool> is_recurrent_;  ///< By layer, or empty.
};

Result<ReferenceModel> ReferenceModel::load(const gguf::File& file, const os::TensorSource& source) {
  return Loader(file, source).load();
}

Result<ReferenceModel> ReferenceModel::open(const std::filesystem::path& path) {
  WOOLLY_TRY(const os::TensorSource source, os::TensorSource::open(path));
  WOOLLY_TRY(const gguf::File file, gguf::load(source));
  return load(file, source);
}

// -- computing ------------------------------------------------------------------------------------------------------

std::vector<Vector> ReferenceModel::mix(const Layer& layer, const std::vector<Vector>& x) const {
  std::vector<Vector> normed;
  for (const Vector& row : x) normed.push_back(norm_if_any(row, layer.attn_norm, rms_eps_));
  return layer.mixer->mix(normed);
}

void ReferenceModel::attend(const Layer& layer, std::vector<Vector>& x) const {
  std::vector<Vector> keys, values;  // [position][n_kv_heads * head_dim]
  for (std::size_t position = 0; position < x.size(); ++position) {
    const Vector normed = norm_if_any(x[position], layer.attn_norm, rms_eps_);
    Vector query = multiply(layer.q, normed), gates;
    if (layer.has_gates) {  // of each head the query, then its gates
      const Vector both = std::exchange(query, {});
      for (std::size_t i = 0; i < both.size(); ++i) (i / head_dim_ % 2 == 0 ? query : gates).push_back(both[i]);
    }
    keys.push_back(multiply(layer.k, normed));
    values.push_back(multiply(layer.v, normed));

    const auto head_of = [&](Vector& vector, std::size_t head) {
      return std::span(vector).subspan(head * head_dim_, head_dim_);
    };
    const auto norm_all = [&](std::span<double> heads, std::span<const float> norm) {
      for (std::size_t at = 0; !norm.empty() && at < heads.size(); at += norm.size()) {
        const auto part = heads.subspan(at, norm.size());
        rms_norm(part, norm, rms_eps_, part);
      }
    };
    norm_all(query, layer.q_norm);
    norm_all(keys.back(), layer.k_norm);
    const auto turn = [&](std::span<double> head) {
      if (layer.has_rope) rotate(layer.rope, head, position);
    };
    for (std::size_t head = 0; head < n_heads_; ++head) turn(head_of(query, head));
    for (std::size_t head = 0; head < n_kv_heads_; ++head) turn(head_of(keys.back(), head));

    if (temperature_ != 0) {
      const double grown = std::floor(static_cast<double>(position) / static_cast<double>(temperature_length_));
      for (double& value : query) value *= 1 + temperature_ * std::log(1 + grown);
    }

    const std::size_t first = layer.window == 0 || position < layer.window ? 0 : position + 1 - layer.window;
    Vector attended(n_heads_ * head_dim_);
    for (std::size_t head = 0; head < n_heads_; ++head) {
      const std::size_t kv_head = head / (n_heads_ / n_kv_heads_);
      const auto q = head_of(query, head);
      Vector weights;  // of the positions from `first` on, and of the sink
      for (std::size_t past = first; past <= position; ++past) {
        const auto k = head_of(keys[past], kv_head);
        double score = 0;
        for (std::size_t i = 0; i < head_dim_; ++i) score += q[i] * k[i];
        weights.push_back(capped(score * attention_scale_, attention_cap_));
      }
      if (!layer.sinks.empty()) weights.push_back(static_cast<double>(layer.sinks[head]));
      softmax(weights);
      const auto out = head_of(attended, head);
      for (std::size_t past = first; past <= position; ++past) {
        const auto v = head_of(values[past], kv_head);
        for (std::size_t i = 0; i < head_dim_; ++i) out[i] += weights[past - first] * v[i];
      }
    }
    for (std::size_t i = 0; i < gates.size(); ++i) attended[i] /= 1 + std::exp(-gates[i]);
    add(x[position], norm_if_any(multiply(layer.attn_output, attended), layer.attn_post_norm, rms_eps_), residual_scale_);
  }
}

Vector ReferenceModel::gated_network(const Expert& network, const Vector& x) const {
  Vector hidden = multiply(network.gate, x);
  const Vector upper = multiply(network.up, x);
  for (std::size_t i = 0; i < hidden.size(); ++i) {
    const double g = hidden[i], u = upper[i];
    switch (gate_) {
      case Gate::kSilu: hidden[i] = g / (1 + std::exp(-g)) * u; break;
      case Gate::kGelu:
        hidden[i] = g / 2 * (1 + std::tanh(std::sqrt(2 / std::numbers::pi) * (g + 0.044715 * g * g * g))) * u;
        break;
      case Gate::kClamped: {
        const double low = std::min(g, 7.0);
        hidden[i] = low / (1 + std::exp(-1.702 * low)) * (1 + std::clamp(u, -7.0, 7.0));
        break;
      }
    }
  }
  return multiply(network.down, hidden);
}

Vector ReferenceModel::experts(const Layer& layer, const Vector& normed) const {
  Vector probabilities = multiply(layer.router, normed);
  if (gating_.is_sigmoid) {
    for (double& value : probabilities) value = 1 / (1 + std::exp(-value));
  } else {
    softmax(probabilities);
  }
  Vector scores = probabilities;  // what experts are chosen by
  for (std::size_t i = 0; i < layer.selection_bias.size(); ++i) scores[i] += static_cast<double>(layer.selection_bias[i]);
  const auto best_of = [](const Vector& of, std::size_t n) {
    std::vector<std::size_t> order(of.size());
    for (std::size_t i = 0; i < of.size(); ++i) order[i] = i;
    std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return of[a] > of[b] || (of[a] == of[b] && a < b); });
    order.resize(n);
    return order;
  };
  if (gating_.n_groups > 1) {
    const std::size_t size = n_experts_ / gating_.n_groups;
    Vector of_groups;
    for (std::size_t group = 0; group < gating_.n_groups; ++group) {
      Vector of_group(scores.begin() + static_cast<std::ptrdiff_t>(group * size),
                      scores.begin() + static_cast<std::ptrdiff_t>((group + 1) * size));
      std::sort(of_group.begin(), of_group.end(), std::greater());
      of_groups.push_back(of_group[0] + (size > 1 ? of_group[1] : 0));
    }
    const std::vector<std::size_t> groups = best_of(of_groups, gating_.n_groups_used);
    for (std::size_t i = 0; i < n_experts_; ++i) {
      if (std::find(groups.begin(), groups.end(), i / size) == groups.end()) scores[i] = -std::numeric_limits<double>::infinity();
    }
  }
  const std::vector<std::size_t> order = best_of(scores, n_experts_used_);
  double sum = 0;
  for (const std::size_t expert : order) sum += probabilities[expert];
  if (!gating_.normalizes) sum = 1;
  Vector out(hidden_dim_);
  for (const std::size_t expert : order) {
    const Expert& of = layer.experts[expert];
    const double weight = probabilities[expert] / sum * expert_scale_;
    const Vector y = gated_network(of, normed);
    for (std::size_t i = 0; i < out.size(); ++i) out[i] += weight * y[i];
  }
  return out;
}

void ReferenceModel::feed_forward(const Layer& layer, Vector& x) const {
  const Vector normed = norm_if_any(x, layer.ffn_norm, rms_eps_);
  Vector out(hidden_dim_);
  if (layer.has_ffn) out = gated_network(layer.ffn, normed);
  if (layer.shared_gate.n_rows != 0) {
    const double gate = multiply(layer.shared_gate, normed)[0];
    for (double& value : out) value /= 1 + std::exp(-gate);
  }
  if (!layer.experts.empty()) add(out, experts(layer, normed));
  add(x, norm_if_any(out, layer.ffn_post_norm, rms_eps_), residual_scale_);
}

std::vector<float> ReferenceModel::logits(std::span<const TokenId> tokens) const {
  std::vector<Vector> x;  // [n_tokens][hidden_dim], the residual stream
  for (const TokenId token : tokens) {
    WOOLLY_ASSERT(token.value >= 0 && static_cast<std::size_t>(token.value) < vocab_size_);
    const auto row = std::span(token_embd_).subspan(static_cast<std::size_t>(token.value) * hidden_dim_, hidden_dim_);
    x.emplace_back(row.begin(), row.end());
    for (double& value : x.back()) value *= embedding_scale_;
  }
  for (const Layer& layer : layers_) {
    std::vector<Vector> mixed;
    if (layer.mixer != nullptr) mixed = mix(layer, x);
    if (layer.attends) attend(layer, x);
    for (std::size_t i = 0; i < mixed.size(); ++i) add(x[i], mixed[i], residual_scale_);
    for (Vector& row : x) feed_forward(layer, row);
  }
  std::vector<float> logits;
  logits.reserve(tokens.size() * vocab_size_);
  for (const Vector& row : x) {
    for (const double logit : multiply(output_, rms_norm(row, output_norm_, rms_eps_))) {
      logits.push_back(static_cast<float>(capped(logit * logit_scale_, logit_cap_)));
    }
  }
  return logits;
}

}  // namespace woolly::reference
