// The functions that the rows of registry.cpp name; each is defined in its architecture's file.
#pragma once

#include "gguf/gguf.h"
#include "model/spec.h"
#include "plan/graph.h"
#include "woolly/error.h"

namespace woolly::arch {

Result<model::Spec> read_llama_spec(const gguf::Metadata& metadata);
void build_llama(plan::GraphBuilder& graph);

Result<model::Spec> read_qwen2_spec(const gguf::Metadata& metadata);
void build_qwen2(plan::GraphBuilder& graph);

Result<model::Spec> read_qwen3_spec(const gguf::Metadata& metadata);
void build_qwen3(plan::GraphBuilder& graph);

Result<model::Spec> read_qwen3moe_spec(const gguf::Metadata& metadata);

}  // namespace woolly::arch
