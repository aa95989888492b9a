// Text to tokens and back.
#pragma once

#include <cstdint>
#include <compare>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace woolly {

/// The index of a token in its model's vocabulary.
struct TokenId {
  std::int32_t value = 0;
  auto operator<=>(const TokenId&) const = default;
};

/// How `Tokenizer::encode` treats a text.
struct EncodeOptions {
  /// Adds what the model puts around a text: BOS and EOS as the file says, [CLS] and [SEP] for WordPiece.
  bool add_special = false;
  /// Lets control tokens in the text be recognised. Leave it off for text that a user supplies.
  bool parse_special = false;
};

/// A part of a text, in which control tokens are recognised or not.
struct TextPart {
  std::string_view text;
  bool parse_special;
};

/// Immutable after construction; any number of threads may call it at once.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  /// The tokens of `text`, any bytes at all; invalid UTF-8 is taken as U+FFFD where the model has no bytes for it.
  /// Linear time (the merges add a logarithm).
  [[nodiscard]] virtual std::vector<TokenId> encode(std::string_view text, EncodeOptions options) const = 0;

  /// The tokens of the parts as one text: ordinary text merges across their borders, but a control token is recognised
  /// only where all of its bytes stand in parts that allow it.
  [[nodiscard]] virtual std::vector<TokenId> encode(std::span<const TextPart> parts, bool add_special) const = 0;

  /// The bytes that `token` stands for in running text: a whole character or a part of one; empty for control tokens
  /// unless `show_special`. `token` must be below `vocab_size()`. The view lives as long as the tokenizer.
  [[nodiscard]] virtual std::string_view piece(TokenId token, bool show_special = false) const = 0;

  /// The number of tokens in the vocabulary.
  [[nodiscard]] virtual std::size_t vocab_size() const noexcept = 0;

  /// The token at the beginning of a text, if the model has one.
  [[nodiscard]] virtual std::optional<TokenId> bos() const noexcept = 0;
  /// The token at the end of a text, if the model has one.
  [[nodiscard]] virtual std::optional<TokenId> eos() const noexcept = 0;
  /// Whether `encode` with `add_special` begins with BOS ([CLS] for WordPiece).
  [[nodiscard]] virtual bool adds_bos() const noexcept = 0;
  /// Whether generation ends at this token (EOS, end of turn, end of message).
  [[nodiscard]] virtual bool is_end_of_generation(TokenId token) const noexcept = 0;
  /// Whether a sequence of tokens that starts a text loses its leading space when detokenized (SentencePiece's
  /// add_space_prefix).
  [[nodiscard]] virtual bool strips_leading_space() const noexcept = 0;

  /// "gpt2", "llama" or "bert": `tokenizer.ggml.model` of the file.
  [[nodiscard]] virtual std::string_view model_name() const noexcept = 0;
  /// The name of the pre-tokenizer rule, as the file has it; "default" without one.
  [[nodiscard]] virtual std::string_view pre_name() const noexcept = 0;
  /// Things that a user should know, such as a pre-tokenizer name that is not known here; empty as a rule.
  [[nodiscard]] virtual const std::vector<std::string>& warnings() const noexcept = 0;
};

}  // namespace woolly
