// The story: a file's bytes become tensors, facts, a plan and packed weights.
#include "woolly/model.h"

#include <utility>

#include "arch/architecture.h"
#include "engine/parts.h"
#include "gguf/load.h"
#include "text/load.h"

namespace woolly {
namespace {

/// A number that names the model that a saved state belongs to: FNV-1a over names, types, shapes and facts.
std::uint64_t fingerprint_of(const gguf::File& file, const model::Spec& spec) {
  std::uint64_t hash = 0xCBF29CE484222325;
  const auto mix = [&](const void* data, std::size_t n) {
    for (std::size_t i = 0; i < n; ++i) hash = (hash ^ static_cast<const unsigned char*>(data)[i]) * 0x100000001B3;
  };
  mix(spec.architecture.data(), spec.architecture.size());
  for (const gguf::TensorView& tensor : file.tensors()) {
    mix(tensor.name.data(), tensor.name.size());
    mix(&tensor.type, sizeof tensor.type);
    mix(tensor.shape.data(), sizeof tensor.shape);
  }
  const float facts[] = {spec.norm_eps, spec.attention_scale, spec.rope.base, spec.rope.factor, spec.rope.magnitude};
  mix(facts, sizeof facts);
  return hash;
}

os::Access access(const LoadOptions& options) { return options.map_file ? os::Access::kMap : os::Access::kRead; }

/// Stages 3 and 4.
Result<plan::Plan> make_plan(const gguf::File& file, const Engine::Parts& on, const LoadOptions& options) {
  const plan::MatrixPlace place = options.map_file ? plan::MatrixPlace::kFile : plan::MatrixPlace::kPanels;
  WOOLLY_TRY(const arch::Architecture* architecture, arch::find(file.metadata));
  WOOLLY_TRY(model::Spec spec, architecture->read_spec(file.metadata));                  // 3 facts
  plan::GraphBuilder builder(std::move(spec), file);
  architecture->build(builder);
  WOOLLY_TRY(plan::Graph graph, builder.finish());
  return plan::compile(std::move(graph), *on.kernels, place);                            // 4 plan
}

}  // namespace

Result<std::shared_ptr<const Model>> Model::load(Engine& engine, const std::filesystem::path& path,
                                                 const LoadOptions& options) {
  Engine::Parts& on = engine.parts();
  WOOLLY_TRY(os::TensorSource source, os::TensorSource::open(path, access(options)));    // 1 file bytes
  WOOLLY_TRY(gguf::File file, gguf::load(source));                                       // 2 tensors
  WOOLLY_TRY(plan::Plan plan, make_plan(file, on, options));                             // 3 facts, 4 plan
  const std::uint64_t fingerprint = fingerprint_of(file, plan.spec);
  WOOLLY_TRY(pack::Weights weights, pack::fulfil(plan, std::move(source), *on.pool));    // 5 packed weights

  auto tokenizer = text::load_tokenizer(file.metadata);
  auto parts = std::make_unique<Parts>(
      Parts{&engine, std::move(file), nullptr, {}, std::move(plan), std::move(weights), fingerprint});
  if (tokenizer) {
    parts->tokenizer = std::move(tokenizer).value();
  } else {
    parts->tokenizer_error = std::move(tokenizer).error();
  }
  return std::shared_ptr<const Model>(new Model(std::move(parts)));
}

Result<MemoryNeed> Model::need(Engine& engine, const std::filesystem::path& path, const LoadOptions& load,
                               const SessionOptions& session) {
  const Engine::Parts& on = engine.parts();
  WOOLLY_TRY(const os::TensorSource source, os::TensorSource::open(path, access(load)));
  WOOLLY_TRY(const gguf::File file, gguf::load(source));
  WOOLLY_TRY(const plan::Plan plan, make_plan(file, on, load));
  const exec::KvLayout layout = kv_layout(plan, session.kv_type);
  const plan::Limits limits{session.chunk, session.max_logit_rows};
  return MemoryNeed{.weights = plan.weight_bytes,
                    .mapped = plan.mapped_bytes,
                    .workspace = exec::Executor::workspace_bytes(plan, limits, on.pool->size()),
                    .kv_slab = layout.slab_bytes(),
                    .tokens_of_slab = exec::KvLayout::kSlabBlocks * kernels::kKvBlock,
                    .state = exec::Sequence::kMostStates * layout.state_floats * sizeof(float)};
}

Model::Model(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Model::~Model() = default;

Result<const Tokenizer*> Model::tokenizer() const {
  if (parts_->tokenizer_error) return *parts_->tokenizer_error;
  return parts_->tokenizer.get();
}

std::string_view Model::architecture() const noexcept { return parts_->plan.spec.architecture; }
std::size_t Model::vocab_size() const noexcept { return parts_->plan.spec.vocab_size; }
std::size_t Model::context_length() const noexcept { return parts_->plan.spec.context_length; }
std::uint64_t Model::weight_bytes() const noexcept { return parts_->plan.weight_bytes; }
std::uint64_t Model::mapped_bytes() const noexcept { return parts_->plan.mapped_bytes; }
std::string Model::plan_text() const { return plan::print(parts_->plan, {}); }

}  // namespace woolly
