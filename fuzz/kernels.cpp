// The matrix kernels of every table against the scalar ones, on weights and activations of any bits: the same bits come out,
// but for the sign and payload of a NaN. Byte 0: type; 1: length of rows; 2: columns; the rest, over and over, is data.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "base/assert.h"
#include "kernels/dispatch.h"
#include "kernels/panel_format.h"
#include "kernels/support.h"
#include "quant/dtype.h"

namespace {

using namespace woolly;

constexpr std::size_t kMostBlocks = 5, kMostColumns = 34;

/// Gives bytes for ever.
class Bytes {
 public:
  explicit Bytes(std::span<const std::uint8_t> bytes) : bytes_(bytes) {}
  void fill(std::span<std::byte> out) {
    for (std::byte& byte : out) {
      byte = bytes_.empty() ? std::byte{0} : static_cast<std::byte>(bytes_[at_++ % bytes_.size()]);
      // So that what repeats is not aligned with rows.
      if (!bytes_.empty() && at_ % bytes_.size() == 0) at_ += 1 + at_ / bytes_.size() % 7;
    }
  }

 private:
  std::span<const std::uint8_t> bytes_;
  std::size_t at_ = 0;
};

bool is_same(float a, float b) {
  return (std::isnan(a) && std::isnan(b)) || std::memcmp(&a, &b, sizeof a) == 0;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 4) return 0;
  std::vector<quant::DTypeInfo> types;
  for (const quant::DTypeInfo& info : quant::all_dtypes()) {
    if (kernels::available_tables().front()->matmul(info.type) != nullptr) types.push_back(info);
  }
  const quant::DTypeInfo& type = types[data[0] % types.size()];
  const std::size_t k = type.block_k * (1 + data[1] % (type.block_k == 1 ? 100 : kMostBlocks));
  const std::size_t n = 1 + data[2] % kMostColumns;
  Bytes bytes({data + 3, size - 3});

  std::vector<std::byte> rows(kernels::kPanelRows * k / type.block_k * type.block_bytes);
  bytes.fill(rows);
  std::vector<std::vector<float>> columns(n, std::vector<float>(k));
  for (auto& column : columns) bytes.fill(std::as_writable_bytes(std::span(column)));
  const auto panel = test::pack(type.type, rows, kernels::kPanelRows, k);

  std::vector<float> expected;
  for (const kernels::KernelTable* table : kernels::available_tables()) {
    const kernels::MatmulKernel& kernel = *table->matmul(type.type);
    if (kernel.act == kernels::ActFormat::kBF16) continue;  // has products of its own
    const test::Activations x(*table, kernel.act, columns);
    std::vector<float> tile(n * kernels::kPanelRows, -1.0F);
    kernel.run(panel.data(), k, x.columns.data(), n, tile.data());
    if (expected.empty()) expected = tile;
    for (std::size_t i = 0; i < tile.size(); ++i) WOOLLY_ASSERT(is_same(tile[i], expected[i]));
  }
  return 0;
}
