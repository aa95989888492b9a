// Random weights in file layout, packed panels, activations in every format, and products of bfloat16.
#pragma once

#include <cmath>
#include <cstring>
#include <random>
#include <span>
#include <string_view>
#include <vector>

#include "base/float16.h"
#include "kernels/dispatch.h"
#include "kernels/panel_format.h"
#include "quant/dtype.h"

namespace woolly::test {

using kernels::ActColumn;
using kernels::ActFormat;
using kernels::kPanelRows;
using quant::DType;

/// Where a block in the file has binary16 numbers, of the types of blocks.
inline std::vector<std::size_t> halves_of(DType type) {
  switch (type) {
    case DType::kIQ4_XS: return {0};  // its second word is not a float
    case DType::kTQ1_0: return {52};
    case DType::kIQ1_M: return {};  // it is in four parts
    default: break;
  }
  const kernels::PanelFormat& format = kernels::panel_format(type);
  std::vector<std::size_t> halves(format.n_words);
  for (std::size_t w = 0; w < halves.size(); ++w) halves[w] = format.words_at + 2 * w;
  return halves;
}

/// Rows of blocks in file layout with random codes and moderate float scales.
inline std::vector<std::byte> random_rows(DType type, std::size_t n_rows, std::size_t k, std::mt19937& random,
                                          int code_byte = -1) {
  const quant::DTypeInfo& info = quant::info(type);
  const std::size_t n_blocks = n_rows * k / info.block_k;
  std::vector<std::byte> rows(n_blocks * info.block_bytes);
  for (std::byte& byte : rows) byte = static_cast<std::byte>(code_byte >= 0 ? static_cast<unsigned>(code_byte) : random());
  const auto put_half = [&](std::size_t at, float value) {
    const std::uint16_t half = base::f32_to_f16(value);
    std::memcpy(rows.data() + at, &half, 2);
  };
  std::uniform_real_distribution<float> uniform(-1.0F, 1.0F);
  for (std::size_t b = 0; b < n_blocks; ++b) {
    const std::size_t at = b * info.block_bytes;
    switch (type) {
      case DType::kF32: {
        const float value = uniform(random);
        std::memcpy(rows.data() + at, &value, 4);
        break;
      }
      case DType::kF16: put_half(at, uniform(random)); break;
      case DType::kBF16: {
        const std::uint16_t value = base::f32_to_bf16(uniform(random));
        std::memcpy(rows.data() + at, &value, 2);
        break;
      }
      case DType::kMXFP4: rows[at] = static_cast<std::byte>(120 + random() % 12); break;
      case DType::kIQ1_M: {  // the highest bits, with the exponent, of the last word: at most 2 in magnitude
        rows[at + 55] = (rows[at + 55] & std::byte{0x8F}) | std::byte{0x30};
        break;
      }
      default:
        for (const std::size_t half : halves_of(type)) put_half(at + half, uniform(random));
    }
  }
  return rows;
}

inline std::vector<std::uint8_t> pack(DType type, const std::vector<std::byte>& rows, std::size_t n_rows, std::size_t k) {
  const quant::DTypeInfo& info = quant::info(type);
  std::vector<std::uint8_t> panel(kernels::panel_bytes(type, k));
  kernels::available_tables().back()->matmul(type)->pack(reinterpret_cast<const std::uint8_t*>(rows.data()),
                                                         k / info.block_k * info.block_bytes, n_rows, k, panel.data());
  return panel;
}

/// Columns of activations in the format that a type wants; owns what the ActColumns point to.
struct Activations {
  std::size_t k;
  std::vector<std::vector<float>> x;
  std::vector<std::vector<std::int8_t>> q;
  std::vector<std::vector<float>> scale, scaled_sums;
  std::vector<std::vector<std::int16_t>> sums32, sums16;
  std::vector<std::uint16_t> bf16;  ///< All columns, one after the other: evenly, as an executor has them.
  std::vector<ActColumn> columns;

