// LFM2's convolution: y = c * conv(b * h), of three linear maps b, c and h of the input.
#include "reference/math.h"
#include "reference/mixers.h"

namespace woolly::reference {
namespace {

class ShortConvolution : public Mixer {
 public:
  Linear in, out;           ///< [3 * hidden_dim, hidden_dim], [hidden_dim, hidden_dim]
  std::vector<float> taps;  ///< [hidden_dim, n_taps], the latest position last

  [[nodiscard]] std::vector<Vector> mix(const std::vector<Vector>& x) const override {
    const std::size_t n = out.n_rows, n_taps = taps.size() / n;
    std::vector<Vector> inputs, all;
    for (const Vector& row : x) {
      const Vector parts = multiply(in, row);
      const std::span<const double> b(parts.data(), n), c(b.data() + n, n), h(c.data() + n, n);
      inputs.emplace_back(n);
      for (std::size_t i = 0; i < n; ++i) inputs.back()[i] = b[i] * h[i];
      Vector y(n);
      for (std::size_t i = 0; i < n; ++i) {
        for (std::size_t back = 0; back < std::min(n_taps, inputs.size()); ++back) {
          y[i] += static_cast<double>(taps[i * n_taps + n_taps - 1 - back]) * inputs[inputs.size() - 1 - back][i];
        }
        y[i] *= c[i];
      }
      all.push_back(multiply(out, y));
    }
    return all;
  }
};

}  // namespace

Result<MixerPtr> read_short_convolution(FileReader& file, const std::string& prefix, std::size_t hidden_dim) {
  auto mixer = std::make_shared<ShortConvolution>();
  WOOLLY_TRY(const std::size_t n_taps, file.find_uint("shortconv.l_cache", 0));
  WOOLLY_TRY(mixer->in, file.read_linear(prefix + "shortconv.in_proj", hidden_dim, 3 * hidden_dim, {}));
  WOOLLY_TRY(mixer->taps, file.read(prefix + "shortconv.conv.weight", n_taps, hidden_dim));
  WOOLLY_TRY(mixer->out, file.read_linear(prefix + "shortconv.out_proj", hidden_dim, hidden_dim, {}));
  return MixerPtr(std::move(mixer));
}

}  // namespace woolly::reference
