#include "sample/stop_matcher.h"

#include <algorithm>
#include <utility>

namespace woolly::sample {

Result<StopMatcher> StopMatcher::create(const std::vector<std::string>& stops) {
  StopMatcher matcher;
  for (const std::string& stop : stops) {
    if (stop.empty()) return Error{ErrorCode::kInvalidArgument, "a stop string is empty, allowed is at least one byte"};
    matcher.insert(stop);
  }
  matcher.link_fallbacks();
  return matcher;
}

void StopMatcher::insert(std::string_view stop) {
  NodeIndex node = kRoot;
  for (const char byte : stop) {
    NodeIndex next = child(node, byte);
    if (next == kRoot) {
      next = static_cast<NodeIndex>(nodes_.size());
      nodes_.push_back({.next_sibling = nodes_[node].first_child, .depth = nodes_[node].depth + 1, .byte = byte});
      nodes_[node].first_child = next;
    }
    node = next;
  }
  nodes_[node].match = stop.size();
}

/// Breadth first, so that a node's fallback, which is shorter, is complete before it is needed.
void StopMatcher::link_fallbacks() {
  std::vector<NodeIndex> order{kRoot};
  for (std::size_t i = 0; i < order.size(); ++i) {
    const NodeIndex parent = order[i];
    for (NodeIndex node = nodes_[parent].first_child; node != kRoot; node = nodes_[node].next_sibling) {
      const NodeIndex fallback = parent == kRoot ? kRoot : step(nodes_[parent].fallback, nodes_[node].byte);
      nodes_[node].fallback = fallback;
      if (nodes_[node].match == 0) nodes_[node].match = nodes_[fallback].match;
      order.push_back(node);
    }
  }
}

StopMatcher::NodeIndex StopMatcher::child(NodeIndex node, char byte) const noexcept {
  NodeIndex found = nodes_[node].first_child;
  while (found != kRoot && nodes_[found].byte != byte) found = nodes_[found].next_sibling;
  return found;
}

StopMatcher::NodeIndex StopMatcher::step(NodeIndex node, char byte) const noexcept {
  while (true) {
    if (const NodeIndex next = child(node, byte); next != kRoot) return next;
    if (node == kRoot) return kRoot;
    node = nodes_[node].fallback;
  }
}

std::string_view StopMatcher::push(std::string_view piece) {
  ready_.clear();
  if (found_) return ready_;
  ready_.swap(held_);
  for (const char byte : piece) {
    ready_ += byte;
    at_ = step(at_, byte);
    if (const std::size_t match = nodes_[at_].match; match > 0) {
      found_ = true;
      match_ = ready_.substr(ready_.size() - match);
      ready_.resize(ready_.size() - match);
      return ready_;
    }
  }
  const std::size_t n_ready = ready_.size() - nodes_[at_].depth;
  held_.assign(ready_, n_ready);
  ready_.resize(n_ready);
  return ready_;
}

std::string_view StopMatcher::finish() {
  ready_.clear();
  ready_.swap(held_);
  return ready_;
}

}  // namespace woolly::sample
