// THE table of architectures.
#include <fmt/format.h>

#include "arch/architecture.h"
#include "arch/recipes.h"

namespace woolly::arch {
namespace {

constexpr Architecture kArchitectures[] = {
    {"llama", read_llama_spec, build_llama},
    {"qwen2", read_qwen2_spec, build_qwen2},
    {"qwen3", read_qwen3_spec, build_qwen3},
    {"qwen3moe", read_qwen3moe_spec, build_qwen3},
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
