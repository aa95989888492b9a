// `woolly plan`: stage 4 as text.
#include <fmt/format.h>

#include "plan/compile.h"

namespace woolly::plan {
namespace {

class Printer {
 public:
  Printer(const Plan& plan, const Limits& limits) : plan_(plan), layout_(lay_out(plan, limits)), limits_(limits) {}

  std::string print() {
    const model::Spec& spec = plan_.spec;
    const model::Experts& experts = spec.experts;
    const std::string ffn = experts.n == 0
                                ? fmt::format("ffn {}", spec.ffn_dim)
                                : fmt::format("experts {} of {} with ffn {}", experts.n_used, experts.n, experts.ffn_dim);
    text_ = fmt::format(
        "{}: {} layers, hidden {}, heads {} / {} of {}, {}, vocabulary {}, context {}\n"
        "kernels {}; weights {}; workspace {:.1f} MB for {} rows, {} of logits\n",
        spec.architecture, spec.n_layers, spec.hidden_dim, spec.n_heads, spec.n_kv_heads, spec.head_dim, ffn,
        spec.vocab_size, spec.context_length, plan_.kernels->name, weights(),
        static_cast<double>(layout_.bytes) / 1e6, limits_.max_rows, limits_.max_logit_rows);
    if (plan_.state_floats > 0) {
      text_ += fmt::format("state of a sequence {:.3f} MB\n", static_cast<double>(plan_.state_floats * sizeof(float)) / 1e6);
    }
    for (std::size_t i = 0; i < plan_.steps.size(); ++i) {
      text_ += fmt::format("{:4} {:<16} ", i, plan_.steps[i].name);
      std::visit([&](const auto& op) { add(op); }, plan_.steps[i].op);
      text_ += '\n';
    }
    return std::move(text_);
  }

 private:
  std::string weights() const {
    const double bytes = static_cast<double>(plan_.weight_bytes) / 1e6;
    const std::size_t n_matrices = plan_.matrices.size(), n_vectors = plan_.vectors.size();
    if (plan_.matrix_place == MatrixPlace::kPanels) {
      return fmt::format("{:.1f} MB in {} matrices and {} vectors", bytes, n_matrices, n_vectors);
    }
    return fmt::format("{:.1f} MB in {} vectors, {:.1f} MB in {} matrices of the mapped file", bytes, n_vectors,
                       static_cast<double>(plan_.mapped_bytes) / 1e6, n_matrices);
  }
  std::string buffer(BufferId id) const {
    const Buffer& b = plan_.buffers[id.index];
    return fmt::format("{}[{}]@{}", b.name, b.width, layout_.offsets[id.index]);
  }
  std::string matrix(MatrixId id) const {
    const PackedMatrix& m = plan_.matrices[id.index];
    const std::string n = m.n == 1 ? "" : fmt::format("{} x ", m.n);
    return fmt::format("{} {} {}[{}, {}]", m.tensor->name, quant::info(m.tensor->type).name, n, m.n_rows, m.n_cols);
  }
  static std::string factor(float value) { return value == 1.0F ? "" : fmt::format(" * {:.4g}", value); }
  std::string_view vector(VectorId id) const { return plan_.vectors[id.index].tensor->name; }

  void add(const Embed& op) {
    text_ += fmt::format("embed {}{} -> {}", matrix(op.table), factor(op.scale), buffer(op.out));
  }

  void add_formats(unsigned formats) {
    constexpr std::string_view kNames[] = {"f32", "a32", "a256", "bf16"};
    for (unsigned format = 0; format < kernels::kActFormats; ++format) {
      if ((formats >> format & 1U) != 0) text_ += fmt::format(" to {}", kNames[format]);
    }
  }

  void add(const ExpertMatrix& experts) {
    text_ += fmt::format(" | {}", matrix(experts.matrix));
    if (experts.scale) text_ += fmt::format(" * {}", vector(*experts.scale));
    if (experts.bias) text_ += fmt::format(" + {}", vector(*experts.bias));
  }

  void add(const Linear& op) {
    text_ += buffer(op.in);
    if (op.norm) text_ += fmt::format(" rms_norm({})", vector(op.norm->weight));
    add_formats(act_formats(plan_, op));
    for (const Projection& projection : op.projections) {
      text_ += fmt::format(" | {}{}", matrix(projection.matrix), factor(projection.factor));
      if (projection.scale) text_ += fmt::format(" * {}", vector(*projection.scale));
      if (projection.bias) text_ += fmt::format(" + {}", vector(*projection.bias));
      if (projection.gate) text_ += fmt::format(" * sigmoid({})", buffer(*projection.gate));
    }
    if (op.epilogue == Epilogue::kSoftCap) text_ += fmt::format(" soft_cap({:.4g})", op.soft_cap);
    add(op.epilogue, op.out);
  }

