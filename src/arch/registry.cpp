// THE table of architectures.
#include <fmt/format.h>

#include "arch/architecture.h"
#include "arch/recipes.h"

namespace woolly::arch {
namespace {

constexpr Architecture kArchitectures[] = {
    {"llama", read_llama_spec, build_llama},
    {"mistral3", read_mistral3_spec, build_llama},
    {"qwen2", read_qwen2_spec, build_qwen2},
    {"qwen3", read_qwen3_spec, build_qwen3},
    {"qwen3moe", read_qwen3moe_spec, build_qwen3},
    {"gemma2", read_gemma2_spec, build_gemma2},
    {"gemma3", read_gemma3_spec, build_gemma3},
    {"phi3", read_phi3_spec, build_phi3},
    {"granite", read_granite_spec, build_granite},
    {"granitemoe", read_granitemoe_spec, build_granite},
    {"olmo2", read_olmo2_spec, build_olmo2},
    {"glm4", read_glm4_spec, build_glm4},
    {"smollm3", read_smollm3_spec, build_smollm3},
    {"gpt-oss", read_gpt_oss_spec, build_gpt_oss},
    {"lfm2", read_lfm2_spec, build_lfm2},
    {"deepseek2", read_deepseek2_spec, build_deepseek2},
    {"mamba2", read_mamba2_spec, build_mamba2},
    {"granitehybrid", read_granitehybrid_spec, build_granitehybrid},
    {"falcon-h1", read_falcon_h1_spec, build_falcon_h1},
    {"lfm2moe", read_lfm2moe_spec, build_lfm2},
    {"qwen35", read_qwen35_spec, build_qwen3next},
    {"qwen35moe", read_qwen35moe_spec, build_qwen3next},
    {"qwen3next", read_qwen3next_spec, build_qwen3next},
};

}  // namespace

std::span<const Architecture> all() { return kArchitectures; }

Result<const Architecture*> find(const gguf::Metadata& metadata) {
  WOOLLY_TRY(const std::string_view name, metadata.get_string("general.architecture"));
  std::string known;
  for (const Architecture& architecture : kArchitectures) {
    if (architecture.name == name) return &architecture;
    known += fmt::format("{}{}", known.empty() ? "" : ", ", architecture.name);
  }
  return Error{ErrorCode::kUnsupported,
               fmt::format("general.architecture is \"{}\", which is not supported; supported are {}", name, known)};
}

}  // namespace woolly::arch
