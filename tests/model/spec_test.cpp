#include "model/spec.h"

#include <gtest/gtest.h>

#include <cmath>

#include "support/gguf_builder.h"

namespace woolly::test {
namespace {

using model::RopePairs;
using model::Spec;

/// The keys of a small model, each of which a test may replace or leave out.
struct Keys {
  std::uint32_t block_count = 2, embedding_length = 64, feed_forward_length = 128, context_length = 256;
  std::uint32_t head_count = 4, head_count_kv = 2, key_length = 0;
  float eps = 1e-5F;

  [[nodiscard]] GgufBuilder build() const {
    GgufBuilder file;
    file.add_u32("m.block_count", block_count).add_u32("m.embedding_length", embedding_length);
    file.add_u32("m.feed_forward_length", feed_forward_length).add_u32("m.context_length", context_length);
    file.add_u32("m.attention.head_count", head_count).add_u32("m.attention.head_count_kv", head_count_kv);
    file.add_f32("m.attention.layer_norm_rms_epsilon", eps).add_u32("m.vocab_size", 100);
    if (key_length != 0) file.add_u32("m.attention.key_length", key_length);
    return file;
  }
};

Result<Spec> read(const GgufBuilder& builder) {
  const auto file = parse_bytes(GgufBuilder(builder).build());
  EXPECT_TRUE(file) << file.error().message;
  return model::read_transformer_spec(file->metadata, "m", RopePairs::kHalves);
}

void expect_error(const GgufBuilder& builder, const std::vector<std::string>& parts) {
  const auto spec = read(builder);
  ASSERT_FALSE(spec) << parts.front();
  for (const std::string& part : parts) {
    EXPECT_NE(spec.error().message.find(part), std::string::npos) << spec.error().message << " lacks " << part;
  }
}

TEST(Spec, ReadsTheFactsAndDerivesTheRest) {
  const auto spec = read(Keys{}.build());
  ASSERT_TRUE(spec) << spec.error().message;
  EXPECT_EQ(spec->head_dim, 16U);
  EXPECT_EQ(spec->rope.n_rot, 16U);
  EXPECT_EQ(spec->rope.base, 10000.0F);
  EXPECT_EQ(spec->vocab_size, 100U);
  EXPECT_EQ(spec->attention_scale, 0.25F);
  EXPECT_EQ(spec->rope.factor, 1.0F);
}

TEST(Spec, TheVocabularyCountsItsTokens) {
  const auto spec = read(Keys{}.build().add_strings("tokenizer.ggml.tokens", {"a", "b", "c"}));
  ASSERT_TRUE(spec);
  EXPECT_EQ(spec->vocab_size, 3U);
}

TEST(Spec, NamesTheKeyTheValueAndTheRange) {
  expect_error(Keys{.head_count = 0}.build(), {"m.attention.head_count is 0", "1 to 4096"});
  expect_error(Keys{.head_count_kv = 0}.build(), {"m.attention.head_count_kv is 0", "1 to"});
  expect_error(Keys{.head_count = 3, .head_count_kv = 2}.build(), {"head_count is 3", "multiple", "is 2"});
  expect_error(Keys{.block_count = 0}.build(), {"m.block_count is 0", "1 to 1024"});
  expect_error(Keys{.block_count = 5000}.build(), {"m.block_count is 5000"});
  expect_error(Keys{.embedding_length = 0}.build(), {"m.embedding_length is 0"});
  expect_error(Keys{.embedding_length = 0xFFFFFFFF}.build(), {"m.embedding_length is 4294967295"});
  expect_error(Keys{.context_length = 0}.build(), {"m.context_length is 0"});
  expect_error(Keys{.feed_forward_length = 0}.build(), {"m.feed_forward_length is 0"});
  expect_error(Keys{.key_length = 1025}.build(), {"m.attention.key_length is 1025", "0 to 1024"});
  expect_error(Keys{.head_count = 64, .head_count_kv = 64}.build(), {"heads of 1 elements", "2 to 1024"});
  expect_error(Keys{.embedding_length = 8192, .head_count = 4}.build(), {"m: heads of 2048 elements", "2 to 1024"});
  expect_error(Keys{.eps = -1.0F}.build(), {"layer_norm_rms_epsilon is -1"});
  expect_error(Keys{.eps = NAN}.build(), {"layer_norm_rms_epsilon is nan"});
  expect_error(Keys{}.build().add_u32("m.rope.dimension_count", 17), {"m.rope.dimension_count is 17", "0 to 16"});
  expect_error(Keys{}.build().add_u32("m.rope.dimension_count", 7), {"m.rope.dimension_count is 7", "even"});
  expect_error(Keys{}.build().add_string("m.rope.scaling.type", "dynamic"), {"dynamic", "none, linear, yarn and longrope"});
  expect_error(Keys{}.build().add_string("m.rope.freq_base", "x"), {"m.rope.freq_base"});
}

/// A file with the keys of experts, each left out where it is -1.
Result<model::Experts> read_experts(std::int64_t n, std::int64_t n_used, std::int64_t ffn_dim,
                                    std::optional<float> scale = std::nullopt) {
  GgufBuilder builder = Keys{}.build();
  if (n >= 0) builder.add_u64("m.expert_count", static_cast<std::uint64_t>(n));
  if (n_used >= 0) builder.add_u64("m.expert_used_count", static_cast<std::uint64_t>(n_used));
  if (ffn_dim >= 0) builder.add_u64("m.expert_feed_forward_length", static_cast<std::uint64_t>(ffn_dim));
  if (scale) builder.add_f32("m.expert_weights_scale", *scale);
  const auto file = parse_bytes(builder.build());
  EXPECT_TRUE(file) << file.error().message;
  Spec spec;
  spec.architecture = "m";
  spec.ffn_dim = 128;
  return model::read_experts(file->metadata, spec);
}

TEST(Spec, ReadsExperts) {
  const auto experts = read_experts(64, 8, 768);
  ASSERT_TRUE(experts) << experts.error().message;
  EXPECT_EQ(experts->n, 64U);
  EXPECT_EQ(experts->n_used, 8U);
  EXPECT_EQ(experts->ffn_dim, 768U);
  EXPECT_EQ(experts->weight_scale, 1.0F);
  EXPECT_EQ(read_experts(8, 2, -1)->ffn_dim, 64U) << "the network is shared out";
  EXPECT_EQ(read_experts(8, 2, 0, 0.0F)->weight_scale, 1.0F) << "not set";
  EXPECT_EQ(read_experts(8, 2, 0, 2.5F)->weight_scale, 2.5F);
}

TEST(Spec, NamesWhatIsWrongWithExperts) {
  const auto expect = [](const Result<model::Experts>& experts, const std::vector<std::string>& parts) {
    ASSERT_FALSE(experts) << parts.front();
    for (const std::string& part : parts) {
      EXPECT_NE(experts.error().message.find(part), std::string::npos) << experts.error().message << " lacks " << part;
    }
  };
  expect(read_experts(-1, 8, 768), {"m.expert_count", "missing"});
  expect(read_experts(0, 8, 768), {"m.expert_count is 0", "1 to 1024"});
  expect(read_experts(1LL << 40, 8, 768), {"m.expert_count is 1099511627776", "1 to 1024"});
  expect(read_experts(8, -1, 768), {"m.expert_used_count", "missing"});
  expect(read_experts(8, 0, 768), {"m.expert_used_count is 0", "1 to 8"});
  expect(read_experts(8, 9, 768), {"m.expert_used_count is 9", "1 to 8"});
  expect(read_experts(8, 2, 1LL << 32), {"m.expert_feed_forward_length is 4294967296", "0 to 4194304"});
  expect(read_experts(512, 200, -1), {"m.expert_feed_forward_length is missing", "m.feed_forward_length is 128", "200"});
  expect(read_experts(8, 2, 768, NAN), {"m.expert_weights_scale is nan"});
  expect(read_experts(8, 2, 768, -1.0F), {"m.expert_weights_scale is -1"});
}

TEST(Spec, NamesAMissingKey) {
  expect_error(GgufBuilder().add_u32("m.block_count", 1), {"m.embedding_length", "missing"});
}

TEST(Spec, NumbersOfEachLayerMustAgree) {
  const auto with_heads = [](const std::vector<std::int32_t>& heads) {
    GgufBuilder file;
    file.add_u32("m.block_count", 2).add_u32("m.embedding_length", 64).add_u32("m.feed_forward_length", 128);
    file.add_u32("m.context_length", 256).add_f32("m.attention.layer_norm_rms_epsilon", 1e-5F);
    file.add_u32("m.attention.head_count", 4).add_i32s("m.attention.head_count_kv", heads).add_u32("m.vocab_size", 9);
    return file;
  };
  const auto spec = read(with_heads({2, 2}));
  ASSERT_TRUE(spec) << spec.error().message;
  EXPECT_EQ(spec->n_kv_heads, 2U);
  expect_error(with_heads({2, 4}), {"m.attention.head_count_kv differs between layers"});
  expect_error(with_heads({-2, -2}), {"m.attention.head_count_kv is -2"});
}

TEST(Spec, AZeroInAFactorMeansNotSet) {
  const auto spec = read(Keys{}.build().add_f32("m.rope.scaling.factor", 0.0F).add_string("m.rope.scaling.type", "linear"));
  ASSERT_TRUE(spec);
  EXPECT_EQ(spec->rope.factor, 1.0F);
}

}  // namespace
}  // namespace woolly::test
