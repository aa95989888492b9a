// The executor against the plain transformer on models of odd shapes, and many sequences in one batch.
#include "exec/executor.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "arch/architecture.h"
#include "exec/support.h"
#include "kernels/support.h"
#include "reference/reference_model.h"

namespace woolly::test {
namespace {

struct Case {
  std::string name;
  TinyModel model;
  std::function<void(GgufBuilder&)> extra = [](GgufBuilder&) {};
};

class Oracle : public testing::TestWithParam<Case> {};

/// Weights are F32 here, so only the order of sums differs: each logit is a chain of a few hundred terms of size one.
TEST_P(Oracle, LogitsAreThoseOfThePlainTransformer) {
  const TempDir dir;
  GgufBuilder builder = GetParam().model.build();
  GetParam().extra(builder);
  const auto path = dir.write("tiny.gguf", builder.build());
  const auto reference = reference::ReferenceModel::open(path);
  ASSERT_TRUE(reference) << reference.error().message;
  const auto tokens = some_tokens(90, 5);
  const std::vector<float> expected = reference->logits(tokens);
  const Loaded loaded(path);
  const auto session = Session::create(loaded.model, {.chunk = 32, .kv_type = KvType::kF32, .max_logit_rows = 32});
  ASSERT_TRUE(session) << session.error().message;
  const Status status = (*session)->append_each(tokens, [&](std::size_t row, std::span<const float> logits) {
    for (std::size_t i = 0; i < logits.size(); ++i) {
      ASSERT_NEAR(logits[i], expected[row * logits.size() + i], 1e-4F) << "token " << row << ", logit " << i;
    }
  });
  EXPECT_TRUE(status) << status.error().message;
}

/// Of a file that aligns nothing.
TEST_P(Oracle, AMappedFileGivesTheSameLogits) {
  const TempDir dir;
  GgufBuilder builder = GetParam().model.build();
  GetParam().extra(builder);
  const auto path = dir.write("tiny.gguf", builder.build(3, 1));
  const auto tokens = some_tokens(40, 6);
  const auto logits_of = [&](LoadOptions options) {
    const Loaded loaded(path, 2, options);
    std::vector<float> logits;
    const auto session = Session::create(loaded.model, {.chunk = 13, .max_logit_rows = 13});
    const auto keep = [&](std::size_t, std::span<const float> row) { logits.insert(logits.end(), row.begin(), row.end()); };
    EXPECT_TRUE(session && (*session)->append_each(tokens, keep));
    const auto last = (*session)->append(std::span(tokens).first(1));
    EXPECT_TRUE(last);
    logits.insert(logits.end(), last->begin(), last->end());
    return logits;
  };
  EXPECT_TRUE(logits_of({.map_file = true}) == logits_of({}));
}

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const arch::Architecture& architecture : arch::all()) {
    const std::string a(architecture.name);
    std::string name = a;
    std::replace(name.begin(), name.end(), '-', '_');
    all.push_back({name, {.architecture = a}});
    all.push_back({name + "_with_biases_and_one_head_each", {.architecture = a, .n_kv_heads = 4, .has_bias = true}});
    all.push_back({name + "_tied_with_one_key_head_for_all", {.architecture = a, .n_heads = 6, .n_kv_heads = 1, .head_dim = 8, .is_tied = true}});
    all.push_back({name + "_with_odd_sizes", {.architecture = a, .hidden_dim = 37, .n_heads = 5, .n_kv_heads = 5, .head_dim = 10, .ffn_dim = 61}});
    all.push_back({name + "_stretched_linearly", {.architecture = a},
                   [a](GgufBuilder& file) { file.add_f32(a + ".rope.scaling.factor", 4.0F); }});
    all.push_back({name + "_stretched_by_yarn", {.architecture = a, .head_dim = 32}, [a](GgufBuilder& file) {
                     file.add_string(a + ".rope.scaling.type", "yarn").add_f32(a + ".rope.scaling.factor", 4.0F);
                     if (a != "mistral3") file.add_u32(a + ".rope.scaling.original_context_length", 128);
                   }});
  }
  all.push_back({"llama_with_rope_factors", {.has_rope_factors = true}});
  all.push_back({"llama_with_experts", {.has_experts = true, .has_expert_scale = true}});
  all.push_back({"phi3_with_rope_factors", {.architecture = "phi3", .has_rope_factors = true}});
  all.push_back({"smollm3_with_an_unrotated_layer", {.architecture = "smollm3", .n_layers = 5}});
  all.push_back({"gemma3_with_all_kinds_of_layers", {.architecture = "gemma3", .n_layers = 7}});
  all.push_back({"olmo2_with_all_kinds_of_layers", {.architecture = "olmo2", .n_layers = 5}});
  all.push_back({"granite_without_rope", {.architecture = "granite"}, [](GgufBuilder& file) {
                   file.add_bool("granite.rope.scaling.finetuned", false);
                 }});
  all.push_back({"gpt_oss_with_flags_for_windows", {.architecture = "gpt-oss", .n_layers = 3}, [](GgufBuilder& file) {
                   file.add_i32s("gpt-oss.attention.sliding_window_pattern", {0, 1, 1});
                 }});
  const auto gating = [](std::uint32_t function, bool normalizes) {
    return [=](GgufBuilder& file) {
      file.add_u32("deepseek2.expert_gating_func", function).add_bool("deepseek2.expert_weights_norm", normalizes);
      file.add_u32("deepseek2.expert_group_count", 3).add_u32("deepseek2.expert_group_used_count", 2);
    };
  };
  all.push_back({"deepseek2_with_sigmoid_and_groups", {.architecture = "deepseek2", .n_layers = 3}, gating(2, true)});
  all.push_back({"deepseek2_with_softmax_and_groups", {.architecture = "deepseek2", .n_experts = 9, .has_gate_and_up = true},
                 gating(1, false)});
  all.push_back({"deepseek2_without_query_rank", {.architecture = "deepseek2", .query_rank = 0}, [](GgufBuilder& file) {
                   file.add_f32("deepseek2.attention.temperature_scale", 0.3F);
                   file.add_u32("deepseek2.attention.temperature_length", 16);
                 }});
  all.push_back({"deepseek2_with_one_matrix_of_keys_and_values", {.architecture = "deepseek2", .is_older_form = true}});
  all.push_back({"deepseek2_stretched_as_deepseek_does", {.architecture = "deepseek2", .head_dim = 32}, [](GgufBuilder& file) {
                   file.add_string("deepseek2.rope.scaling.type", "yarn").add_f32("deepseek2.rope.scaling.factor", 4.0F);
                   file.add_u32("deepseek2.rope.scaling.original_context_length", 128);
                   file.add_f32("deepseek2.rope.scaling.yarn_log_multiplier", 0.0707F);
                 }});
  all.push_back({"granitehybrid_with_experts", {.architecture = "granitehybrid", .n_layers = 3, .has_experts = true}});
  all.push_back({"lfm2moe_with_layers_of_all_kinds", {.architecture = "lfm2moe", .n_layers = 4}});
  all.push_back({"qwen35_with_layers_told", {.architecture = "qwen35", .n_layers = 3}, [](GgufBuilder& file) {
                   file.add_i32s("qwen35.attention.recurrent_layers", {1, 0, 1});
                 }});
  all.push_back({"qwen35_with_a_layer_for_drafts", {.architecture = "qwen35", .n_layers = 3}, [](GgufBuilder& file) {
                   file.add_u32("qwen35.nextn_predict_layers", 1);
                 }});
  all.push_back({"qwen35moe_with_gate_and_up_in_one", {.architecture = "qwen35moe", .has_gate_and_up = true}});
  all.push_back({"qwen3next_of_older_form", {.architecture = "qwen3next", .has_expert_scale = true, .is_older_form = true}});
  const std::string moe = "qwen3moe";
  all.push_back({moe + "_with_scales", {.architecture = moe, .has_expert_scale = true}, [](GgufBuilder& file) {
                   file.add_f32("qwen3moe.expert_weights_scale", 2.5F);
                 }});
  all.push_back({moe + "_with_all_experts_used", {.architecture = moe, .n_experts = 3, .n_experts_used = 3}});
  all.push_back({moe + "_with_one_expert", {.architecture = moe, .n_experts = 1, .n_experts_used = 1}});
  all.push_back({moe + "_with_many_experts_of_one_row", {.architecture = moe, .n_experts = 70, .n_experts_used = 5, .expert_ffn_dim = 1}});
  return all;
}

