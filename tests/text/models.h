// Tokenizers for tests: those of the reference files, and small ones made on the spot.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gguf/gguf.h"
#include "support/gguf_builder.h"
#include "support/shared.h"
#include "text/load.h"

namespace woolly::test {

using TokenizerPtr = std::unique_ptr<const Tokenizer>;

inline std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

inline Result<TokenizerPtr> tokenizer_of_bytes(std::vector<std::byte> bytes) {
  WOOLLY_TRY(const gguf::File file, parse_bytes(std::move(bytes)));
  return text::load_tokenizer(file.metadata);
}

inline Result<TokenizerPtr> build_tokenizer(GgufBuilder builder) { return tokenizer_of_bytes(builder.build()); }

/// The tokenizer of a reference file, below the folder of reference files.
inline Result<TokenizerPtr> shared_tokenizer(const std::string& path) {
  const std::string content = read_file(shared(path));
  std::vector<std::byte> bytes(content.size());
  if (!content.empty()) std::memcpy(bytes.data(), content.data(), content.size());
  return tokenizer_of_bytes(std::move(bytes));
}

inline std::vector<std::int32_t> values(const std::vector<TokenId>& tokens) {
  std::vector<std::int32_t> ids;
  for (const TokenId token : tokens) ids.push_back(token.value);
  return ids;
}

inline std::vector<std::int32_t> encode(const Tokenizer& tokenizer, std::string_view text, EncodeOptions options = {}) {
  return values(tokenizer.encode(text, options));
}

/// The bytes of all pieces in a row.
inline std::string pieces(const Tokenizer& tokenizer, const std::vector<TokenId>& tokens) {
  std::string text;
  for (const TokenId token : tokens) text += tokenizer.piece(token);
  return text;
}

inline bool is_hidden(const Tokenizer& tokenizer, std::int32_t id) {
  return tokenizer.piece({id}).empty() && !tokenizer.piece({id}, true).empty();
}

/// A byte as byte-level BPE writes it in token texts.
inline std::string byte_text(int byte) {
  const auto is_printable = [](int b) { return (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xFF && b != 0xAD); };
  int code = byte;
  if (!is_printable(byte)) {
    code = 0x100;
    for (int b = 0; b < byte; ++b) code += is_printable(b) ? 0 : 1;
  }
  if (code < 0x80) return {static_cast<char>(code)};
  return {static_cast<char>(0xC0 | code >> 6), static_cast<char>(0x80 | (code & 0x3F))};
}

inline std::string byte_texts(std::string_view bytes) {
  std::string text;
  for (const char byte : bytes) text += byte_text(static_cast<unsigned char>(byte));
  return text;
}

/// A byte-level BPE of the 256 bytes (ids 0 to 255 in order), the results of `merges` ("a b", in bytes), and
/// `<|im_start|>`, `<|im_end|>` (control) and `<tool>` (user-defined) at the end.
inline GgufBuilder byte_level_model(const std::vector<std::pair<std::string, std::string>>& merges,
                                    std::string_view pre = "gpt-2") {
  std::vector<std::string> tokens;
  std::vector<std::string> merge_texts;
  for (int byte = 0; byte < 256; ++byte) tokens.push_back(byte_text(byte));
  for (const auto& [left, right] : merges) {
    tokens.push_back(byte_texts(left + right));
    merge_texts.push_back(byte_texts(left) + " " + byte_texts(right));
  }
  std::vector<std::int32_t> types(tokens.size(), 1);
  tokens.insert(tokens.end(), {"<|im_start|>", "<|im_end|>", "<tool>"});
  types.insert(types.end(), {3, 3, 4});
  GgufBuilder builder;
  builder.add_string("tokenizer.ggml.model", "gpt2").add_string("tokenizer.ggml.pre", pre);
  builder.add_strings("tokenizer.ggml.tokens", tokens).add_i32s("tokenizer.ggml.token_type", types);
  builder.add_strings("tokenizer.ggml.merges", merge_texts);
  return builder;
}

/// A SentencePiece model: <unk>, <s>, </s>, the 256 bytes from id 3, then `words` with falling scores from id 259.
inline GgufBuilder sentencepiece_model(const std::vector<std::string>& words) {
  std::vector<std::string> tokens = {"<unk>", "<s>", "</s>"};
  std::vector<std::int32_t> types = {2, 3, 3};
  for (int byte = 0; byte < 256; ++byte) {
    constexpr std::string_view kDigits = "0123456789ABCDEF";
    tokens.push_back(std::string("<0x") + kDigits[static_cast<std::size_t>(byte / 16)] +
                     kDigits[static_cast<std::size_t>(byte % 16)] + ">");
    types.push_back(6);
  }
  std::vector<float> scores(tokens.size(), 0);
  for (const std::string& word : words) {
    tokens.push_back(word);
    types.push_back(1);
    scores.push_back(-static_cast<float>(scores.size()));
  }
  GgufBuilder builder;
  builder.add_string("tokenizer.ggml.model", "llama");
  builder.add_strings("tokenizer.ggml.tokens", tokens).add_i32s("tokenizer.ggml.token_type", types);
  builder.add_f32s("tokenizer.ggml.scores", scores);
  return builder;
}

/// A WordPiece model: [PAD], [UNK], [CLS], [SEP] (control), then `pieces` from id 4.
inline GgufBuilder wordpiece_model(const std::vector<std::string>& pieces) {
  std::vector<std::string> tokens = {"[PAD]", "[UNK]", "[CLS]", "[SEP]"};
  std::vector<std::int32_t> types(tokens.size(), 3);
  tokens.insert(tokens.end(), pieces.begin(), pieces.end());
  types.resize(tokens.size(), 1);
  GgufBuilder builder;
  builder.add_string("tokenizer.ggml.model", "bert");
  builder.add_strings("tokenizer.ggml.tokens", tokens).add_i32s("tokenizer.ggml.token_type", types);
  builder.add_u32("tokenizer.ggml.unknown_token_id", 1).add_u32("tokenizer.ggml.cls_token_id", 2);
  builder.add_u32("tokenizer.ggml.seperator_token_id", 3);
  return builder;
}

}  // namespace woolly::test
