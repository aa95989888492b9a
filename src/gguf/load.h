// Stage 2 of a load: the checked header of an opened model, split or not.
#pragma once

#include "gguf/gguf.h"
#include "os/tensor_source.h"

namespace woolly::gguf {

/// Reads and parses the header of every part of `source` (growing the read until the header is complete; it never
/// reads tensor data) and merges them.
Result<File> load(const os::TensorSource& source);

}  // namespace woolly::gguf
