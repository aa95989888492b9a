// Finds stop strings in text that arrives in pieces, and holds back what may be the beginning of one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "woolly/error.h"

namespace woolly::sample {

/// One stream of text. Owned by one thread. Linear in the text, however many stop strings there are and however they
/// overlap: an Aho-Corasick automaton, whose depth is the length of what must be held back.
class StopMatcher {
 public:
  /// kInvalidArgument for an empty stop string.
  static Result<StopMatcher> create(const std::vector<std::string>& stops);

  /// Appends `piece` and returns what can be shown by now: everything that can no longer belong to a stop string. Where
  /// one is complete, what stands before it, and nothing from then on. Among several the one that ends first counts, of
  /// those the longest. The view lives until the next call.
  std::string_view push(std::string_view piece);

  /// Ends the stream: what was held back and turned out not to be a stop string.
  std::string_view finish();

  /// Whether a stop string has been found.
  [[nodiscard]] bool found() const noexcept { return found_; }
  /// The stop string that was found.
  [[nodiscard]] const std::string& match() const noexcept { return match_; }

 private:
  using NodeIndex = std::uint32_t;
  static constexpr NodeIndex kRoot = 0;

  /// A beginning of a stop string. Children form a list, so that a node stays small; it has at most 256.
  struct Node {
    NodeIndex first_child = kRoot;   // kRoot: none
    NodeIndex next_sibling = kRoot;  // kRoot: none
    NodeIndex fallback = kRoot;      // the longest proper suffix that is a beginning too
    std::size_t depth = 0;
    std::size_t match = 0;  // the length of the longest stop string that ends here; 0: none does
    char byte = 0;
  };

  StopMatcher() : nodes_(1) {}
  void insert(std::string_view stop);
  void link_fallbacks();
  [[nodiscard]] NodeIndex child(NodeIndex node, char byte) const noexcept;
  [[nodiscard]] NodeIndex step(NodeIndex node, char byte) const noexcept;

  std::vector<Node> nodes_;
  NodeIndex at_ = kRoot;
  std::string held_;  // the last nodes_[at_].depth bytes of the text
  std::string ready_;
  std::string match_;
  bool found_ = false;
};

}  // namespace woolly::sample
