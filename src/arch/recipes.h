// The functions that the rows of registry.cpp name; each is defined in its architecture's file.
#pragma once

#include "gguf/gguf.h"
#include "model/spec.h"
#include "plan/graph.h"
#include "woolly/error.h"

namespace woolly::arch {

Result<model::Spec> read_llama_spec(const gguf::Metadata& metadata);
void build_llama(plan::GraphBuilder& graph);
Result<model::Spec> read_mistral3_spec(const gguf::Metadata& metadata);
Result<model::Spec> read_qwen2_spec(const gguf::Metadata& metadata);
void build_qwen2(plan::GraphBuilder& graph);
Result<model::Spec> read_qwen3_spec(const gguf::Metadata& metadata);
void build_qwen3(plan::GraphBuilder& graph);
Result<model::Spec> read_qwen3moe_spec(const gguf::Metadata& metadata);
Result<model::Spec> read_gemma2_spec(const gguf::Metadata& metadata);
void build_gemma2(plan::GraphBuilder& graph);
Result<model::Spec> read_gemma3_spec(const gguf::Metadata& metadata);
void build_gemma3(plan::GraphBuilder& graph);
Result<model::Spec> read_phi3_spec(const gguf::Metadata& metadata);
void build_phi3(plan::GraphBuilder& graph);
Result<model::Spec> read_granite_spec(const gguf::Metadata& metadata);
void build_granite(plan::GraphBuilder& graph);
Result<model::Spec> read_granitemoe_spec(const gguf::Metadata& metadata);
Result<model::Spec> read_olmo2_spec(const gguf::Metadata& metadata);
void build_olmo2(plan::GraphBuilder& graph);
Result<model::Spec> read_glm4_spec(const gguf::Metadata& metadata);
void build_glm4(plan::GraphBuilder& graph);
Result<model::Spec> read_smollm3_spec(const gguf::Metadata& metadata);
void build_smollm3(plan::GraphBuilder& graph);
Result<model::Spec> read_gpt_oss_spec(const gguf::Metadata& metadata);
void build_gpt_oss(plan::GraphBuilder& graph);
Result<model::Spec> read_lfm2_spec(const gguf::Metadata& metadata);
void build_lfm2(plan::GraphBuilder& graph);
Result<model::Spec> read_deepseek2_spec(const gguf::Metadata& metadata);
void build_deepseek2(plan::GraphBuilder& graph);
Result<model::Spec> read_mamba2_spec(const gguf::Metadata& metadata);
void build_mamba2(plan::GraphBuilder& graph);
Result<model::Spec> read_granitehybrid_spec(const gguf::Metadata& metadata);
void build_granitehybrid(plan::GraphBuilder& graph);
Result<model::Spec> read_falcon_h1_spec(const gguf::Metadata& metadata);
void build_falcon_h1(plan::GraphBuilder& graph);
Result<model::Spec> read_lfm2moe_spec(const gguf::Metadata& metadata);
Result<model::Spec> read_qwen35_spec(const gguf::Metadata& metadata);
Result<model::Spec> read_qwen35moe_spec(const gguf::Metadata& metadata);
Result<model::Spec> read_qwen3next_spec(const gguf::Metadata& metadata);
void build_qwen3next(plan::GraphBuilder& graph);

}  // namespace woolly::arch
