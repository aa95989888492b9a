#include "kernels/dispatch.h"

#include <gtest/gtest.h>

#include "os/cpu.h"

namespace woolly::test {
namespace {

TEST(Dispatch, TheScalarTableComesFirstAndTablesAreAvailableByFeature) {
  const auto tables = kernels::available_tables();
  ASSERT_FALSE(tables.empty());
  EXPECT_STREQ(tables[0]->name, "scalar");
  const auto has = [&](std::string_view name) {
    for (const kernels::KernelTable* table : tables) {
      if (table->name == name) return true;
    }
    return false;
  };
  EXPECT_EQ(has("avx2"), os::cpu().avx2);
  EXPECT_EQ(has("avxvnni"), os::cpu().avx_vnni);
  EXPECT_EQ(has("avxvnni_evex"), os::cpu().avx512 && os::cpu().avx512_vnni);
  EXPECT_EQ(has("avx512"), os::cpu().avx512 && os::cpu().avx512_vnni);
  EXPECT_EQ(has("avx512_bf16"), os::cpu().avx512_bf16 && os::cpu().avx512_vnni);
  EXPECT_EQ(has("amx"), os::cpu().amx_int8 && os::cpu().amx_bf16);
}

TEST(Dispatch, TablesAreFoundByTheirNames) {
  for (const kernels::KernelTable* table : kernels::available_tables()) {
    const auto found = kernels::find_table(table->name);
    ASSERT_TRUE(found) << found.error().message;
    EXPECT_EQ(*found, table);
  }
  for (const char* name : {"", "pentium", "scala", "Scalar"}) {
    const auto found = kernels::find_table(name);
    ASSERT_FALSE(found) << name;
    EXPECT_NE(found.error().message.find("allowed are scalar"), std::string::npos) << found.error().message;
  }
}

TEST(Dispatch, TheBestTableIsChosen) {
  const auto table = kernels::choose_table();
  ASSERT_TRUE(table);
  std::span<const kernels::KernelTable* const> tables = kernels::available_tables();
  // Products of bfloat16 without tiles are fast on processors of AMD only.
  if (std::string_view(tables.back()->name) == "avx512_bf16" && !os::cpu().is_amd) tables = tables.first(tables.size() - 1);
  EXPECT_EQ(*table, tables.back());
}

}  // namespace
}  // namespace woolly::test
