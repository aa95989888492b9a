#include "text/vocabulary.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <utility>

#include "gguf/printable.h"
#include "text/byte_level.h"

namespace woolly::text {
namespace {

constexpr std::string_view kMarkedSpace = "\xE2\x96\x81";  // U+2581

/// Tokens that end a generation whatever the file says about them: models are published with the end of a turn under
/// other names than EOS. The list is that of llama.cpp, src/llama-vocab.cpp (special_eog_ids).
constexpr std::string_view kEndTexts[] = {
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<|flush|>",
    "<|calls|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "</s>",
    "<|eom_id|>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",
    "<|end_of_text|>",
    "<end_of_utterance>",
    "<eos>",
    "<turn|>",
    "<|tool_response>",
    "<｜end▁of▁sentence｜>",
    "[e~[",
    "<|fim_pad|>",
    "<|repo_name|>",
    "<|file_sep|>",
};

/// The byte of a text that is exactly <0xHH>.
std::optional<unsigned char> parse_byte_text(std::string_view text) noexcept {
  if (text.size() != 6 || !text.starts_with("<0x") || text[5] != '>') return std::nullopt;
  unsigned value = 0;
  for (const char digit : text.substr(3, 2)) {
    value <<= 4;
    if (digit >= '0' && digit <= '9') {
      value |= static_cast<unsigned>(digit - '0');
    } else if (digit >= 'A' && digit <= 'F') {
      value |= static_cast<unsigned>(digit - 'A' + 10);
    } else if (digit >= 'a' && digit <= 'f') {
      value |= static_cast<unsigned>(digit - 'a' + 10);
    } else {
      return std::nullopt;
    }
  }
  return static_cast<unsigned char>(value);
}

/// Replaces U+2581 by a space. False where the text has a space of its own, which encoding could not tell from it.
bool append_with_spaces(std::string_view text, std::string& out) {
  bool is_plain = true;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text.substr(i, kMarkedSpace.size()) == kMarkedSpace) {
      out.push_back(' ');
      i += kMarkedSpace.size() - 1;
    } else {
      is_plain = is_plain && text[i] != ' ';
      out.push_back(text[i]);
    }
  }
  return is_plain;
}

/// The id under `key`, `fallback` without the key, kNoToken where the file says "not set" (-1 in 32 or 64 bits).
Result<std::int32_t> read_id(const gguf::Metadata& metadata, std::string_view key, std::size_t vocab_size,
                             std::int32_t fallback = kNoToken) {
  if (!metadata.has(key)) {
    return fallback >= 0 && static_cast<std::size_t>(fallback) < vocab_size ? fallback : kNoToken;
  }
  WOOLLY_TRY(const std::optional<std::int64_t> found, metadata.find_int(key));
  const std::int64_t id = found.value_or(-1);
  if (id == -1 || id == std::numeric_limits<std::uint32_t>::max()) return kNoToken;
  if (id < 0 || static_cast<std::uint64_t>(id) >= vocab_size) {
    return Error{ErrorCode::kInvalidFile,
                 fmt::format("{}: {}, allowed 0 to {} or -1 (not set)", key, id, vocab_size - 1)};
  }
  return static_cast<std::int32_t>(id);
}

Result<bool> read_flag(const gguf::Metadata& metadata, std::string_view key, bool fallback) {
  WOOLLY_TRY(const std::optional<bool> found, metadata.find_bool(key));
  return found.value_or(fallback);
}

}  // namespace

Result<Vocabulary> Vocabulary::from(const gguf::Metadata& metadata, const VocabularyDefaults& defaults) {
  WOOLLY_TRY(const std::span<const std::string_view> texts, metadata.strings("tokenizer.ggml.tokens"));
  if (texts.empty() || texts.size() > std::numeric_limits<std::int32_t>::max()) {
    return Error{ErrorCode::kInvalidFile, fmt::format("tokenizer.ggml.tokens: {} tokens, allowed 1 to {}", texts.size(),
                                                      std::numeric_limits<std::int32_t>::max())};
  }
  Vocabulary vocabulary;
  vocabulary.types_.assign(texts.size(), TokenType::kNormal);
  vocabulary.is_ordinary_.assign(texts.size(), false);
  vocabulary.is_end_.assign(texts.size(), false);
  vocabulary.byte_tokens_.fill(kNoToken);
  WOOLLY_CHECK(vocabulary.read_types(metadata));
  WOOLLY_CHECK(vocabulary.read_scores(metadata));
  WOOLLY_CHECK(vocabulary.read_special_ids(metadata, defaults));
  WOOLLY_CHECK(vocabulary.read_end_ids(metadata, texts));
  if (!metadata.has("tokenizer.ggml.token_type")) vocabulary.guess_types(texts, defaults.spelling);
  WOOLLY_CHECK(vocabulary.add_pieces(texts, defaults.spelling));
  vocabulary.index_pieces();
  return vocabulary;
}

