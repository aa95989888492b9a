#include <gtest/gtest.h>

#include "arch/architecture.h"
#include "support/tiny_model.h"

namespace woolly::test {
namespace {

gguf::File parse(GgufBuilder builder) {
  auto file = parse_bytes(builder.build());
  EXPECT_TRUE(file) << file.error().message;
  return std::move(file).value();
}

std::string find_error(GgufBuilder builder) {
  const auto found = arch::find(parse(std::move(builder)).metadata);
  return found ? "" : found.error().message;
}

/// Every row builds a graph from a file that has what the row needs. A new row comes with a TinyModel that it accepts.
TEST(Architectures, EveryRowReadsItsFactsAndBuilds) {
  for (const arch::Architecture& architecture : arch::all()) {
    const gguf::File file = parse(TinyModel{.architecture = std::string(architecture.name)}.build());
    const auto found = arch::find(file.metadata);
    ASSERT_TRUE(found) << found.error().message;
    EXPECT_EQ((*found)->name, architecture.name);
    auto spec = architecture.read_spec(file.metadata);
    ASSERT_TRUE(spec) << spec.error().message;
    EXPECT_EQ(spec->architecture, architecture.name);
    plan::GraphBuilder builder(std::move(spec).value(), file);
    architecture.build(builder);
    const auto graph = builder.finish();
    ASSERT_TRUE(graph) << graph.error().message;
    EXPECT_FALSE(graph->steps.empty());
  }
}

/// A file without a tensor that the recipe reads is an error that names it, for every tensor of every architecture.
TEST(Architectures, EveryMissingTensorIsNamed) {
  for (const arch::Architecture& architecture : arch::all()) {
    const TinyModel model{.architecture = std::string(architecture.name)};  // a layer of each kind
    std::size_t n_required = 0;
    const gguf::File whole = parse(model.build());
    for (const gguf::TensorView& tensor : whole.tensors()) {
      const gguf::File file = parse(model.build({std::string(tensor.name)}));
      auto spec = architecture.read_spec(file.metadata);
      ASSERT_TRUE(spec);
      plan::GraphBuilder builder(std::move(spec).value(), file);
      architecture.build(builder);
      const auto graph = builder.finish();
      if (graph) continue;  // a tensor that it does not need
      EXPECT_EQ(graph.error().code, ErrorCode::kInvalidFile);
      EXPECT_NE(graph.error().message.find(tensor.name), std::string::npos) << graph.error().message;
      ++n_required;
    }
    EXPECT_GE(n_required, 10U) << architecture.name;
  }
}

TEST(Architectures, UnknownOnesAreNamedWithThoseThatWork) {
  const std::string message = find_error(TinyModel{.architecture = "mamba9"}.build());
  EXPECT_NE(message.find("mamba9"), std::string::npos) << message;
  EXPECT_NE(message.find("llama, mistral3, qwen2"), std::string::npos) << message;
  EXPECT_NE(find_error(GgufBuilder()).find("general.architecture"), std::string::npos);
}

}  // namespace
}  // namespace woolly::test
