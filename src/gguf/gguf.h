// A GGUF file (versions 2 and 3): metadata and the places of its tensors. Every count, offset, alignment and type has
// been checked when a File exists: each tensor lies inside its file, has a known type and whole blocks.
// Source of the format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "quant/dtype.h"
#include "woolly/error.h"

namespace woolly::gguf {

/// Value types by their GGUF ids.
enum class ValueType : std::uint32_t {
  kU8 = 0, kI8 = 1, kU16 = 2, kI16 = 3, kU32 = 4, kI32 = 5, kF32 = 6, kBool = 7, kString = 8, kArray = 9, kU64 = 10,
  kI64 = 11, kF64 = 12,
};

/// The name of a value type, e.g. "u32".
std::string_view to_string(ValueType type) noexcept;

/// One metadata value: a scalar in its little-endian bytes, a string, or an array of either. Views into the header
/// bytes that the File owns.
struct Value {
  ValueType type;                              ///< kArray for arrays.
  ValueType element_type;                      ///< Of an array's elements; equals `type` otherwise.
  std::uint64_t count = 1;                     ///< Elements of an array; 1 otherwise.
  std::span<const std::byte> bytes;            ///< Scalars, arrays of scalars, the text of a string.
  std::span<const std::string_view> strings;   ///< Elements of an array of strings.
};

/// Typed access by key. A missing key and a value of another type are errors that name the key, what was found and
/// what is allowed; nothing is ever reinterpreted.
class Metadata {
 public:
  struct Entry {
    std::string_view key;
    Value value;
  };

  [[nodiscard]] bool has(std::string_view key) const noexcept { return find(key) != nullptr; }
  [[nodiscard]] const Value* find(std::string_view key) const noexcept;
  /// In the order of the file.
  [[nodiscard]] std::span<const Entry> entries() const noexcept { return entries_; }

  // Scalars. Integers of any width and sign are accepted where the value fits; floats take f32, and f64 within its
  // range. Infinities and NaNs come through: whoever asks knows the range that a key allows.
  [[nodiscard]] Result<std::uint64_t> get_uint(std::string_view key) const;
  [[nodiscard]] Result<float> get_float(std::string_view key) const;
  [[nodiscard]] Result<bool> get_bool(std::string_view key) const;
  [[nodiscard]] Result<std::string_view> get_string(std::string_view key) const;
  // The same, where the key may be missing.
  [[nodiscard]] Result<std::optional<std::uint64_t>> find_uint(std::string_view key) const;
  [[nodiscard]] Result<std::optional<std::int64_t>> find_int(std::string_view key) const;
  [[nodiscard]] Result<std::optional<float>> find_float(std::string_view key) const;
  [[nodiscard]] Result<std::optional<bool>> find_bool(std::string_view key) const;
  [[nodiscard]] Result<std::optional<std::string_view>> find_string(std::string_view key) const;
  // Arrays; an empty one where the key is missing. `floats` takes f32 and f64, `ints` all integers that fit and
  // booleans as 0 and 1.
  [[nodiscard]] Result<std::span<const std::string_view>> strings(std::string_view key) const;
  [[nodiscard]] Result<std::vector<float>> floats(std::string_view key) const;
  [[nodiscard]] Result<std::vector<std::int64_t>> ints(std::string_view key) const;

  /// `key` must not be there yet. The bytes of key and value must outlive this.
  void add(std::string_view key, Value value);

 private:
  std::vector<Entry> entries_;
  std::unordered_map<std::string_view, std::size_t> index_;
};

/// Where a tensor lies. `shape` is in the order of the file: shape[0] is the contiguous dimension (a matrix of
/// `n` rows by `k` columns has shape {k, n}).
struct TensorView {
  std::string_view name;
  quant::DType type;
  std::uint32_t n_dims;
  std::array<std::uint64_t, 4> shape;  ///< 1 beyond n_dims; each >= 1.
  std::uint32_t file;                  ///< Which part of a split model, from 0.
  std::uint64_t offset;                ///< From the beginning of that file, in bytes.
  std::uint64_t size;                  ///< In bytes.

  /// Columns: the contiguous dimension.
  [[nodiscard]] std::uint64_t n_cols() const noexcept { return shape[0]; }
  /// Rows: everything else.
  [[nodiscard]] std::uint64_t n_rows() const noexcept { return shape[1] * shape[2] * shape[3]; }
};

/// The checked header of one file, or of all parts of a split model merged.
class File {
 public:
  File() = default;
  File(File&&) noexcept = default;
  File& operator=(File&&) noexcept = default;

  Metadata metadata;

  [[nodiscard]] std::uint32_t version() const noexcept { return version_; }
  /// In the order of the file(s).
  [[nodiscard]] std::span<const TensorView> tensors() const noexcept { return tensors_; }
  /// nullptr if there is none of that name.
  [[nodiscard]] const TensorView* find_tensor(std::string_view name) const noexcept;
  /// The sum of the tensors' sizes.
  [[nodiscard]] std::uint64_t tensor_bytes() const noexcept;

 private:
  friend class Parser;
  friend Result<File> merge_parts(std::vector<File> parts);

  std::uint32_t version_ = 0;
  std::vector<TensorView> tensors_;
  std::unordered_map<std::string_view, std::size_t> tensor_index_;
  // What the views above point into; shared so that a merged File keeps the headers of all parts alive.
  std::vector<std::shared_ptr<const void>> storage_;
};

/// Parses a header: `header` holds the first bytes of a file of `file_size` bytes. Counts and lengths are held against
/// what is left of the file before anything is allocated for them. Errors name the file by `name` and are kInvalidFile,
/// or kUnsupported where the file may be sound but has a version, byte order or tensor type that is not read here.
/// Where only `header` ends too early and the file goes on, the call fails too, and sets `*needs_more` (false in all
/// other cases) so that a loader can come back with more of the file.
Result<File> parse(std::shared_ptr<const std::vector<std::byte>> header, std::uint64_t file_size, std::string_view name,
                   bool* needs_more = nullptr);

/// Merges the parts of a split model, in order; the metadata of the first counts. Where they are present, `split.no`,
/// `split.count` and `split.tensors.count` must agree with what is given, and no tensor may appear twice. `parts` must
/// not be empty; a file that was never split is one part.
Result<File> merge_parts(std::vector<File> parts);

}  // namespace woolly::gguf
