// The codebooks of IQ1, IQ2 and IQ3: the patterns of eight or of four weights that a block can name by an index. They were
// chosen by the authors of the formats (ggml, ggml-common.h) and follow no rule, but each is in ascending order, so that a
// bit for each possible pattern says all.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace woolly::quant {

/// A byte for each of kWeights weights, the first lowest: for IQ1 0, 1 or 2 for weights of -1, 0 and 1; else the number of a
/// magnitude: 0 to 2 for IQ2, 0 to 7 for IQ3.
template <std::size_t kWeights>
using CodebookPoint = std::conditional_t<kWeights == 8, std::uint64_t, std::uint32_t>;

template <std::size_t kSize, std::size_t kWeights>
using Codebook = std::array<CodebookPoint<kWeights>, kSize>;

extern const Codebook<256, 8> kIQ2XxsCodebook;
extern const Codebook<512, 8> kIQ2XsCodebook;
extern const Codebook<1024, 8> kIQ2SCodebook;
extern const Codebook<2048, 8> kIQ1Codebook;  ///< Of IQ1_S and IQ1_M.
extern const Codebook<256, 4> kIQ3XxsCodebook;
extern const Codebook<512, 4> kIQ3SCodebook;

}  // namespace woolly::quant
