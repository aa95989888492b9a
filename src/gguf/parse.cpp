// The parser of GGUF headers. It trusts nothing: lengths and counts are held against the bytes that are left of the
// file before memory is taken for them, sizes multiply and add with a check for overflow, and a File exists only when
// every tensor lies inside it.
//
// Layout: "GGUF", u32 version, u64 tensor count, u64 metadata count; metadata as (key, u32 type, value); tensors as
// (name, u32 n_dims, u64 dims[n_dims], u32 type, u64 offset); padding to `general.alignment`; the data, from whose
// beginning the offsets count. A string is a u64 length and its bytes; an array a u32 element type, a u64 count and
// the elements. https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <limits>
#include <utility>

#include "base/byte_reader.h"
#include "base/checked.h"
#include "gguf/gguf.h"
#include "gguf/printable.h"

namespace woolly::gguf {

namespace {

constexpr std::uint64_t kMaxKeyBytes = 65535;       // GGUF specification
constexpr std::uint64_t kMaxTensorNameBytes = 255;  // the specification says 64; some writers go beyond
constexpr std::uint64_t kMaxAlignment = std::uint64_t{1} << 20;
constexpr std::uint64_t kDefaultAlignment = 32;  // GGUF specification
constexpr std::uint64_t kMaxElements = std::numeric_limits<std::int64_t>::max();
constexpr std::uint64_t kMinEntryBytes = 8 + 4 + 1;           // empty key, type, one-byte value
constexpr std::uint64_t kMinTensorBytes = 8 + 4 + 8 + 4 + 8;  // empty name, one dimension
constexpr std::uint64_t kMinStringBytes = 8;

/// Bytes of a scalar in the file; 0 for strings, arrays and unknown types.
std::uint64_t scalar_bytes(ValueType type) noexcept {
  switch (type) {
    case ValueType::kU8:
    case ValueType::kI8:
    case ValueType::kBool: return 1;
    case ValueType::kU16:
    case ValueType::kI16: return 2;
    case ValueType::kU32:
    case ValueType::kI32:
    case ValueType::kF32: return 4;
    case ValueType::kU64:
    case ValueType::kI64:
    case ValueType::kF64: return 8;
    case ValueType::kString:
    case ValueType::kArray: return 0;
  }
  return 0;
}

std::string describe_type(std::uint32_t id) {
  const std::string_view name = quant::unread_type_name(id);
  return name.empty() ? fmt::format("unknown tensor type {}", id) : fmt::format("tensor type {} ({})", name, id);
}

}  // namespace

class Parser {
 public:
  Parser(std::span<const std::byte> header, std::uint64_t file_size, std::string_view name)
      : reader_(header), header_size_(header.size()), file_size_(file_size), file_name_(name) {}

  Result<File> run() {
    WOOLLY_CHECK(read_preamble());
    WOOLLY_CHECK(read_metadata());
    WOOLLY_CHECK(read_tensors());
    WOOLLY_CHECK(place_tensors());
    return std::move(file_);
  }

  void keep_alive(std::shared_ptr<const void> storage) { file_.storage_.push_back(std::move(storage)); }
  [[nodiscard]] bool needs_more() const noexcept { return needs_more_; }

 private:
  Status read_preamble();
  Status read_metadata();
  Result<Value> read_value(std::string_view key);
  Result<Value> read_array(std::string_view key);
  Result<Value> read_string_array(std::string_view key, std::uint64_t count);
  Status check_bools(std::string_view key, std::span<const std::byte> bytes) const;
  Status read_tensors();
  Result<TensorView> read_tensor(std::uint64_t index);
  Status measure(TensorView& tensor) const;
  Status place_tensors();
  Result<std::uint64_t> read_alignment() const;

  Result<std::string_view> read_string(std::string_view what, std::uint64_t max_bytes);
  Status need(std::uint64_t n_bytes, std::string_view what);
  Status need_items(std::uint64_t count, std::uint64_t min_bytes, std::string_view what);
  Status check_complete(std::string_view what);

  [[nodiscard]] Error invalid(std::string_view message) const {
    return {ErrorCode::kInvalidFile, fmt::format("{}: {}", file_name_, message)};
  }
  [[nodiscard]] Error unsupported(std::string_view message) const {
    return {ErrorCode::kUnsupported, fmt::format("{}: {}", file_name_, message)};
  }