INSTANTIATE_TEST_SUITE_P(Exec, Oracle, testing::ValuesIn(cases()), [](const auto& tested) { return tested.param.name; });

/// Sequences of different lengths, prompts and single tokens, together give what each gives alone.
TEST(Executor, ASequenceDoesNotSeeItsNeighbours) {
  const TempDir dir;
  const Loaded loaded(dir.write("tiny.gguf", TinyModel{}.build().build()));
  const Model::Parts& parts = loaded.model->parts();
  const exec::KvLayout layout = kv_layout(parts.plan, KvType::kF16);
  auto executor = exec::Executor::create(parts.plan, parts.weights, *loaded.engine->parts().pool,
                                         {.max_rows = 200, .max_logit_rows = 8}, layout);
  ASSERT_TRUE(executor) << executor.error().message;
  const auto cache = std::make_shared<exec::KvCache>(layout);

  // Alone.
  const std::size_t lengths[] = {1, 70, 3, 64, 1};
  std::vector<std::vector<float>> expected;
  std::vector<std::vector<TokenId>> texts;
  for (std::size_t i = 0; i < std::size(lengths); ++i) {
    texts.push_back(some_tokens(lengths[i] + 2, static_cast<unsigned>(i)));
    const auto session = Session::create(loaded.model);
    ASSERT_TRUE(session);
    for (const std::size_t n : {lengths[i], lengths[i] + 1, lengths[i] + 2}) {
      const std::size_t done = (*session)->n_tokens();
      const auto logits = (*session)->append(std::span(texts[i]).subspan(done, n - done));
      ASSERT_TRUE(logits);
      expected.emplace_back(logits->begin(), logits->end());
    }
  }

  // Together: all prompts in one batch, then two steps of one token each; the second without one of them.
  std::vector<std::unique_ptr<exec::Sequence>> sequences;
  for (std::size_t i = 0; i < std::size(lengths); ++i) sequences.push_back(std::make_unique<exec::Sequence>(cache, 512));
  for (std::size_t step = 0; step < 3; ++step) {
    std::vector<TokenId> tokens;
    std::vector<exec::Slice> slices;
    std::vector<std::uint32_t> last_rows;
    for (std::size_t i = 0; i < std::size(lengths); ++i) {
      const std::size_t n = step == 0 ? lengths[i] : 1;
      const auto new_tokens = std::span(texts[i]).subspan(sequences[i]->n_tokens(), n);
      ASSERT_TRUE(sequences[i]->reserve(n));
      slices.push_back({sequences[i].get(), tokens.size(), n});
      tokens.insert(tokens.end(), new_tokens.begin(), new_tokens.end());
      last_rows.push_back(static_cast<std::uint32_t>(tokens.size() - 1));
    }
    const Logits logits = (*executor)->run({tokens, slices, last_rows});
    ASSERT_EQ(logits.n_rows, std::size(lengths));
    for (std::size_t i = 0; i < std::size(lengths); ++i) {
      const auto row = logits.row(i);
      EXPECT_TRUE(std::equal(row.begin(), row.end(), expected[3 * i + step].begin())) << "sequence " << i << ", step " << step;
    }
  }
}

