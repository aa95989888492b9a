// Gated DeltaNet as its paper defines it (arXiv 2412.06464, equation 10): S = S (alpha (I - beta k kᵀ)) + beta v kᵀ, o = S q. What is
// around it (convolution, lengths, gates) follows the authors of Qwen3-Next (transformers, modeling_qwen3_next.py).
#include "reference/math.h"
#include "reference/mixers.h"

namespace woolly::reference {
namespace {

class DeltaRule : public Mixer {
 public:
  std::size_t n_heads = 0, n_key_heads = 0, key_dim = 0, value_dim = 0;
  bool key_heads_repeat = false;
  Linear qkv, gate, beta, alpha, out;  ///< qkv: queries of all key heads, keys of all, values of all heads
  std::vector<float> taps;             ///< [rows of qkv, n_taps], the latest position last
  std::vector<float> step_bias, rate;  ///< [n_heads]
  std::vector<float> norm;             ///< [value_dim]
  double eps = 0;

  [[nodiscard]] std::vector<Vector> mix(const std::vector<Vector>& x) const override {
    std::vector<Vector> states(n_heads, Vector(value_dim * key_dim)), inputs, all;
    for (const Vector& row : x) {
      inputs.push_back(multiply(qkv, row));
      const Vector mixed = silu_of_convolution(inputs);
      const Vector z = multiply(gate, row), b = multiply(beta, row), a = multiply(alpha, row);
      Vector y;
      for (std::size_t head = 0; head < n_heads; ++head) {
        const std::size_t key_head = key_heads_repeat ? head % n_key_heads : head / (n_heads / n_key_heads);
        const std::size_t n_keys = n_key_heads * key_dim;
        Vector q = of_length_one(std::span(mixed).subspan(key_head * key_dim, key_dim));
        const Vector k = of_length_one(std::span(mixed).subspan(n_keys + key_head * key_dim, key_dim));
        for (double& value : q) value /= std::sqrt(static_cast<double>(key_dim));
        const double step = std::log1p(std::exp(a[head] + static_cast<double>(step_bias[head])));
        const double kept = std::exp(static_cast<double>(rate[head]) * step), share = 1 / (1 + std::exp(-b[head]));
        const Vector o = advance(states[head], kept, share, k, q, std::span(mixed).subspan(2 * n_keys + head * value_dim, value_dim));
        const Vector normed = rms_norm(o, norm, eps);
        for (std::size_t i = 0; i < value_dim; ++i) y.push_back(normed[i] * silu(z[head * value_dim + i]));
      }
      all.push_back(multiply(out, y));
    }
    return all;
  }

 private:
  static double silu(double x) { return x / (1 + std::exp(-x)); }

  [[nodiscard]] Vector of_length_one(std::span<const double> x) const {
    double sum = 0;
    for (const double value : x) sum += value * value;
    Vector y(x.begin(), x.end());
    for (double& value : y) value /= std::sqrt(sum + eps);
    return y;
  }

  [[nodiscard]] Vector silu_of_convolution(const std::vector<Vector>& inputs) const {
    const std::size_t n_taps = taps.size() / qkv.n_rows;
    Vector y(qkv.n_rows);
    for (std::size_t i = 0; i < y.size(); ++i) {
      for (std::size_t back = 0; back < std::min(n_taps, inputs.size()); ++back) {
        y[i] += static_cast<double>(taps[i * n_taps + n_taps - 1 - back]) * inputs[inputs.size() - 1 - back][i];
      }
      y[i] = silu(y[i]);
    }
    return y;
  }

