// Mamba-2's mixer as its authors have it (mamba_ssm/modules/mamba2.py): h = exp(dt A) h + dt B x, y = C h + D x, for each head with
// the B and C of its group.
#include "reference/math.h"
#include "reference/mixers.h"

namespace woolly::reference {
namespace {

double silu(double x) { return x / (1 + std::exp(-x)); }

class StateSpace : public Mixer {
 public:
  std::size_t n_heads = 0, n_groups = 0, state_size = 0, width = 0;  ///< `width` of all heads' values
  Linear in, out;                      ///< `in`: gates z, then x, B and C, which are convolved, then dt
  std::vector<float> taps, taps_bias;  ///< [width + 2 * n_groups * state_size, n_taps], the latest position last
  std::vector<float> dt_bias, a, d;    ///< [n_heads]
  std::vector<float> norm;             ///< [width] of groups, or empty
  double eps = 0;

  [[nodiscard]] std::vector<Vector> mix(const std::vector<Vector>& x) const override {
    const std::size_t head_dim = width / n_heads, of_group = n_groups * state_size;
    std::vector<Vector> states(width, Vector(state_size)), inputs, all;  // a state for each value
    for (const Vector& row : x) {
      const Vector parts = multiply(in, row);
      const auto first = parts.begin() + static_cast<std::ptrdiff_t>(width);
      inputs.emplace_back(first, first + static_cast<std::ptrdiff_t>(width + 2 * of_group));
      const Vector mixed = silu_of_convolution(inputs);
      Vector y(width);
      for (std::size_t i = 0; i < width; ++i) {
        const std::size_t head = i / head_dim, group = head / (n_heads / n_groups);
        const double dt = std::log1p(std::exp(parts[2 * width + 2 * of_group + head] + static_cast<double>(dt_bias[head])));
        const double kept = std::exp(dt * static_cast<double>(a[head]));
        for (std::size_t n = 0; n < state_size; ++n) {
          double& h = states[i][n];
          h = kept * h + dt * mixed[width + group * state_size + n] * mixed[i];
          y[i] += mixed[width + of_group + group * state_size + n] * h;
        }
        y[i] = (y[i] + static_cast<double>(d[head]) * mixed[i]) * silu(parts[i]);
      }
      if (!norm.empty()) {
        const std::size_t n = width / n_groups;
        for (std::size_t group = 0; group < n_groups; ++group) {
          const std::span<double> part = std::span(y).subspan(group * n, n);
          rms_norm(part, std::span(norm).subspan(group * n, n), eps, part);
        }
      }
      all.push_back(multiply(out, y));
    }
    return all;
  }

 private:
  [[nodiscard]] Vector silu_of_convolution(const std::vector<Vector>& inputs) const {
    const std::size_t n = inputs.front().size(), n_taps = taps.size() / n;
    Vector y(n);
    for (std::size_t i = 0; i < n; ++i) {
      if (!taps_bias.empty()) y[i] = static_cast<double>(taps_bias[i]);
      for (std::size_t back = 0; back < std::min(n_taps, inputs.size()); ++back) {
        y[i] += static_cast<double>(taps[i * n_taps + n_taps - 1 - back]) * inputs[inputs.size() - 1 - back][i];
      }
      y[i] = silu(y[i]);
    }
    return y;
  }
};

}  // namespace

Result<MixerPtr> read_state_space(FileReader& file, const std::string& prefix, std::size_t hidden_dim, double eps) {
  auto mixer = std::make_shared<StateSpace>();
  mixer->eps = eps;
  WOOLLY_TRY(mixer->n_heads, file.find_uint("ssm.time_step_rank", 0));
  WOOLLY_TRY(mixer->n_groups, file.find_uint("ssm.group_count", 0));
  WOOLLY_TRY(mixer->state_size, file.find_uint("ssm.state_size", 0));
  WOOLLY_TRY(mixer->width, file.find_uint("ssm.inner_size", 0));
  WOOLLY_TRY(const std::size_t n_taps, file.find_uint("ssm.conv_kernel", 0));
  const std::size_t convolved = mixer->width + 2 * mixer->n_groups * mixer->state_size;
  WOOLLY_TRY(mixer->in, file.read_linear(prefix + "ssm_in", hidden_dim, mixer->width + convolved + mixer->n_heads, {.has_scale = true}));
  WOOLLY_TRY(mixer->taps, file.read(prefix + "ssm_conv1d.weight", n_taps, convolved));
  WOOLLY_TRY(mixer->taps_bias, file.read_optional(prefix + "ssm_conv1d.bias", convolved));
  WOOLLY_TRY(mixer->dt_bias, file.read(prefix + "ssm_dt.bias", mixer->n_heads, 1));
  WOOLLY_TRY(mixer->a, file.read(prefix + "ssm_a", 1, mixer->n_heads));
  WOOLLY_TRY(mixer->d, file.read(prefix + "ssm_d", 1, mixer->n_heads));
  if (file.has(prefix + "ssm_norm.weight")) {
    WOOLLY_TRY(mixer->norm, file.read(prefix + "ssm_norm.weight", mixer->width / mixer->n_groups, mixer->n_groups));
  }
  WOOLLY_TRY(mixer->out, file.read_linear(prefix + "ssm_out", mixer->width, hidden_dim, {.has_scale = true}));
  return MixerPtr(std::move(mixer));
}

}  // namespace woolly::reference