/// A model whose experts are of `type`, with random bits as weights.
GgufBuilder model_with_experts_of(quant::DType type) {
  const TinyModel model{.architecture = "qwen3moe", .hidden_dim = 256, .n_experts = 8, .n_experts_used = 3, .expert_ffn_dim = 256};
  std::vector<std::string> names;
  for (const char* layer : {"blk.0.", "blk.1."}) {
    for (const char* part : {"ffn_gate_exps", "ffn_up_exps", "ffn_down_exps"}) names.push_back(std::string(layer) + part + ".weight");
  }
  GgufBuilder file = model.build(names);
  std::mt19937 random(3);
  for (const std::string& name : names) file.add_tensor(name, {256, 256, 8}, type, random_rows(type, 8 * 256, 256, random));
  return file;
}

/// Single tokens and chunks, on any number of threads, packed and mapped.
TEST(Executor, ExpertsGiveTheSameBitsHoweverATextIsCut) {
  const TempDir dir;
  const auto tokens = some_tokens(40, 9);
  for (const quant::DType type : {quant::DType::kBF16, quant::DType::kQ8_0, quant::DType::kQ4_K, quant::DType::kIQ4_XS,
                                  quant::DType::kIQ2_S, quant::DType::kTQ1_0}) {
    const auto path = dir.write("experts.gguf", model_with_experts_of(type).build());
    const auto logits_of = [&](std::size_t n_threads, std::size_t chunk, bool is_mapped) {
      const Loaded loaded(path, n_threads, {.map_file = is_mapped});
      std::vector<float> logits;
      const auto session = Session::create(loaded.model, {.chunk = chunk, .max_logit_rows = chunk});
      const auto keep = [&](std::size_t, std::span<const float> row) { logits.insert(logits.end(), row.begin(), row.end()); };
      EXPECT_TRUE(session && (*session)->append_each(tokens, keep));
      return logits;
    };
    const std::vector<float> expected = logits_of(1, 1, false);
    for (const auto& [n_threads, chunk] : {std::pair{1U, 40U}, {3U, 40U}, {3U, 1U}, {2U, 7U}}) {
      EXPECT_TRUE(logits_of(n_threads, chunk, false) == expected) << quant::info(type).name << ", " << n_threads << ", " << chunk;
    }
    EXPECT_TRUE(logits_of(2, 1, true) == expected && logits_of(2, 31, true) == expected) << quant::info(type).name;

    // Eight bits an activation leave two to five percent; a wrong expert, weight or row would be as far away as any.
    const auto reference = reference::ReferenceModel::open(path);
    ASSERT_TRUE(reference) << reference.error().message;
    const std::vector<float> exact = reference->logits(tokens);
    double difference = 0, size = 0;
    for (std::size_t i = 0; i < exact.size(); ++i) {
      difference += std::abs(static_cast<double>(expected[i] - exact[i]));
      size += std::abs(static_cast<double>(exact[i]));
    }
    EXPECT_LT(difference, 0.08 * size) << quant::info(type).name;
  }
}

