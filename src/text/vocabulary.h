// The tokens of a model as the file has them, checked: texts, types, special ids. What all kinds of tokenizer share.
// Immutable after construction.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gguf/gguf.h"
#include "text/text_index.h"
#include "text/trie.h"
#include "woolly/error.h"
#include "woolly/tokenizer.h"

namespace woolly::text {

/// `tokenizer.ggml.token_type`, by the values of the file.
enum class TokenType : std::uint8_t {
  kUndefined = 0,
  kNormal = 1,
  kUnknown = 2,
  kControl = 3,
  kUserDefined = 4,
  kUnused = 5,
  kByte = 6,
};

/// How the texts of ordinary tokens are written.
enum class Spelling : std::uint8_t {
  kByteLevel,    ///< One character per byte (byte_level.h).
  kMarkedSpace,  ///< Plain, with U+2581 for a space.
};

/// What a kind of tokenizer does where the file says nothing.
struct VocabularyDefaults {
  Spelling spelling;
  bool adds_bos;
  bool adds_separator;
  // Ids that files of this kind may leave out; not used where the vocabulary is smaller.
  std::int32_t bos = kNoToken;
  std::int32_t eos = kNoToken;
  std::int32_t unknown = kNoToken;
  std::int32_t separator = kNoToken;
};

class Vocabulary {
 public:
  /// Longer texts are never the result of encoding: real ones end at a few hundred bytes, and what tries all lengths
  /// at each place of a text stays linear.
  static constexpr std::size_t kMaxTextBytes = 1024;

  static Result<Vocabulary> from(const gguf::Metadata& metadata, const VocabularyDefaults& defaults);

  [[nodiscard]] std::size_t size() const noexcept { return types_.size(); }
  [[nodiscard]] TokenType type(std::int32_t token) const noexcept { return types_[static_cast<std::size_t>(token)]; }
  /// The bytes that the token stands for, special or not.
  [[nodiscard]] std::string_view piece(std::int32_t token) const noexcept {
    return pieces_[static_cast<std::size_t>(token)];
  }
  /// Control and unknown tokens: nothing to be seen in a text.
  [[nodiscard]] bool is_hidden(std::int32_t token) const noexcept {
    return type(token) == TokenType::kControl || type(token) == TokenType::kUnknown;
  }
  [[nodiscard]] float score(std::int32_t token) const noexcept { return scores_[static_cast<std::size_t>(token)]; }
  [[nodiscard]] bool has_scores() const noexcept { return !scores_.empty(); }

  /// Whether `token` may come out of ordinary text: not special, spelled as its kind should be, of a possible length.
  [[nodiscard]] bool is_ordinary(std::int32_t token) const noexcept {
    return is_ordinary_[static_cast<std::size_t>(token)];
  }
  /// The first ordinary token that stands for exactly `bytes`.
  [[nodiscard]] std::int32_t find(std::string_view bytes) const noexcept { return ordinary_.find(pieces_, bytes); }
  /// The token of one byte: <0x00> to <0xFF>, or an ordinary token of one byte.
  [[nodiscard]] std::int32_t byte_token(char byte) const noexcept {
    return byte_tokens_[static_cast<unsigned char>(byte)];
  }
  /// The special tokens that are recognised in a text: all of them, or those that the file calls user-defined.
  [[nodiscard]] const Trie& special_tokens(bool parse_special) const noexcept {
    return parse_special ? special_ : user_defined_;
  }

  // kNoToken where there is none.
  [[nodiscard]] std::int32_t bos() const noexcept { return bos_; }
  [[nodiscard]] std::int32_t eos() const noexcept { return eos_; }
  [[nodiscard]] std::int32_t unknown() const noexcept { return unknown_; }
  [[nodiscard]] std::int32_t separator() const noexcept { return separator_; }
  [[nodiscard]] bool adds_bos() const noexcept { return adds_bos_; }
  [[nodiscard]] bool adds_eos() const noexcept { return adds_eos_; }
  [[nodiscard]] bool adds_separator() const noexcept { return adds_separator_; }
  [[nodiscard]] bool is_end(std::int32_t token) const noexcept { return is_end_[static_cast<std::size_t>(token)]; }

  [[nodiscard]] const std::vector<std::string>& warnings() const noexcept { return warnings_; }
  void warn(std::string message) { warnings_.push_back(std::move(message)); }

 private:
  Vocabulary() = default;

  Status read_types(const gguf::Metadata& metadata);
  Status read_scores(const gguf::Metadata& metadata);
  Status read_special_ids(const gguf::Metadata& metadata, const VocabularyDefaults& defaults);
  Status read_end_ids(const gguf::Metadata& metadata, std::span<const std::string_view> texts);
  /// For a file without types: special ids and byte texts are what they look like.
  void guess_types(std::span<const std::string_view> texts, Spelling spelling);
  Status add_pieces(std::span<const std::string_view> texts, Spelling spelling);
  void index_pieces();

  std::vector<TokenType> types_;
  std::vector<float> scores_;  ///< Empty where the file has none.
  StringTable pieces_;
  std::vector<bool> is_ordinary_;
  std::vector<bool> is_end_;
  TextIndex ordinary_;
  std::array<std::int32_t, 256> byte_tokens_{};
  Trie special_;
  Trie user_defined_;
  std::int32_t bos_ = kNoToken;
  std::int32_t eos_ = kNoToken;
  std::int32_t unknown_ = kNoToken;
  std::int32_t separator_ = kNoToken;
  bool adds_bos_ = false;
  bool adds_eos_ = false;
  bool adds_separator_ = false;
  std::vector<std::string> warnings_;
};

}  // namespace woolly::text