  base::ByteReader reader_;
  std::uint64_t header_size_;
  std::uint64_t file_size_;
  std::string_view file_name_;
  bool needs_more_ = false;
  std::uint64_t n_tensors_ = 0;
  std::uint64_t n_entries_ = 0;
  File file_;
};

// ---- Reading within bounds ------------------------------------------------------------------------------------------

/// Checks that `n_bytes` more bytes are in the file, and in the part of it that is here.
Status Parser::need(std::uint64_t n_bytes, std::string_view what) {
  if (n_bytes > file_size_ - reader_.position()) {
    return invalid(
        fmt::format("{}: needs {} bytes at {}, the file ends at {}", what, n_bytes, reader_.position(), file_size_));
  }
  if (n_bytes > reader_.remaining()) {
    needs_more_ = true;
    return invalid(fmt::format("{}: goes on after the {} bytes that were read", what, header_size_));
  }
  return {};
}

/// The same for `count` items of at least `min_bytes` each.
Status Parser::need_items(std::uint64_t count, std::uint64_t min_bytes, std::string_view what) {
  const std::optional<std::uint64_t> n_bytes = base::checked_mul(count, min_bytes);
  if (!n_bytes || *n_bytes > file_size_ - reader_.position()) {
    return invalid(fmt::format("{}: {} of at least {} bytes each, the file has {} bytes left", what, count, min_bytes,
                               file_size_ - reader_.position()));
  }
  return need(*n_bytes, what);
}

/// Checks that the reads so far did not pass the end.
Status Parser::check_complete(std::string_view what) {
  if (!reader_.failed()) return {};
  if (header_size_ < file_size_) {
    needs_more_ = true;
    return invalid(fmt::format("{}: goes on after the {} bytes that were read", what, header_size_));
  }
  return invalid(fmt::format("{}: the file ends at {}, inside of it", what, file_size_));
}

Result<std::string_view> Parser::read_string(std::string_view what, std::uint64_t max_bytes) {
  const auto length = reader_.read<std::uint64_t>();
  WOOLLY_CHECK(check_complete(what));
  if (length > max_bytes) {
    return invalid(fmt::format("{}: {} bytes long, expected at most {}", what, length, max_bytes));
  }
  WOOLLY_CHECK(need(length, what));
  return reader_.read_text(length);
}

// ---- Preamble and metadata ------------------------------------------------------------------------------------------

Status Parser::read_preamble() {
  const std::string_view magic = reader_.read_text(4);
  if (!reader_.failed() && magic != "GGUF") {
    return invalid(fmt::format("begins with '{}', a GGUF file begins with 'GGUF'", printable(magic)));
  }
  file_.version_ = reader_.read<std::uint32_t>();
  WOOLLY_CHECK(check_complete("version"));
  if (file_.version_ != 0 && (file_.version_ & 0xFFFFu) == 0) {
    return unsupported("big-endian GGUF file, only little-endian ones are read");
  }
  if (file_.version_ != 2 && file_.version_ != 3) {
    return unsupported(fmt::format("GGUF version {}, expected 2 or 3", file_.version_));
  }
  n_tensors_ = reader_.read<std::uint64_t>();
  n_entries_ = reader_.read<std::uint64_t>();
  WOOLLY_CHECK(check_complete("counts of tensors and metadata"));
  WOOLLY_CHECK(need_items(n_entries_, kMinEntryBytes, "metadata"));
  return need_items(n_tensors_, kMinTensorBytes, "tensors");
}

Status Parser::read_metadata() {
  for (std::uint64_t i = 0; i < n_entries_; ++i) {
    WOOLLY_TRY(const std::string_view key, read_string(fmt::format("metadata key {}", i), kMaxKeyBytes));
    if (file_.metadata.has(key)) return invalid(fmt::format("metadata key {} appears twice", printable(key)));
    WOOLLY_TRY(const Value value, read_value(key));
    file_.metadata.add(key, value);
  }
  return {};
}

Result<Value> Parser::read_value(std::string_view key) {
  const auto type_id = reader_.read<std::uint32_t>();
  WOOLLY_CHECK(check_complete(printable(key)));
  const auto type = static_cast<ValueType>(type_id);
  if (type == ValueType::kArray) return read_array(key);
  if (type == ValueType::kString) {
    WOOLLY_TRY(const std::string_view text, read_string(printable(key), file_size_));
    return Value{type, type, 1, std::as_bytes(std::span(text)), {}};
  }
  const std::uint64_t n_bytes = scalar_bytes(type);
  if (n_bytes == 0) return invalid(fmt::format("{}: value type {}, expected 0 to 12", printable(key), type_id));
  const std::span<const std::byte> bytes = reader_.read_bytes(n_bytes);
  WOOLLY_CHECK(check_complete(printable(key)));
  if (type == ValueType::kBool) WOOLLY_CHECK(check_bools(key, bytes));
  return Value{type, type, 1, bytes, {}};
}

Result<Value> Parser::read_array(std::string_view key) {
  const auto type_id = reader_.read<std::uint32_t>();
  const auto count = reader_.read<std::uint64_t>();
  WOOLLY_CHECK(check_complete(printable(key)));
  const auto element_type = static_cast<ValueType>(type_id);
  if (element_type == ValueType::kArray) {
    return unsupported(fmt::format("{}: an array of arrays, expected scalars or strings", printable(key)));
  }
  if (element_type == ValueType::kString) return read_string_array(key, count);
  const std::uint64_t element_bytes = scalar_bytes(element_type);
  if (element_bytes == 0) {
    return invalid(fmt::format("{}: array of type {}, expected 0 to 8 or 10 to 12", printable(key), type_id));
  }
  WOOLLY_CHECK(need_items(count, element_bytes, printable(key)));
  const std::span<const std::byte> bytes = reader_.read_bytes(count * element_bytes);
  if (element_type == ValueType::kBool) WOOLLY_CHECK(check_bools(key, bytes));
  return Value{ValueType::kArray, element_type, count, bytes, {}};
}

Result<Value> Parser::read_string_array(std::string_view key, std::uint64_t count) {
  const std::string what = printable(key);
  WOOLLY_CHECK(need_items(count, kMinStringBytes, what));
  std::vector<std::string_view> strings;
  strings.reserve(count);
  for (std::uint64_t i = 0; i < count; ++i) {
    WOOLLY_TRY(const std::string_view text, read_string(what, file_size_));
    strings.push_back(text);
  }
  auto owner = std::make_shared<const std::vector<std::string_view>>(std::move(strings));
  const std::span<const std::string_view> view = *owner;
  keep_alive(std::move(owner));
  return Value{ValueType::kArray, ValueType::kString, count, {}, view};
}

Status Parser::check_bools(std::string_view key, std::span<const std::byte> bytes) const {
  const auto wrong = std::ranges::find_if(bytes, [](std::byte b) { return b > std::byte{1}; });
  if (wrong == bytes.end()) return {};
  return invalid(fmt::format("{}: a bool of value {}, expected 0 or 1", printable(key), std::to_integer<int>(*wrong)));
}

// ---- Tensors --------------------------------------------------------------------------------------------------------

Status Parser::read_tensors() {
  WOOLLY_CHECK(need_items(n_tensors_, kMinTensorBytes, "tensors"));
  file_.tensors_.reserve(n_tensors_);
  for (std::uint64_t i = 0; i < n_tensors_; ++i) {
    WOOLLY_TRY(const TensorView tensor, read_tensor(i));
    if (!file_.tensor_index_.emplace(tensor.name, i).second) {
      return invalid(fmt::format("tensor {} appears twice", printable(tensor.name)));
    }
    file_.tensors_.push_back(tensor);
  }
  return {};
}

Result<TensorView> Parser::read_tensor(std::uint64_t index) {
  TensorView tensor{};
  WOOLLY_TRY(tensor.name, read_string(fmt::format("name of tensor {}", index), kMaxTensorNameBytes));
  const auto named = [&] { return fmt::format("tensor {}", printable(tensor.name)); };
  tensor.n_dims = reader_.read<std::uint32_t>();
  WOOLLY_CHECK(check_complete(named()));
  if (tensor.n_dims < 1 || tensor.n_dims > 4) {
    return invalid(fmt::format("{}: {} dimensions, expected 1 to 4", named(), tensor.n_dims));
  }
  tensor.shape = {1, 1, 1, 1};
  for (std::uint32_t d = 0; d < tensor.n_dims; ++d) tensor.shape[d] = reader_.read<std::uint64_t>();
  const auto type_id = reader_.read<std::uint32_t>();
  tensor.offset = reader_.read<std::uint64_t>();
  WOOLLY_CHECK(check_complete(named()));
  if (quant::find_dtype(type_id) == nullptr) {
    return unsupported(fmt::format("{}: {} is not supported", named(), describe_type(type_id)));
  }
  tensor.type = static_cast<quant::DType>(type_id);
  WOOLLY_CHECK(measure(tensor));
  return tensor;
}

/// Checks the shape and sets the size.
Status Parser::measure(TensorView& tensor) const {
  const quant::DTypeInfo& type = quant::info(tensor.type);
  std::uint64_t n_elements = 1;
  for (const std::uint64_t dim : tensor.shape) {
    const std::optional<std::uint64_t> product = base::checked_mul(n_elements, dim);
    if (dim < 1 || dim > kMaxElements || !product || *product > kMaxElements) {
      return invalid(fmt::format("tensor {}: shape {}, expected dimensions from 1 and a product below 2^63",
                                 printable(tensor.name), fmt::join(tensor.shape, "x")));
    }
    n_elements = *product;
  }
  if (tensor.n_cols() % type.block_k != 0) {
    return invalid(fmt::format("tensor {}: {} columns, expected a multiple of {} ({})", printable(tensor.name),
                               tensor.n_cols(), type.block_k, type.name));
  }
  const std::optional<std::uint64_t> size = base::checked_mul(n_elements / type.block_k, type.block_bytes);
  if (!size || *size > file_size_) {
    return invalid(fmt::format("tensor {}: {} elements of {} do not fit the file of {} bytes", printable(tensor.name),
                               n_elements, type.name, file_size_));
  }
  tensor.size = *size;
  return {};
}

Result<std::uint64_t> Parser::read_alignment() const {
  const Result<std::optional<std::uint64_t>> found = file_.metadata.find_uint("general.alignment");
  if (!found) return invalid(found.error().message);
  const std::uint64_t alignment = found->value_or(kDefaultAlignment);
  if (!std::has_single_bit(alignment) || alignment > kMaxAlignment) {
    return invalid(
        fmt::format("general.alignment: {}, expected a power of two from 1 to {}", alignment, kMaxAlignment));
  }
  return alignment;
}

/// Turns the offsets, which count from the beginning of the data, into offsets in the file.
Status Parser::place_tensors() {
  WOOLLY_TRY(const std::uint64_t alignment, read_alignment());
  const std::uint64_t data_begin = base::round_up(reader_.position(), alignment);
  std::uint64_t bytes_left = file_size_;
  for (TensorView& tensor : file_.tensors_) {
    if (tensor.offset % alignment != 0) {
      return invalid(fmt::format("tensor {}: offset {}, expected a multiple of {} (general.alignment)",
                                 printable(tensor.name), tensor.offset, alignment));
    }
    const std::optional<std::uint64_t> begin = base::checked_add(data_begin, tensor.offset);
    const std::optional<std::uint64_t> end = begin ? base::checked_add(*begin, tensor.size) : std::nullopt;
    if (!end || *end > file_size_) {
      const std::string at = end ? fmt::format("{}", *end) : "2^64 or beyond";
      return invalid(
          fmt::format("tensor {}: ends at byte {}, the file ends at {}", printable(tensor.name), at, file_size_));
    }
    // Tensors do not share bytes: a small file must not stand for many times its size in weights.
    if (tensor.size > bytes_left) {
      return invalid(fmt::format("tensor {}: with those before it larger than the file of {} bytes",
                                 printable(tensor.name), file_size_));
    }
    bytes_left -= tensor.size;
    tensor.offset = *begin;
  }
  return {};
}

// ---- File -----------------------------------------------------------------------------------------------------------

Result<File> parse(std::shared_ptr<const std::vector<std::byte>> header, std::uint64_t file_size, std::string_view name,
                   bool* needs_more) {
  std::span<const std::byte> bytes = *header;
  bytes = bytes.first(std::min<std::uint64_t>(bytes.size(), file_size));
  Parser parser(bytes, file_size, name);
  parser.keep_alive(std::move(header));
  Result<File> file = parser.run();
  if (needs_more != nullptr) *needs_more = parser.needs_more();
  return file;
}

const TensorView* File::find_tensor(std::string_view name) const noexcept {
  const auto found = tensor_index_.find(name);
  return found == tensor_index_.end() ? nullptr : &tensors_[found->second];
}

std::uint64_t File::tensor_bytes() const noexcept {
  std::uint64_t sum = 0;
  for (const TensorView& tensor : tensors_) sum += tensor.size;
  return sum;
}

}  // namespace woolly::gguf
