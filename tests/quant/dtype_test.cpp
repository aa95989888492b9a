#include "quant/dtype.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

namespace woolly::quant {
namespace {

TEST(DType, Table_HasTheSizesOfTheSpecification) {
  // Name: weights and bytes of a block.
  const std::map<std::string_view, std::pair<std::uint32_t, std::uint32_t>> sizes = {
      {"F32", {1, 4}},      {"F16", {1, 2}},      {"BF16", {1, 2}},       {"Q8_0", {32, 34}},
      {"Q4_0", {32, 18}},   {"Q4_1", {32, 20}},   {"Q5_0", {32, 22}},     {"Q5_1", {32, 24}},
      {"Q2_K", {256, 84}},  {"Q3_K", {256, 110}}, {"Q4_K", {256, 144}},   {"Q5_K", {256, 176}},
      {"Q6_K", {256, 210}}, {"IQ4_NL", {32, 18}}, {"IQ4_XS", {256, 136}}, {"MXFP4", {32, 17}},
      {"IQ1_S", {256, 50}}, {"IQ1_M", {256, 56}}, {"IQ2_XXS", {256, 66}}, {"IQ2_XS", {256, 74}},
      {"IQ2_S", {256, 82}}, {"IQ3_S", {256, 110}}, {"IQ3_XXS", {256, 98}}, {"TQ1_0", {256, 54}},
      {"TQ2_0", {256, 66}},
  };
  EXPECT_EQ(all_dtypes().size(), sizes.size());
  for (const DTypeInfo& row : all_dtypes()) {
    ASSERT_TRUE(sizes.contains(row.name)) << row.name;
    EXPECT_EQ(std::pair(row.block_k, row.block_bytes), sizes.at(row.name)) << row.name;
  }
}

TEST(DType, Find_GivesTheRowOfEachIdAndNothingElse) {
  std::set<std::uint32_t> ids;
  for (const DTypeInfo& row : all_dtypes()) {
    const auto id = static_cast<std::uint32_t>(row.type);
    EXPECT_TRUE(ids.insert(id).second);
    EXPECT_EQ(find_dtype(id), &row);
    EXPECT_EQ(&info(row.type), &row);
    EXPECT_TRUE(unread_type_name(id).empty()) << row.name;
  }
  for (std::uint32_t id = 0; id < 1000; ++id) EXPECT_EQ(find_dtype(id) != nullptr, ids.contains(id)) << id;
  EXPECT_EQ(find_dtype(0xFFFFFFFFu), nullptr);
  EXPECT_EQ(unread_type_name(40), "NVFP4");
  EXPECT_EQ(unread_type_name(41), "Q1_0");
  EXPECT_EQ(unread_type_name(1000), "");
}

TEST(DType, Decode_TakesAnyBitsAtAnyAddressAndWritesExactlyItsBlocks) {
  std::mt19937 random(7);
  for (const DTypeInfo& row : all_dtypes()) {
    for (const std::size_t n_blocks : {0u, 1u, 2u, 7u}) {
      // One byte past an aligned address: a file gives blocks no alignment.
      std::vector<std::byte> bytes(1 + n_blocks * row.block_bytes);
      for (std::byte& b : bytes) b = static_cast<std::byte>(random() & 255);
      std::vector<float> out(n_blocks * row.block_k + 1, 42.0f);
      row.decode(bytes.data() + 1, n_blocks, out.data());
      EXPECT_EQ(out.back(), 42.0f) << row.name;
      for (std::size_t b = 0; b < n_blocks; ++b) {
        std::vector<float> alone(row.block_k);
        row.decode(bytes.data() + 1 + b * row.block_bytes, 1, alone.data());
        for (std::size_t i = 0; i < alone.size(); ++i) {
          const float together = out[b * row.block_k + i];
          EXPECT_TRUE(alone[i] == together || (std::isnan(alone[i]) && std::isnan(together))) << row.name;
        }
      }
    }
  }
}

}  // namespace
}  // namespace woolly::quant
