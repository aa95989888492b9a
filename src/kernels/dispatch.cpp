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
#if WOOLLY_HAS_AMX
namespace amx {
extern const KernelTable kTable;
}
#endif
namespace {

/// A set that this program was built with, and whether a processor can run it.
struct Isa {
  const KernelTable* table;
  bool (*runs_on)(const os::CpuFeatures& cpu);
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
#if WOOLLY_HAS_AMX
    {&amx::kTable, [](const os::CpuFeatures& cpu) { return cpu.amx_int8; }},
#endif
};

struct Available {
  std::array<const KernelTable*, std::size(kIsas)> tables{};
  std::size_t n = 0;
  Available() {
    for (const Isa& isa : kIsas) {
      if (isa.runs_on(os::cpu())) tables[n++] = isa.table;
    }
  }
};

std::string names(std::span<const KernelTable* const> tables) {
  std::string list;
  for (const KernelTable* table : tables) list += fmt::format("{}{}", list.empty() ? "" : ", ", table->name);
  return list;
}

}  // namespace

std::span<const KernelTable* const> available_tables() {
  static const Available available;
  return {available.tables.data(), available.n};
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
  const std::span<const KernelTable* const> tables = available_tables();
  const char* disable = std::getenv("WOOLLY_DISABLE_SIMD");
  if (disable != nullptr && std::string_view(disable) == "1") return tables.front();
  const char* wanted = std::getenv("WOOLLY_ISA");
  if (wanted == nullptr || *wanted == '\0') return tables.back();
  Result<const KernelTable*> table = find_table(wanted);
  if (table) return table;
  return Error{table.error().code, fmt::format("WOOLLY_ISA={}", table.error().message)};
}

}  // namespace woolly::kernels