  void add(const LinearHeads& op) {
    text_ += fmt::format("heads of {}", buffer(op.in));
    add_formats(act_formats(plan_, op));
    text_ += fmt::format(" | {} -> {}", matrix(op.matrices), buffer(op.out));
  }

  void add(const Attend& op) {
    text_ += fmt::format("{} {} {}", buffer(op.queries), buffer(op.keys), buffer(op.values));
    if (op.shared_key) text_ += ' ' + buffer(*op.shared_key);
    if (op.query_norm) text_ += fmt::format(" rms_norm({}, {})", vector(op.query_norm->weight), vector(op.key_norm->weight));
    constexpr std::string_view kRotations[] = {" rope,", " window rope,", ""};
    text_ += fmt::format("{} append to cache {}, attention", kRotations[static_cast<std::size_t>(op.rotation)], op.layer);
    if (op.window != 0) text_ += fmt::format(" over the last {}", op.window);
    if (plan_.spec.attention_soft_cap != 0.0F) text_ += fmt::format(" soft_cap({:.4g})", plan_.spec.attention_soft_cap);
    if (op.sinks) text_ += fmt::format(" sinks({})", vector(*op.sinks));
    if (op.has_gates) text_ += " gated";
    text_ += fmt::format(" -> {}", buffer(op.out));
  }

  void add(const Convolve& op) {
    constexpr std::string_view kForms[] = {"gated convolution", "silu of convolution"};
    text_ += fmt::format("{} {}({}) over {} -> {}", buffer(op.in), kForms[static_cast<std::size_t>(op.form)],
                         vector(op.taps), op.n_taps, buffer(op.out));
  }

  void add(const Recur& op) {
    constexpr std::string_view kRules[] = {"gated delta rule", "state space"};
    text_ += fmt::format("{} {} {} {} ", buffer(op.keys), buffer(op.queries), buffer(op.values), buffer(op.steps));
    if (op.weights) text_ += buffer(*op.weights) + ' ';
    text_ += fmt::format("{}({}, {})", kRules[static_cast<std::size_t>(op.rule)], vector(op.step_bias), vector(op.rates));
    if (op.skips) text_ += fmt::format(" skip({})", vector(*op.skips));
    if (op.norm) text_ += fmt::format(" rms_norm({})", vector(op.norm->weight));
    text_ += fmt::format(" * silu({}) -> {}", buffer(op.gates), buffer(op.out));
  }

  void add(const Normalize& op) {
    text_ += fmt::format("{} rms_norm({}) {} {}", buffer(op.in), vector(op.norm.weight), op.adds ? "add to" : "->",
                         buffer(op.out));
  }

  void add(Epilogue epilogue, BufferId out) {
    constexpr std::string_view kEpilogues[] = {"->", "add to", "->", "swiglu ->", "geglu ->", "clamped swiglu ->"};
    text_ += fmt::format(" {} {}", kEpilogues[static_cast<std::size_t>(epilogue)], buffer(out));
  }

  void add(const Route& op) {
    text_ += fmt::format("{} rms_norm({})", buffer(op.in), vector(op.norm.weight));
    add_formats(act_formats(plan_, op));
    text_ += fmt::format(" | {}", matrix(op.router));
    if (op.shared_gate) text_ += fmt::format(" | {}", matrix(*op.shared_gate));
    if (op.bias) text_ += fmt::format(" + {}", vector(*op.bias));
    if (op.selection_bias) text_ += fmt::format(" selection + {}", vector(*op.selection_bias));
    text_ += fmt::format(" -> {}", buffer(op.out));
  }

  void add(const ExpertsUp& op) {
    text_ += fmt::format("best {} of {}", plan_.spec.experts.n_used, buffer(op.logits));
    add(op.gate);
    add(op.up);
    add(op.epilogue, op.out);
  }

  void add(const ExpertsDown& op) {
    text_ += buffer(op.in);
    add_formats(act_formats(plan_, op));
    add(op.down);
    text_ += fmt::format(" weighted, add to {}", buffer(op.out));
  }

  void add(const SelectRows& op) {
    text_ += "rows of wanted logits in";
    for (const BufferId id : op.buffers) text_ += ' ' + buffer(id);
  }

  const Plan& plan_;
  WorkspaceLayout layout_;
  Limits limits_;
  std::string text_;
};

}  // namespace

std::string print(const Plan& plan, const Limits& limits) { return Printer(plan, limits).print(); }

}  // namespace woolly::plan