  /// `state` is S [value_dim, key_dim].
  [[nodiscard]] Vector advance(Vector& state, double kept, double share, const Vector& k, const Vector& q,
                               std::span<const double> v) const {
    Vector o(value_dim);
    for (std::size_t row = 0; row < value_dim; ++row) {
      const std::span<double> of_row = std::span(state).subspan(row * key_dim, key_dim);
      double along = 0;
      for (std::size_t i = 0; i < key_dim; ++i) along += of_row[i] * k[i];
      for (std::size_t i = 0; i < key_dim; ++i) {
        of_row[i] = kept * (of_row[i] - share * along * k[i]) + share * v[row] * k[i];
        o[row] += of_row[i] * q[i];
      }
    }
    return o;
  }
};

/// Rows [first, first + n) of `from`, appended to `to`.
void append_rows(const Linear& from, std::size_t first, std::size_t n, Linear& to) {
  const auto begin = from.weight.begin() + static_cast<std::ptrdiff_t>(first * from.n_cols);
  to.weight.insert(to.weight.end(), begin, begin + static_cast<std::ptrdiff_t>(n * from.n_cols));
  to.n_cols = from.n_cols;
  to.n_rows += n;
  to.scale = from.scale;
}

/// Older files have the rows of a key head together: query, key, values and their gates.
Status read_inputs(FileReader& file, const std::string& prefix, std::size_t hidden_dim, DeltaRule& mixer) {
  const std::size_t n_keys = mixer.n_key_heads * mixer.key_dim, n_values = mixer.n_heads * mixer.value_dim;
  if (!file.has(prefix + "ssm_in.weight")) {
    WOOLLY_TRY(mixer.qkv, file.read_linear(prefix + "attn_qkv", hidden_dim, 2 * n_keys + n_values, {.has_scale = true}));
    WOOLLY_TRY(mixer.gate, file.read_linear(prefix + "attn_gate", hidden_dim, n_values, {.has_scale = true}));
    return {};
  }
  WOOLLY_TRY(const Linear all, file.read_linear(prefix + "ssm_in", hidden_dim, 2 * n_keys + 2 * n_values, {.has_scale = true}));
  const std::size_t of_values = n_values / mixer.n_key_heads, of_head = 2 * mixer.key_dim + 2 * of_values;
  Linear parts[4];
  for (std::size_t head = 0; head < mixer.n_key_heads; ++head) {
    append_rows(all, head * of_head, mixer.key_dim, parts[0]);
    append_rows(all, head * of_head + mixer.key_dim, mixer.key_dim, parts[1]);
    append_rows(all, head * of_head + 2 * mixer.key_dim, of_values, parts[2]);
    append_rows(all, head * of_head + 2 * mixer.key_dim + of_values, of_values, parts[3]);
  }
  for (std::size_t i = 0; i < 3; ++i) append_rows(parts[i], 0, parts[i].n_rows, mixer.qkv);
  mixer.gate = parts[3];
  return {};
}

Status read_shares_and_steps(FileReader& file, const std::string& prefix, std::size_t hidden_dim, DeltaRule& mixer) {
  if (!file.has(prefix + "ssm_ba.weight")) {
    WOOLLY_TRY(mixer.beta, file.read_linear(prefix + "ssm_beta", hidden_dim, mixer.n_heads, {.has_scale = true}));
    WOOLLY_TRY(mixer.alpha, file.read_linear(prefix + "ssm_alpha", hidden_dim, mixer.n_heads, {.has_scale = true}));
    return {};
  }
  WOOLLY_TRY(const Linear both, file.read_linear(prefix + "ssm_ba", hidden_dim, 2 * mixer.n_heads, {.has_scale = true}));
  const std::size_t n = mixer.n_heads / mixer.n_key_heads;
  for (std::size_t head = 0; head < mixer.n_key_heads; ++head) {
    append_rows(both, 2 * head * n, n, mixer.beta);
    append_rows(both, (2 * head + 1) * n, n, mixer.alpha);
  }
  return {};
}

}  // namespace

Result<MixerPtr> read_delta_rule(FileReader& file, const std::string& prefix, std::size_t hidden_dim, double eps) {
  auto mixer = std::make_shared<DeltaRule>();
  mixer->eps = eps;
  mixer->key_heads_repeat = !file.is_one_of({"qwen3next"});
  WOOLLY_TRY(mixer->n_heads, file.find_uint("ssm.time_step_rank", 0));
  WOOLLY_TRY(mixer->n_key_heads, file.find_uint("ssm.group_count", 0));
  WOOLLY_TRY(mixer->key_dim, file.find_uint("ssm.state_size", 0));
  WOOLLY_TRY(const std::size_t width, file.find_uint("ssm.inner_size", 0));
  WOOLLY_TRY(const std::size_t n_taps, file.find_uint("ssm.conv_kernel", 0));
  mixer->value_dim = width / mixer->n_heads;
  WOOLLY_CHECK(read_inputs(file, prefix, hidden_dim, *mixer));
  WOOLLY_CHECK(read_shares_and_steps(file, prefix, hidden_dim, *mixer));
  WOOLLY_TRY(mixer->taps, file.read(prefix + "ssm_conv1d.weight", n_taps, mixer->qkv.n_rows));
  WOOLLY_TRY(mixer->step_bias, file.read(prefix + "ssm_dt.bias", mixer->n_heads, 1));
  WOOLLY_TRY(mixer->rate, file.read(prefix + "ssm_a", mixer->n_heads, 1));
  WOOLLY_TRY(mixer->norm, file.read(prefix + "ssm_norm.weight", mixer->value_dim, 1));
  WOOLLY_TRY(mixer->out, file.read_linear(prefix + "ssm_out", width, hidden_dim, {.has_scale = true}));
  return MixerPtr(std::move(mixer));
}

}  // namespace woolly::reference