/// Heads of latent attention have one head of keys, which threads share out, and matrices of their own.
TEST(Executor, LatentAttentionGivesTheSameBitsHoweverATextIsCut) {
  const TempDir dir;
  const auto path = dir.write("latent.gguf", TinyModel{.architecture = "deepseek2", .n_heads = 5}.build().build());
  const auto tokens = some_tokens(100, 9);
  const auto logits_of = [&](std::size_t n_threads, std::size_t chunk, bool is_mapped) {
    const Loaded loaded(path, n_threads, {.map_file = is_mapped});
    std::vector<float> logits;
    const auto session = Session::create(loaded.model, {.chunk = chunk, .max_logit_rows = chunk});
    const auto keep = [&](std::size_t, std::span<const float> row) { logits.insert(logits.end(), row.begin(), row.end()); };
    EXPECT_TRUE(session && (*session)->append_each(tokens, keep));
    return logits;
  };
  const std::vector<float> expected = logits_of(1, 1, false);
  for (const auto& [n_threads, chunk] : {std::pair{1U, 100U}, {2U, 1U}, {2U, 7U}, {3U, 67U}, {3U, 100U}}) {
    EXPECT_TRUE(logits_of(n_threads, chunk, false) == expected) << n_threads << ", " << chunk;
  }
  EXPECT_TRUE(logits_of(2, 31, true) == expected);
}

TEST(Executor, ARouterOfNonsenseGivesNonsense) {
  const TempDir dir;
  const TinyModel model{.architecture = "qwen3moe"};
  GgufBuilder file = model.build({"blk.0.ffn_gate_inp.weight"});
  file.add_tensor("blk.0.ffn_gate_inp.weight", {model.hidden_dim, model.n_experts},
                  std::vector<float>(std::size_t{model.hidden_dim} * model.n_experts, NAN));
  const Loaded loaded(dir.write("nan.gguf", file.build()));
  const auto session = Session::create(loaded.model);
  ASSERT_TRUE(session);
  for (const std::size_t n : {30U, 1U}) {
    const auto logits = (*session)->append(some_tokens(n, 1));
    ASSERT_TRUE(logits);
    EXPECT_TRUE(std::isnan((*logits)[0]));
  }
}

TEST(Executor, ABatchWithoutLogitsStillFillsTheCache) {
  const TempDir dir;
  const Loaded loaded(dir.write("tiny.gguf", TinyModel{}.build().build()), 3);
  const auto tokens = some_tokens(100, 1);
  const auto in_pieces = Session::create(loaded.model, {.chunk = 33}), at_once = Session::create(loaded.model);
  ASSERT_TRUE(in_pieces && at_once);
  const auto a = (*in_pieces)->append(tokens), b = (*at_once)->append(tokens);
  ASSERT_TRUE(a && b);
  EXPECT_TRUE(std::equal(a->begin(), a->end(), b->begin()));
}

}  // namespace
}  // namespace woolly::test
