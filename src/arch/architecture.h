// Model architectures: each is a file with two functions and a row in registry.cpp.
#pragma once

#include <span>
#include <string_view>

#include "gguf/gguf.h"
#include "model/spec.h"
#include "plan/graph.h"
#include "woolly/error.h"

namespace woolly::arch {

struct Architecture {
  std::string_view name;  ///< `general.architecture` of the file.
  /// The facts that this architecture's keys define; other keys are not looked at.
  Result<model::Spec> (*read_spec)(const gguf::Metadata& metadata);
  /// Writes the model as fused steps over the file's tensors.
  void (*build)(plan::GraphBuilder& graph);
};

/// All rows.
std::span<const Architecture> all();

/// The architecture that `metadata` names; kUnsupported names it and lists those that work.
Result<const Architecture*> find(const gguf::Metadata& metadata);

}  // namespace woolly::arch
