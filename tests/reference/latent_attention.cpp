// Multi-head latent attention as DeepSeek-V2's report defines it (arXiv 2405.04434, section 2.1.2 and 2.1.3): keys and values of
// every head are computed from the latent vector, nothing is absorbed.
#include "reference/math.h"
#include "reference/mixers.h"

namespace woolly::reference {
namespace {

class LatentAttention : public Mixer {
 public:
  Linear query_down, query;        ///< Of the input, or of what `query_down` makes of it.
  std::vector<float> query_norm;   ///< Empty: there is no query_down.
  Linear key_value_down;           ///< [rank + n_rot, hidden_dim]
  std::vector<float> latent_norm;  ///< [rank]
  std::vector<Linear> keys, values;  ///< By head: [rank, unrotated] whose transpose makes keys, or [unrotated, rank]; values
  bool keys_are_transposed = true;
  Linear out;
  std::size_t key_dim = 0;
  double eps = 0, scale = 0;
  Rope rope;
  double temperature = 0;
  std::size_t temperature_length = 0;

  [[nodiscard]] std::vector<Vector> mix(const std::vector<Vector>& x) const override {
    const std::size_t n_heads = keys.size(), rank = latent_norm.size(), unrotated = key_dim - rope.n_rot;
    std::vector<std::vector<Vector>> past_keys(n_heads), past_values(n_heads);
    std::vector<Vector> all;
    for (std::size_t position = 0; position < x.size(); ++position) {
      Vector q = x[position];
      if (!query_norm.empty()) q = rms_norm(multiply(query_down, q), query_norm, eps);
      q = multiply(query, q);
      Vector down = multiply(key_value_down, x[position]);
      const Vector latent = rms_norm(std::span(down).first(rank), latent_norm, eps);
      const std::span<double> shared = std::span(down).subspan(rank);
      rotate(rope, shared, position);
      Vector attended;
      for (std::size_t head = 0; head < n_heads; ++head) {
        Vector key = keys_are_transposed ? multiply_transposed(keys[head], latent) : multiply(keys[head], latent);
        key.insert(key.end(), shared.begin(), shared.end());
        past_keys[head].push_back(std::move(key));
        past_values[head].push_back(multiply(values[head], latent));
        const std::span<double> of_head = std::span(q).subspan(head * key_dim, key_dim);
        rotate(rope, of_head.subspan(unrotated), position);
        if (temperature != 0) {
          const double grown = std::floor(static_cast<double>(position) / static_cast<double>(temperature_length));
          for (double& value : of_head) value *= 1 + temperature * std::log(1 + grown);
        }
        const Vector y = attend(of_head, past_keys[head], past_values[head]);
        attended.insert(attended.end(), y.begin(), y.end());
      }
      all.push_back(multiply(out, attended));
    }
    return all;
  }

 private:
  static Vector multiply_transposed(const Linear& linear, const Vector& x) {
    Vector y(linear.n_cols);
    for (std::size_t row = 0; row < linear.n_rows; ++row) {
      for (std::size_t i = 0; i < y.size(); ++i) y[i] += static_cast<double>(linear.weight[row * linear.n_cols + i]) * x[row];
    }
    return y;
  }

