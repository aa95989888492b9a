#include <gtest/gtest.h>

#include "arch/architecture.h"
#include "kernels/dispatch.h"
#include "plan/compile.h"
#include "support/tiny_model.h"

namespace woolly::test {
namespace {

Result<plan::Plan> compile(const gguf::File& file, plan::MatrixPlace place = plan::MatrixPlace::kPanels) {
  WOOLLY_TRY(const arch::Architecture* architecture, arch::find(file.metadata));
  WOOLLY_TRY(model::Spec spec, architecture->read_spec(file.metadata));
  plan::GraphBuilder builder(std::move(spec), file);
  architecture->build(builder);
  WOOLLY_TRY(plan::Graph graph, builder.finish());
  return plan::compile(std::move(graph), *kernels::available_tables().front(), place);
}

gguf::File parse(GgufBuilder builder) {
  auto file = parse_bytes(builder.build());
  EXPECT_TRUE(file) << file.error().message;
  return std::move(file).value();
}

void expect_error(GgufBuilder builder, const std::vector<std::string>& parts) {
  const gguf::File file = parse(std::move(builder));
  const auto plan = compile(file);
  ASSERT_FALSE(plan) << parts.front();
  for (const std::string& part : parts) {
    EXPECT_NE(plan.error().message.find(part), std::string::npos) << plan.error().message;
  }
}

TEST(Plan, HasFiveStepsALayerOneForTheRowsAndOneAtEachEnd) {
  const gguf::File file = parse(TinyModel{.n_layers = 3}.build());
  const auto plan = compile(file);
  ASSERT_TRUE(plan) << plan.error().message;
  EXPECT_EQ(plan->steps.size(), 3U * 5 + 3);
}

TEST(Plan, ExpertsAreThreeSteps) {
  const gguf::File file = parse(TinyModel{.architecture = "qwen3moe", .n_layers = 3}.build());
  const auto plan = compile(file);
  ASSERT_TRUE(plan) << plan.error().message;
  EXPECT_EQ(plan->steps.size(), 3U * 6 + 3);
  EXPECT_EQ(plan->matrices.size(), 3U * 8 + 2) << "a stack counts once";
}

class Placed : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Plan, Placed, testing::Values("llama", "qwen3moe", "deepseek2", "qwen35moe"), [](const auto& name) { return name.param; });

TEST_P(Placed, PanelsOfAllMatricesAndVectorsLieApartInsideTheWeights) {
  const gguf::File file = parse(TinyModel{.architecture = GetParam(), .has_bias = true, .is_tied = true}.build());
  const auto plan = compile(file);
  ASSERT_TRUE(plan);
  std::vector<std::pair<std::uint64_t, std::uint64_t>> spans;
  for (const plan::PackedMatrix& matrix : plan->matrices) {
    const std::uint64_t bytes = matrix.n_cols * sizeof(float) * kernels::kPanelRows;
    for (std::size_t i = 0; i < matrix.n * matrix.n_panels(); ++i) {
      const std::uint64_t at =
          matrix.offset + i / matrix.n_panels() * matrix.stride + i % matrix.n_panels() * matrix.panel_stride;
      spans.emplace_back(at, at + bytes);
    }
  }
  for (const plan::PackedVector& vector : plan->vectors) spans.emplace_back(vector.offset, vector.offset + vector.n * 4);
  std::sort(spans.begin(), spans.end());
  for (std::size_t i = 0; i < spans.size(); ++i) {
    EXPECT_EQ(spans[i].first % 64, 0U);
    EXPECT_LE(spans[i].second, i + 1 < spans.size() ? spans[i + 1].first : plan->weight_bytes);
  }
}

TEST(Plan, MatricesInTheFileTakeNoWeights) {
  const gguf::File file = parse(TinyModel{.has_bias = true}.build());
  const auto plan = compile(file, plan::MatrixPlace::kFile);
  ASSERT_TRUE(plan);
  std::uint64_t of_matrices = 0, of_vectors = 0;
  for (const plan::PackedMatrix& matrix : plan->matrices) of_matrices += matrix.n_rows * matrix.n_cols * sizeof(float);
  for (const plan::PackedVector& vector : plan->vectors) of_vectors += (vector.n * sizeof(float) + 63) / 64 * 64;
  EXPECT_EQ(plan->mapped_bytes, of_matrices);
  EXPECT_EQ(plan->weight_bytes, of_vectors);
  EXPECT_NE(plan::print(*plan, {}).find("matrices of the mapped file"), std::string::npos);
}

TEST(Plan, ATiedEmbeddingIsPackedOnce) {
  const gguf::File tied = parse(TinyModel{.is_tied = true}.build()), untied = parse(TinyModel{}.build());
  const auto with = compile(tied), without = compile(untied);
  ASSERT_TRUE(with && without);
  EXPECT_EQ(with->matrices.size() + 1, without->matrices.size());
}

/// Buffers that are alive at the same step never share bytes; ones that are not do, or there would be no point.
TEST_P(Placed, LayOutKeepsLivingBuffersApart) {
  const gguf::File file = parse(TinyModel{.architecture = GetParam(), .n_layers = 8}.build());
  const auto plan = compile(file);
  ASSERT_TRUE(plan);
  const plan::Limits limits{.max_rows = 5, .max_logit_rows = 2};
  const plan::WorkspaceLayout layout = plan::lay_out(*plan, limits);
  std::vector<std::pair<std::size_t, std::size_t>> lives(plan->buffers.size(), {SIZE_MAX, 0});
  std::uint64_t sum = 0;
  for (std::size_t step = 0; step < plan->steps.size(); ++step) {
    const auto touch = [&](plan::BufferId id) {
      const std::size_t whole = plan->buffers[id.index].whole.value_or(id).index;
      lives[whole].first = std::min(lives[whole].first, step);
      lives[whole].second = std::max(lives[whole].second, step);
    };
    const plan::Op& op = plan->steps[step].op;
    if (const auto* embed = std::get_if<plan::Embed>(&op)) touch(embed->out);
    if (const auto* attend = std::get_if<plan::Attend>(&op)) {
      for (const plan::BufferId id : {attend->queries, attend->keys, attend->values, attend->out}) touch(id);
    }
    if (const auto* convolve = std::get_if<plan::Convolve>(&op)) {
      touch(convolve->in);
      touch(convolve->out);
    }
    if (const auto* recur = std::get_if<plan::Recur>(&op)) {
      for (const plan::BufferId id : {recur->keys, recur->queries, recur->values, recur->gates, recur->out}) touch(id);
    }
    if (const auto* heads = std::get_if<plan::LinearHeads>(&op)) {
      touch(heads->in);
      touch(heads->out);
    }
    if (const auto* linear = std::get_if<plan::Linear>(&op)) {
      touch(linear->in);
      touch(linear->out);
    }
    if (const auto* route = std::get_if<plan::Route>(&op)) {
      touch(route->in);
      touch(route->out);
    }
    if (const auto* experts = std::get_if<plan::ExpertsUp>(&op)) {
      touch(experts->logits);
      touch(experts->out);
    }
    if (const auto* experts = std::get_if<plan::ExpertsDown>(&op)) {
      touch(experts->in);
      touch(experts->out);
    }
  }
  const auto size = [&](std::size_t i) {
    return plan->buffers[i].stride() * (plan->buffers[i].has_only_logit_rows ? 2 : 5) * sizeof(float);
  };
  for (std::size_t i = 0; i < lives.size(); ++i) {
    if (plan->buffers[i].whole) {
      EXPECT_EQ(layout.offsets[i], layout.offsets[plan->buffers[i].whole->index] + plan->buffers[i].column * sizeof(float));
      continue;
    }
    sum += size(i);
    EXPECT_LE(layout.offsets[i] + size(i), layout.bytes);
    for (std::size_t j = 0; j < i; ++j) {
      if (plan->buffers[j].whole || lives[i].second < lives[j].first || lives[j].second < lives[i].first) continue;
      const bool apart = layout.offsets[i] + size(i) <= layout.offsets[j] || layout.offsets[j] + size(j) <= layout.offsets[i];
      EXPECT_TRUE(apart) << plan->buffers[i].name << i << " and " << plan->buffers[j].name << j;
    }
  }
  EXPECT_LT(layout.bytes, sum / 3);
}

TEST(Plan, PrintNamesEveryStepItsTensorsAndItsBuffers) {
  const gguf::File file = parse(TinyModel{.architecture = "qwen3", .has_bias = true}.build());
  const auto plan = compile(file);
  ASSERT_TRUE(plan);
  const std::string text = plan::print(*plan, {});
  for (const char* part : {"qwen3: 2 layers", "token_embd.weight F32 [70, 48]", "blk.1.qkv", "rms_norm(blk.1.attn_norm.weight)",
                           "+ blk.0.attn_q.bias", "rms_norm(blk.0.attn_q_norm.weight, blk.0.attn_k_norm.weight) rope",
                           "swiglu -> ffn[80]@", "add to x[48]@", "output.weight F32 [70, 48] -> logits[70]@"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << " in\n" << text;
  }
}

TEST(Plan, PrintTellsWhatExpertsDo) {
  const gguf::File file = parse(TinyModel{.architecture = "qwen3moe", .has_expert_scale = true}.build());
  const auto plan = compile(file);
  ASSERT_TRUE(plan);
  const std::string text = plan::print(*plan, {});
  for (const char* part :
       {"qwen3moe: 2 layers", "experts 3 of 6 with ffn 40", "blk.1.route", "rms_norm(blk.1.ffn_norm.weight) to f32",
        "blk.0.ffn_gate_inp.weight F32 [6, 48] -> router[6]@", "blk.0.experts_up", "best 3 of router[6]@",
        "blk.0.ffn_gate_exps.weight F32 6 x [40, 48] * blk.0.ffn_gate_exps.scale | blk.0.ffn_up_exps.weight",
        "swiglu -> ffn[120]@", "blk.1.experts_down", "blk.1.ffn_down_exps.weight F32 6 x [48, 40]", "weighted, add to x[48]@"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << " in\n" << text;
  }
}

TEST(Plan, ErrorsNameTheTensor) {
  expect_error(TinyModel{}.build({"blk.1.attn_k.weight"}), {"blk.1.attn_k.weight is missing"});
  expect_error(TinyModel{}.build({"token_embd.weight"}), {"token_embd.weight is missing"});
  expect_error(TinyModel{.architecture = "qwen3"}.build({"blk.0.attn_q_norm.weight"}), {"blk.0.attn_q_norm.weight is missing"});
  GgufBuilder wrong = TinyModel{}.build({"blk.0.ffn_down.weight"});
  wrong.add_tensor("blk.0.ffn_down.weight", {48, 80}, std::vector<float>(48 * 80));
  expect_error(std::move(wrong), {"blk.0.ffn_down.weight has shape 48 x 80", "expected 80 x 48"});
  GgufBuilder bias = TinyModel{}.build();
  bias.add_tensor("blk.0.attn_q.bias", {47}, std::vector<float>(47));
  expect_error(std::move(bias), {"blk.0.attn_q.bias has shape 47", "expected 48"});
  const TinyModel moe{.architecture = "qwen3moe"};
  const std::string down = "blk.1.ffn_down_exps.weight";
  const std::pair<std::vector<std::uint64_t>, std::string> shapes[] = {
      {{40, 48, 5}, "40 x 48 x 5"}, {{40, 288}, "40 x 288"}, {{48, 40, 6}, "48 x 40 x 6"}, {{40, 48, 3, 2}, "40 x 48 x 3 x 2"}};
  for (const auto& [shape, text] : shapes) {
    GgufBuilder experts = moe.build({down});
    std::size_t n = 1;
    for (const std::uint64_t dim : shape) n *= dim;
    experts.add_tensor(down, shape, std::vector<float>(n));
    expect_error(std::move(experts), {down + " has shape " + text, "expected 40 x 48 x 6"});
  }
  GgufBuilder router = moe.build({"blk.0.ffn_gate_inp.weight"});
  router.add_tensor("blk.0.ffn_gate_inp.weight", {48, 7}, std::vector<float>(48 * 7));
  expect_error(std::move(router), {"blk.0.ffn_gate_inp.weight has shape 48 x 7", "expected 48 x 6"});
  GgufBuilder scale = moe.build();
  scale.add_tensor("blk.0.ffn_up_exps.scale", {5}, std::vector<float>(5));
  expect_error(std::move(scale), {"blk.0.ffn_up_exps.scale has shape 5", "expected 6"});
}

}  // namespace
}  // namespace woolly::test
