// The longest of many texts that begins at a place: special tokens in a prompt, word pieces in a word.
// Built at load, then only read; readers may be many.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "text/flat_map.h"
#include "text/text_index.h"

namespace woolly::text {

class Trie {
 public:
  struct Match {
    std::int32_t token = kNoToken;
    std::size_t n_bytes = 0;
  };

  /// Adds `text`, which must not be empty; the first of equal texts wins.
  void insert(std::string_view text, std::int32_t token);

  [[nodiscard]] bool empty() const noexcept { return tokens_.size() == 1; }

  /// Whether any text begins with this byte.
  [[nodiscard]] bool begins_with(char byte) const noexcept { return begins_[static_cast<unsigned char>(byte)]; }

  /// The longest text that `text` has at `at`. Takes time in the length of the match and what was tried beyond it.
  [[nodiscard]] Match longest(std::string_view text, std::size_t at) const noexcept;

 private:
  FlatMap<std::uint32_t> edges_;                   // node << 8 | byte -> node
  std::vector<std::int32_t> tokens_ = {kNoToken};  // by node; node 0 is the root
  std::array<bool, 256> begins_{};
};

}  // namespace woolly::text
