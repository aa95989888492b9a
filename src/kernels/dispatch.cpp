#include "kernels/dispatch.h"

#include <fmt/format.h>

#include <array>
#include <cstdlib>
#include <string_view>

#include "os/cpu.h"

namespace woolly::kernels {
namespace scalar {
extern const KernelTable kTable;
}
#if WOOLLY_HAS_AVX2
namespace avx2 {
extern const KernelTable kTable;
}
#endif
#if WOOLLY_HAS_AVXVNNI
namespace avxvnni {
extern const KernelTable kTable;
}
namespace avxvnni_evex {
extern const KernelTable kTable;
}
#endif
#if WOOLLY_HAS_AVX512
namespace avx512 {
extern const KernelTable kTable;
}
#endif
#if WOOLLY_HAS_AVX512_BF16
namespace avx512_bf16 {
extern const KernelTable kTable;
}
#endif
#if WOOLLY_HAS_AMX
namespace amx {
extern const KernelTable kTable;
}
#endif
namespace {

/// A set that this program was built with, whether a processor can run it, and whether it is slower there than the one
/// before.
struct Isa {
  const KernelTable* table;
  bool (*runs_on)(const os::CpuFeatures& cpu);
  bool (*is_slow_on)(const os::CpuFeatures& cpu) = [](const os::CpuFeatures&) { return false; };
};

/// Weakest first.
const Isa kIsas[] = {
    {&scalar::kTable, [](const os::CpuFeatures&) { return true; }},
#if WOOLLY_HAS_AVX2
    {&avx2::kTable, [](const os::CpuFeatures& cpu) { return cpu.avx2; }},
#endif
#if WOOLLY_HAS_AVXVNNI
    {&avxvnni::kTable, [](const os::CpuFeatures& cpu) { return cpu.avx2 && cpu.avx_vnni; }},
    {&avxvnni_evex::kTable, [](const os::CpuFeatures& cpu) { return cpu.avx512 && cpu.avx512_vnni; }},
#endif
#if WOOLLY_HAS_AVX512
    {&avx512::kTable, [](const os::CpuFeatures& cpu) { return cpu.avx512 && cpu.avx512_vnni; }},
#endif
#if WOOLLY_HAS_AVX512_BF16
    // AMD's processors multiply twice as much in bfloat16 as in float32, Intel's without tiles half as much.
    {&avx512_bf16::kTable, [](const os::CpuFeatures& cpu) { return cpu.avx512_vnni && cpu.avx512_bf16; },
     [](const os::CpuFeatures& cpu) { return !cpu.is_amd; }},
#endif
#if WOOLLY_HAS_AMX
    {&amx::kTable, [](const os::CpuFeatures& cpu) { return cpu.amx_int8 && cpu.amx_bf16 && cpu.avx512_bf16; }},
#endif
};

struct Available {
  std::array<const KernelTable*, std::size(kIsas)> tables{};
  std::size_t n = 0;
  const KernelTable* best = nullptr;
  Available() {
    for (const Isa& isa : kIsas) {
      if (!isa.runs_on(os::cpu())) continue;
      tables[n++] = isa.table;
      if (!isa.is_slow_on(os::cpu())) best = isa.table;
    }
  }
};

const Available& available() {
  static const Available tables;
  return tables;
}

std::string names(std::span<const KernelTable* const> tables) {
  std::string list;
  for (const KernelTable* table : tables) list += fmt::format("{}{}", list.empty() ? "" : ", ", table->name);
  return list;
}

}  // namespace

std::span<const KernelTable* const> available_tables() {
  return {available().tables.data(), available().n};
}

Result<const KernelTable*> find_table(std::string_view name) {
  const std::span<const KernelTable* const> tables = available_tables();
  for (const KernelTable* table : tables) {
    if (name == table->name) return table;
  }
  for (const Isa& isa : kIsas) {
    if (name == isa.table->name) {
      return Error{ErrorCode::kUnsupported,
                   fmt::format("\"{}\": this processor lacks it; it has {}", name, names(tables))};
    }
  }
  return Error{ErrorCode::kInvalidArgument,
               fmt::format("\"{}\": not a kernel table of this build; allowed are {}", name, names(tables))};
}

Result<const KernelTable*> choose_table() {
  const char* disable = std::getenv("WOOLLY_DISABLE_SIMD");
  if (disable != nullptr && std::string_view(disable) == "1") return available_tables().front();
  const char* wanted = std::getenv("WOOLLY_ISA");
  if (wanted == nullptr || *wanted == '\0') return available().best;
  Result<const KernelTable*> table = find_table(wanted);
  if (table) return table;
  return Error{table.error().code, fmt::format("WOOLLY_ISA={}", table.error().message)};
}

}  // namespace woolly::kernels