Status Vocabulary::read_types(const gguf::Metadata& metadata) {
  constexpr std::string_view kKey = "tokenizer.ggml.token_type";
  if (!metadata.has(kKey)) return {};
  WOOLLY_TRY(const std::vector<std::int64_t> values, metadata.ints(kKey));
  if (values.size() != size()) {
    return Error{ErrorCode::kInvalidFile,
                 fmt::format("{}: {} values, expected {} (tokenizer.ggml.tokens)", kKey, values.size(), size())};
  }
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (values[i] < 0 || values[i] > static_cast<std::int64_t>(TokenType::kByte)) {
      return Error{ErrorCode::kInvalidFile, fmt::format("{}[{}]: {}, allowed 0 to 6", kKey, i, values[i])};
    }
    types_[i] = static_cast<TokenType>(values[i]);
  }
  return {};
}

Status Vocabulary::read_scores(const gguf::Metadata& metadata) {
  constexpr std::string_view kKey = "tokenizer.ggml.scores";
  const gguf::Value* value = metadata.find(kKey);
  if (value == nullptr) return {};
  const bool is_float = value->element_type == gguf::ValueType::kF32 || value->element_type == gguf::ValueType::kF64;
  if (is_float) {
    WOOLLY_TRY(scores_, metadata.floats(kKey));
  } else {  // some converters write integers
    WOOLLY_TRY(const std::vector<std::int64_t> values, metadata.ints(kKey));
    for (const std::int64_t score : values) scores_.push_back(static_cast<float>(score));
  }
  if (scores_.size() != size()) {
    return Error{ErrorCode::kInvalidFile,
                 fmt::format("{}: {} values, expected {} (tokenizer.ggml.tokens)", kKey, scores_.size(), size())};
  }
  const auto bad = std::ranges::find_if(scores_, [](float score) { return std::isnan(score); });
  if (bad != scores_.end()) {
    return Error{ErrorCode::kInvalidFile, fmt::format("{}[{}]: nan, expected a number", kKey, bad - scores_.begin())};
  }
  return {};
}

Status Vocabulary::read_special_ids(const gguf::Metadata& metadata, const VocabularyDefaults& defaults) {
  WOOLLY_TRY(const std::int32_t cls, read_id(metadata, "tokenizer.ggml.cls_token_id", size(), defaults.bos));
  WOOLLY_TRY(bos_, read_id(metadata, "tokenizer.ggml.bos_token_id", size(), cls));
  WOOLLY_TRY(eos_, read_id(metadata, "tokenizer.ggml.eos_token_id", size(), defaults.eos));
  WOOLLY_TRY(unknown_, read_id(metadata, "tokenizer.ggml.unknown_token_id", size(), defaults.unknown));
  // The key is spelled so in the format.
  WOOLLY_TRY(separator_, read_id(metadata, "tokenizer.ggml.seperator_token_id", size(), defaults.separator));
  WOOLLY_TRY(const bool adds_bos, read_flag(metadata, "tokenizer.ggml.add_bos_token", defaults.adds_bos));
  WOOLLY_TRY(const bool adds_eos, read_flag(metadata, "tokenizer.ggml.add_eos_token", false));
  WOOLLY_TRY(const bool adds_sep, read_flag(metadata, "tokenizer.ggml.add_sep_token", defaults.adds_separator));
  adds_bos_ = adds_bos && bos_ != kNoToken;
  adds_eos_ = adds_eos && eos_ != kNoToken;
  adds_separator_ = adds_sep && separator_ != kNoToken;
  return {};
}

