// What the public classes hold.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "exec/executor.h"
#include "exec/kv_cache.h"
#include "gguf/gguf.h"
#include "kernels/kernel_table.h"
#include "os/tensor_source.h"
#include "os/thread_pool.h"
#include "pack/weights.h"
#include "plan/compile.h"
#include "woolly/model.h"
#include "woolly/session.h"

namespace woolly {

/// The kernels of a type of the cache.
[[nodiscard]] const kernels::KvKernels& kv_kernels(const kernels::KernelTable& table, KvType type);

/// Where a model's keys and values of that type lie.
[[nodiscard]] exec::KvLayout kv_layout(const plan::Plan& plan, KvType type);

struct Engine::Parts {
  const kernels::KernelTable* kernels;
  std::unique_ptr<os::ThreadPool> pool;
};

struct Model::Parts {
  Engine* engine;
  gguf::File file;
  std::unique_ptr<const Tokenizer> tokenizer;
  std::optional<Error> tokenizer_error;
  plan::Plan plan;
  pack::Weights weights;
  std::uint64_t fingerprint;
};

/// Where a step is put together; of the size of the largest, so that no step allocates.
struct StepStorage {
  std::vector<TokenId> tokens;
  std::vector<exec::Slice> slices;
  std::vector<std::uint32_t> logit_rows;
};

struct Session::Parts {
  std::shared_ptr<const Model> model;
  SessionOptions options;
  // Shared by all of a family: one step runs at a time.
  std::shared_ptr<exec::Executor> executor;
  std::shared_ptr<exec::KvCache> cache;
  std::shared_ptr<StepStorage> storage;
  std::unique_ptr<exec::Sequence> sequence;
};

}  // namespace woolly