  Activations(const kernels::KernelTable& table, ActFormat format, std::vector<std::vector<float>> values)
      : k(values.front().size()), x(std::move(values)), bf16(x.size() * (k + k % 2)) {
    for (const std::vector<float>& column : x) {
      q.emplace_back(k);
      scale.emplace_back(k);
      scaled_sums.emplace_back(k);
      sums32.emplace_back(k);
      sums16.emplace_back(k);
      const kernels::ActStorage out{q.back().data(), scale.back().data(), sums32.back().data(), sums16.back().data(),
                                    scaled_sums.back().data()};
      if (format == ActFormat::kA32) table.quantize_a32(column.data(), k, out);
      if (format == ActFormat::kA256) table.quantize_a256(column.data(), k, out);
      std::uint16_t* rounded = bf16.data() + columns.size() * (k + k % 2);
      if (format == ActFormat::kBF16) table.round_bf16(column.data(), k, rounded);
      columns.push_back({column.data(), out.q, out.scale, out.sums32, out.sums16, out.scaled_sums, rounded});
    }
  }

  /// Value i of column c as a kernel sees it.
  [[nodiscard]] double value(ActFormat format, std::size_t c, std::size_t i) const {
    const auto quantized = [&](std::size_t block) {
      return static_cast<double>(q[c][i]) * static_cast<double>(scale[c][i / block]);
    };
    switch (format) {
      case ActFormat::kA32: return quantized(32);
      case ActFormat::kA256: return quantized(256);
      case ActFormat::kBF16: return static_cast<double>(base::bf16_to_f32(columns[c].bf16[i]));
      case ActFormat::kF32: break;
    }
    return static_cast<double>(x[c][i]);
  }
};

/// Bell-shaped values.
inline std::vector<std::vector<float>> random_columns(std::size_t n, std::size_t k, std::mt19937& random) {
  std::normal_distribution<float> normal;
  std::vector<std::vector<float>> columns(n, std::vector<float>(k));
  for (auto& column : columns) {
    for (float& value : column) value = normal(random);
  }
  return columns;
}

// ---- Products of bfloat16, as docs/adr/0001-canonical-sums.md defines them ----

/// Numbers below the normal ones count as zero and become zero.
inline float flushed(float x) { return std::fpclassify(x) == FP_SUBNORMAL ? std::copysign(0.0F, x) : x; }

/// fma(w, x, sum).
inline float add_product(std::uint16_t w, std::uint16_t x, float sum) {
  return flushed(std::fma(flushed(base::bf16_to_f32(w)), flushed(base::bf16_to_f32(x)), flushed(sum)));
}

/// Element i of a row or column, with zeros behind its end.
inline std::uint16_t element(std::span<const std::uint16_t> values, std::size_t i) { return i < values.size() ? values[i] : 0; }

inline float product_of_pairs(std::span<const std::uint16_t> w, std::span<const std::uint16_t> x) {
  float sum = 0;
  for (std::size_t i = 0; i < w.size(); i += 2) {
    sum = add_product(element(w, i + 1), element(x, i + 1), sum);
    sum = add_product(w[i], x[i], sum);
  }
  return sum;
}

inline float product_of_tiles(std::span<const std::uint16_t> w, std::span<const std::uint16_t> x) {
  float sum = 0;
  for (std::size_t first = 0; first < w.size(); first += 32) {
    float even = 0, odd = 0;
    for (std::size_t i = first; i < first + 32; i += 2) {
      even = add_product(element(w, i), element(x, i), even);
      odd = add_product(element(w, i + 1), element(x, i + 1), odd);
    }
    sum = flushed(sum + flushed(even + odd));
  }
  return sum;
}

/// The tables whose products of BF16 are their own. All others are held against the scalar table.
struct OwnProduct {
  std::string_view table;
  float (*of)(std::span<const std::uint16_t> w, std::span<const std::uint16_t> x);
};
inline constexpr OwnProduct kOwnProducts[] = {{"avx512_bf16", product_of_pairs}, {"amx", product_of_tiles}};

}  // namespace woolly::test