  [[nodiscard]] Vector attend(std::span<const double> q, const std::vector<Vector>& k, const std::vector<Vector>& v) const {
    Vector weights;
    for (const Vector& key : k) {
      double score = 0;
      for (std::size_t i = 0; i < q.size(); ++i) score += q[i] * key[i];
      weights.push_back(score * scale);
    }
    softmax(weights);
    Vector y(v.front().size());
    for (std::size_t past = 0; past < v.size(); ++past) add(y, v[past], weights[past]);
    return y;
  }
};

/// `n_rows` rows from `first` on of a tensor of rows of `n_cols`.
Linear rows_of(const std::vector<float>& all, std::size_t n_cols, std::size_t first, std::size_t n_rows) {
  const auto begin = all.begin() + static_cast<std::ptrdiff_t>(first * n_cols);
  return {.n_rows = n_rows, .n_cols = n_cols, .weight = {begin, begin + static_cast<std::ptrdiff_t>(n_rows * n_cols)}, .bias = {}};
}

Status read_keys_and_values(FileReader& file, const std::string& prefix, std::size_t n_heads, std::size_t rank,
                            std::size_t unrotated, std::size_t value_dim, LatentAttention& mixer) {
  mixer.keys_are_transposed = !file.has(prefix + "attn_kv_b.weight");
  if (!mixer.keys_are_transposed) {
    const std::size_t of_head = unrotated + value_dim;
    WOOLLY_TRY(const std::vector<float> both, file.read(prefix + "attn_kv_b.weight", rank, n_heads * of_head));
    for (std::size_t head = 0; head < n_heads; ++head) {
      mixer.keys.push_back(rows_of(both, rank, head * of_head, unrotated));
      mixer.values.push_back(rows_of(both, rank, head * of_head + unrotated, value_dim));
    }
    return {};
  }
  WOOLLY_TRY(const std::vector<float> keys, file.read(prefix + "attn_k_b.weight", unrotated, n_heads * rank));
  WOOLLY_TRY(const std::vector<float> values, file.read(prefix + "attn_v_b.weight", rank, n_heads * value_dim));
  for (std::size_t head = 0; head < n_heads; ++head) {
    mixer.keys.push_back(rows_of(keys, unrotated, head * rank, rank));
    mixer.values.push_back(rows_of(values, rank, head * value_dim, value_dim));
  }
  return {};
}

/// How YaRN changes the scores (the authors' modeling_deepseek.py: mscale and mscale_all_dim are the same number, of which the
/// file has a tenth), and what is left for the rotated elements.
Status read_yarn(FileReader& file, LatentAttention& mixer) {
  WOOLLY_TRY(const double tenth, file.find_float("rope.scaling.yarn_log_multiplier", 0));
  const double logarithm = std::log(mixer.rope.factor);
  double rotated = mixer.rope.is_yarn ? 1 + 0.1 * logarithm : 1;
  if (mixer.rope.is_yarn && tenth != 0) {
    mixer.rope.magnitude /= rotated;
    rotated = 1;
  }
  const double of_all = rotated * (1 + tenth * logarithm);
  mixer.scale = of_all * of_all / std::sqrt(static_cast<double>(mixer.key_dim));
  return {};
}

}  // namespace

Result<MixerPtr> read_latent_attention(FileReader& file, const std::string& prefix, std::size_t hidden_dim, std::size_t n_heads,
                                       double eps, const Rope& rope) {
  auto mixer = std::make_shared<LatentAttention>();
  mixer->eps = eps;
  mixer->rope = rope;
  WOOLLY_TRY(const std::size_t rank, file.find_uint("attention.kv_lora_rank", 0));
  WOOLLY_TRY(const std::size_t key_length, file.find_uint("attention.key_length", 0));
  WOOLLY_TRY(const std::size_t value_length, file.find_uint("attention.value_length", 0));
  WOOLLY_TRY(mixer->key_dim, file.find_uint("attention.key_length_mla", key_length));
  WOOLLY_TRY(const std::size_t value_dim, file.find_uint("attention.value_length_mla", value_length));
  WOOLLY_CHECK(read_yarn(file, *mixer));
  WOOLLY_TRY(mixer->temperature, file.find_float("attention.temperature_scale", 0));
  WOOLLY_TRY(mixer->temperature_length, file.find_uint("attention.temperature_length", 1));
  const std::size_t q_dim = n_heads * mixer->key_dim;
  if (file.has(prefix + "attn_q.weight")) {
    WOOLLY_TRY(mixer->query, file.read_linear(prefix + "attn_q", hidden_dim, q_dim, {}));
  } else {
    WOOLLY_TRY(const std::size_t query_rank, file.find_uint("attention.q_lora_rank", 0));
    WOOLLY_TRY(mixer->query_down, file.read_linear(prefix + "attn_q_a", hidden_dim, query_rank, {}));
    WOOLLY_TRY(mixer->query_norm, file.read(prefix + "attn_q_a_norm.weight", query_rank, 1));
    WOOLLY_TRY(mixer->query, file.read_linear(prefix + "attn_q_b", query_rank, q_dim, {}));
  }
  WOOLLY_TRY(mixer->key_value_down, file.read_linear(prefix + "attn_kv_a_mqa", hidden_dim, rank + rope.n_rot, {}));
  WOOLLY_TRY(mixer->latent_norm, file.read(prefix + "attn_kv_a_norm.weight", rank, 1));
  WOOLLY_CHECK(read_keys_and_values(file, prefix, n_heads, rank, mixer->key_dim - rope.n_rot, value_dim, *mixer));
  WOOLLY_TRY(mixer->out, file.read_linear(prefix + "attn_output", n_heads * value_dim, hidden_dim, {.has_scale = true}));
  return MixerPtr(std::move(mixer));
}

}  // namespace woolly::reference
