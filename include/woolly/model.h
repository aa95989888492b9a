// A loaded model. Engine holds what all models share (kernels and threads), Model the weights and the tokenizer.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "woolly/error.h"
#include "woolly/options.h"
#include "woolly/tokenizer.h"

namespace woolly {

/// The kernels chosen for this processor and the threads that run them. Create one for a program; it must outlive the
/// models and sessions made with it. One step runs at a time: sessions of one engine are used from one thread at a time.
class Engine {
 public:
  /// Honours WOOLLY_DISABLE_SIMD=1 (scalar kernels) and WOOLLY_ISA=scalar|avx2|avx512, which caps the choice; a name
  /// that is not known or that this processor lacks is an error.
  static Result<std::unique_ptr<Engine>> create(const EngineOptions& options = {});
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  /// The name of the kernel table in use, e.g. "avx512".
  [[nodiscard]] std::string_view isa() const noexcept;
  [[nodiscard]] std::size_t n_threads() const noexcept;

  struct Parts;
  /// For the library's own use.
  [[nodiscard]] Parts& parts() const noexcept { return *parts_; }

 private:
  explicit Engine(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

/// What a model takes of memory, in bytes.
struct MemoryNeed {
  std::uint64_t weights = 0;    ///< In memory of the process's own.
  std::uint64_t mapped = 0;     ///< Of the mapped file (LoadOptions::map_file).
  std::uint64_t workspace = 0;  ///< Of one family of sessions, however many it has.
  std::uint64_t kv_slab = 0;    ///< Keys and values are taken in pieces of this size, ...
  std::uint64_t tokens_of_slab = 0;  ///< ... each for so many positions.
  std::uint64_t state = 0;      ///< At most, of the recurrent state of a sequence of any length.

  /// Of a sequence of so many positions: keys, values and state.
  [[nodiscard]] std::uint64_t kv_of(std::uint64_t n_tokens) const {
    return (n_tokens + tokens_of_slab - 1) / tokens_of_slab * kv_slab + state;
  }
  /// The positions of a sequence for which there is room in so many bytes, at least `state`.
  [[nodiscard]] std::uint64_t tokens_in(std::uint64_t bytes) const {
    return kv_slab == 0 ? UINT64_MAX : (bytes - state) / kv_slab * tokens_of_slab;
  }
};

/// Immutable and shared by its sessions.
class Model {
 public:
  /// What loading this file and creating a session would take; reads the header only.
  static Result<MemoryNeed> need(Engine& engine, const std::filesystem::path& path, const LoadOptions& load = {},
                                 const SessionOptions& session = {});

  /// Loads a GGUF file (any part of a split one) and packs its weights, or maps it: see LoadOptions. A file whose
  /// tokenizer cannot be used loads all the same: see `tokenizer()`.
  static Result<std::shared_ptr<const Model>> load(Engine& engine, const std::filesystem::path& path,
                                                   const LoadOptions& options = {});
  ~Model();
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;

  /// The tokenizer, or why the file has none that can be used. Lives as long as the model.
  [[nodiscard]] Result<const Tokenizer*> tokenizer() const;

  [[nodiscard]] std::string_view architecture() const noexcept;
  [[nodiscard]] std::size_t vocab_size() const noexcept;
  /// The context that the model was trained for, in tokens.
  [[nodiscard]] std::size_t context_length() const noexcept;
  /// The bytes of weights in memory of the model's own.
  [[nodiscard]] std::uint64_t weight_bytes() const noexcept;
  /// The bytes of weights that stay in the mapped file; 0 without LoadOptions::map_file.
  [[nodiscard]] std::uint64_t mapped_bytes() const noexcept;
  /// The plan as text: a line for each step, with its buffers, shapes and kernels.
  [[nodiscard]] std::string plan_text() const;

  struct Parts;
  /// For the library's own use.
  [[nodiscard]] const Parts& parts() const noexcept { return *parts_; }

 private:
  explicit Model(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace woolly