Status Vocabulary::read_end_ids(const gguf::Metadata& metadata, std::span<const std::string_view> texts) {
  std::vector<std::int32_t> ends = {eos_};
  for (const std::string_view key :
       {"tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id", "tokenizer.ggml.fim_pad_token_id",
        "tokenizer.ggml.fim_rep_token_id", "tokenizer.ggml.fim_sep_token_id"}) {
    WOOLLY_TRY(ends.emplace_back(), read_id(metadata, key, size()));
  }
  std::array<std::int32_t, std::size(kEndTexts)> named;
  named.fill(kNoToken);
  for (std::size_t i = 0; i < texts.size(); ++i) {
    if (texts[i].empty() || std::string_view("<[_").find(texts[i].front()) == std::string_view::npos) continue;
    const auto found = std::ranges::find(kEndTexts, texts[i]);
    if (found == std::end(kEndTexts)) continue;
    // In the vocabulary of a model of text and code these may be nothing but HTML or a list.
    const auto id = static_cast<std::int32_t>(i);
    const bool is_plain_word = types_[i] == TokenType::kNormal && id != eos_ && (*found == "</s>" || *found == "[EOS]");
    std::int32_t& token = named[static_cast<std::size_t>(found - std::begin(kEndTexts))];
    if (!is_plain_word && token == kNoToken) token = id;
  }
  const auto token_of = [&](std::string_view text) -> std::int32_t& {
    return named[static_cast<std::size_t>(std::ranges::find(kEndTexts, text) - std::begin(kEndTexts))];
  };
  // In the harmony format and its like <|end|> closes one message of several; the turn ends at <|return|>, <|call|>.
  const bool has_call = token_of("<|call|>") != kNoToken || token_of("<|calls|>") != kNoToken;
  const bool has_return = token_of("<|return|>") != kNoToken || token_of("<|flush|>") != kNoToken;
  if (has_call && has_return) token_of("<|end|>") = kNoToken;
  if (token_of("<|tool_response>") != kNoToken) token_of("</s>") = kNoToken;

  for (const std::int32_t token : named) {
    if (token == kNoToken) continue;
    // Some files call them normal or user-defined; a user's text must not end a turn.
    types_[static_cast<std::size_t>(token)] = TokenType::kControl;
    ends.push_back(token);
  }
  for (const std::int32_t token : ends) {
    if (token != kNoToken) is_end_[static_cast<std::size_t>(token)] = true;
  }
  return {};
}

void Vocabulary::guess_types(std::span<const std::string_view> texts, Spelling spelling) {
  for (const std::int32_t token : {bos_, eos_, separator_}) {
    if (token != kNoToken) types_[static_cast<std::size_t>(token)] = TokenType::kControl;
  }
  if (unknown_ != kNoToken) types_[static_cast<std::size_t>(unknown_)] = TokenType::kUnknown;
  if (spelling != Spelling::kMarkedSpace) return;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    if (parse_byte_text(texts[i])) types_[i] = TokenType::kByte;
  }
}

Status Vocabulary::add_pieces(std::span<const std::string_view> texts, Spelling spelling) {
  std::size_t n_bytes = 0;
  for (const std::string_view text : texts) n_bytes += text.size();
  pieces_.reserve(texts.size(), n_bytes);
  std::string piece;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const std::string_view text = texts[i];
    piece.clear();
    if (types_[i] == TokenType::kByte) {
      const std::optional<unsigned char> byte = parse_byte_text(text);
      if (!byte) {
        return Error{ErrorCode::kInvalidFile,
                     fmt::format("tokenizer.ggml.tokens[{}]: byte token '{}', allowed <0x00> to "
                                 "<0xFF>",
                                 i, gguf::printable(text))};
      }
      piece.push_back(static_cast<char>(*byte));
      if (byte_tokens_[*byte] == kNoToken) byte_tokens_[*byte] = static_cast<std::int32_t>(i);
    } else if (types_[i] == TokenType::kUserDefined && spelling == Spelling::kMarkedSpace) {
      append_with_spaces(text, piece);
    } else if (types_[i] == TokenType::kNormal || types_[i] == TokenType::kUnused ||
               types_[i] == TokenType::kUndefined) {
      const bool is_well_spelled =
          spelling == Spelling::kByteLevel ? append_byte_level_decoded(text, piece) : append_with_spaces(text, piece);
      if (!is_well_spelled) piece = text;
      is_ordinary_[i] = is_well_spelled && !piece.empty() && piece.size() <= kMaxTextBytes;
    } else {
      piece = text;
    }
    pieces_.add(piece);
  }
  return {};
}

void Vocabulary::index_pieces() {
  ordinary_.reserve(size());
  std::size_t n_too_long = 0;
  for (std::size_t i = 0; i < size(); ++i) {
    const auto token = static_cast<std::int32_t>(i);
    const std::string_view text = piece(token);
    if (text.size() > kMaxTextBytes) ++n_too_long;
    if (is_ordinary_[i]) {
      ordinary_.insert(pieces_, token);
      continue;
    }
    const bool is_special = is_hidden(token) || type(token) == TokenType::kUserDefined;
    if (!is_special || text.empty() || text.size() > kMaxTextBytes) continue;
    special_.insert(text, token);
    if (type(token) == TokenType::kUserDefined) user_defined_.insert(text, token);
  }
  if (n_too_long > 0) {
    warn(fmt::format("tokenizer.ggml.tokens: {} texts are longer than {} bytes and never come out of a text",
                     n_too_long, kMaxTextBytes));
  }
  for (std::size_t byte = 0; byte < byte_tokens_.size(); ++byte) {
    const char text = static_cast<char>(byte);
    if (byte_tokens_[byte] == kNoToken) byte_tokens_[byte] = find({&text, 1});
  }
}

}  // namespace woolly::text
