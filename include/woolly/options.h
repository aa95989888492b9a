// What a caller may choose.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "woolly/kv_budget.h"
#include "woolly/tokenizer.h"

namespace woolly {

/// The type in which keys and values are kept. Q8_0: int8 with a scale for each position, head and 32 dimensions.
enum class KvType : std::uint8_t { kF32, kF16, kBF16, kQ8_0 };

struct EngineOptions {
  std::size_t n_threads = 0;  ///< 0: one for each core that this process may use.
};

struct LoadOptions {
  /// Maps the file and computes from it, instead of packing a copy of its matrices: the model is there at once, and its
  /// weights take the memory of the system's file cache, which all programs share that map the file. Results are
  /// the same; steps of few tokens may be slower. The file must neither change nor become shorter while the model lives.
  bool map_file = false;
};

/// Positions are 32-bit numbers, with room to compute.
inline constexpr std::size_t kMaxContext = std::size_t{1} << 30U;
/// Larger chunks gain nothing and cost memory for every row.
inline constexpr std::size_t kMaxChunk = 8192;

struct SessionOptions {
  std::size_t n_ctx = 0;      ///< Most positions of a sequence, up to kMaxContext; 0: the model's own context length.
  std::size_t chunk = 512;    ///< Tokens of a prompt that go through the model at once, 1 to kMaxChunk.
  KvType kv_type = KvType::kF16;
  std::size_t max_logit_rows = 1;  ///< Most rows of logits that one step may give.
  /// What the keys and values of the whole family may take, with others'; none: as much as the system gives.
  std::shared_ptr<KvBudget> kv_budget = nullptr;
};

/// How the next token is chosen. The defaults are those of `woolly run`; every penalty is off.
struct SamplingOptions {
  float temperature = 0.8F;        ///< 0: greedy. At least 0, finite.
  std::int32_t top_k = 40;         ///< Keep the k most likely; 0: all.
  float top_p = 0.95F;             ///< Keep the smallest set whose probability reaches it; 1: all. In (0, 1].
  float min_p = 0.0F;              ///< Drop tokens below this share of the most likely one's probability. In [0, 1].
  float repeat_penalty = 1.0F;     ///< Divides positive and multiplies negative logits of recent tokens; 1: off. > 0.
  float presence_penalty = 0.0F;   ///< Subtracted once from the logit of each recent token.
  float frequency_penalty = 0.0F;  ///< Subtracted for each time that a recent token occurred.
  std::int32_t repeat_last_n = 64; ///< How many tokens back the penalties look; -1: all, 0: none.
  std::vector<std::pair<TokenId, float>> logit_bias{};  ///< Added to the logits first; -inf bans a token.
  std::uint64_t seed = 0;
};

}  // namespace woolly
