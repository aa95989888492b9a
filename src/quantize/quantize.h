// A model file in other types.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

#include "gguf/gguf.h"
#include "os/tensor_source.h"
#include "os/thread_pool.h"
#include "quantize/importance.h"
#include "quantize/mix.h"
#include "woolly/error.h"

namespace woolly::quantize {

struct Options {
  Importance importance{};          ///< How much each column counts.
  bool allow_requantizing = false;  ///< Take weights that are quantized already, whose error the new one is added to.
};

struct Summary {
  std::uint64_t file_bytes = 0;
  double bits_per_weight = 0;  ///< Of all tensors.
  double relative_error = 0;   ///< sqrt(Σ (w - w')² / Σ w²) over the tensors whose type changed; 0 where none did.
};

/// Takes the bytes of the new file, in order; an error ends the work. Called from one thread.
using Sink = std::function<Status(std::span<const std::byte>)>;

/// Writes the model of `source`, whose header is `file`, in the types of `mix`: all metadata, `general.file_type` changed, in
/// one file. The rows of a piece of a tensor are encoded on all threads of `pool`; the result does not depend on their
/// number. Errors: kInvalidArgument where a tensor is quantized already or a weight does not fit its new type,
/// kInvalidFile where a weight is not finite, those of reading, each naming the tensor; those of `sink`.
Result<Summary> quantize(const os::TensorSource& source, const gguf::File& file, const Mix& mix, const Options& options,
                         os::ThreadPool& pool, const Sink& sink);

}  // namespace woolly::quantize
