// Texts through small tokenizers of every kind, and tokenizers made of anything. The first byte of an input says which:
// even, the rest is a text; odd, the rest describes a vocabulary and ends with a text.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <deque>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gguf/gguf.h"
#include "text/detokenizer.h"
#include "text/load.h"
#include "text/unicode.h"

namespace {

using namespace woolly;

void require(bool condition) {
  if (!condition) std::abort();
}

/// Metadata together with what it points into.
class OwnedMetadata {
 public:
  void add_string(std::string_view key, std::string_view value) {
    const std::string& text = texts_.emplace_back(value);
    metadata.add(key, {.type = gguf::ValueType::kString,
                       .element_type = gguf::ValueType::kString,
                       .count = 1,
                       .bytes = std::as_bytes(std::span(text)),
                       .strings = {}});
  }
  void add_strings(std::string_view key, const std::vector<std::string>& values) {
    std::vector<std::string_view>& views = views_.emplace_back();
    for (const std::string& value : values) views.push_back(texts_.emplace_back(value));
    metadata.add(key, {.type = gguf::ValueType::kArray,
                       .element_type = gguf::ValueType::kString,
                       .count = views.size(),
                       .bytes = {},
                       .strings = views});
  }
  template <typename T>
  void add_numbers(std::string_view key, gguf::ValueType element_type, const std::vector<T>& values, bool is_array) {
    const std::string& bytes =
        texts_.emplace_back(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
    metadata.add(key, {.type = is_array ? gguf::ValueType::kArray : element_type,
                       .element_type = element_type,
                       .count = values.size(),
                       .bytes = std::as_bytes(std::span(bytes)),
                       .strings = {}});
  }

  gguf::Metadata metadata;

 private:
  std::deque<std::string> texts_;
  std::deque<std::vector<std::string_view>> views_;
};

/// Takes the input apart; zeros and nothing past its end.
class Input {
 public:
  explicit Input(std::string_view bytes) : bytes_(bytes) {}
  unsigned byte() {
    if (bytes_.empty()) return 0;
    const unsigned value = static_cast<unsigned char>(bytes_.front());
    bytes_.remove_prefix(1);
    return value;
  }
  std::string_view take(std::size_t n) {
    const std::string_view taken = bytes_.substr(0, n);
    bytes_.remove_prefix(taken.size());
    return taken;
  }
  std::string_view rest() const { return bytes_; }

 private:
  std::string_view bytes_;
};

constexpr std::string_view kMarkedSpace = "\xE2\x96\x81";

std::string byte_level(unsigned byte) {
  const auto is_printable = [](unsigned b) { return (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b != 0xAD); };
  char32_t code = byte;
  if (!is_printable(byte)) {
    code = 0x100;
    for (unsigned b = 0; b < byte; ++b) {
      if (!is_printable(b)) ++code;
    }
  }
  std::string text;
  text::append_utf8(code, text);
  return text;
}

std::string byte_level(std::string_view bytes) {
  std::string text;
  for (const char byte : bytes) text += byte_level(static_cast<unsigned char>(byte));
  return text;
}

std::unique_ptr<const Tokenizer> load(const OwnedMetadata& source) {
  auto tokenizer = text::load_tokenizer(source.metadata);
  require(tokenizer.has_value());
  return std::move(*tokenizer);
}

std::unique_ptr<const Tokenizer> byte_level_tokenizer(std::string_view pre) {
  std::vector<std::string> tokens;
  for (unsigned byte = 0; byte < 256; ++byte) tokens.push_back(byte_level(byte));
  std::vector<std::string> merges;
  for (const auto& [left, right] :
       {std::pair("a", "b"), std::pair("b", "a"), std::pair("ab", "ab"), std::pair(" ", "a"), std::pair("aa", "b"),
        std::pair("a", "a"), std::pair("\n", "\n"), std::pair("1", "1"), std::pair("\xC3", "\xA9"),
        std::pair("'", "s")}) {
    tokens.push_back(byte_level(std::string(left) + right));
    merges.push_back(byte_level(left) + " " + byte_level(right));
  }
  std::vector<std::int32_t> types(tokens.size(), 1);
  tokens.insert(tokens.end(), {"<|a|>", "<|a|>b", "<u>"});
  types.insert(types.end(), {3, 3, 4});
  OwnedMetadata source;
  source.add_string("tokenizer.ggml.model", "gpt2");
  source.add_string("tokenizer.ggml.pre", pre);
  source.add_strings("tokenizer.ggml.tokens", tokens);
  source.add_strings("tokenizer.ggml.merges", merges);
  source.add_numbers("tokenizer.ggml.token_type", gguf::ValueType::kI32, types, true);
  return load(source);
}

std::unique_ptr<const Tokenizer> sentencepiece_tokenizer() {
  std::vector<std::string> tokens = {"<unk>", "<s>", "</s>"};
  for (unsigned byte = 0; byte < 256; ++byte) {
    constexpr std::string_view kDigits = "0123456789ABCDEF";
    tokens.push_back(std::string("<0x") + kDigits[byte / 16] + kDigits[byte % 16] + ">");
  }
  const std::string space(kMarkedSpace);
  tokens.insert(tokens.end(), {space, "a", "b", space + "a", "ab", "aa", space + space, "a" + space + "b", "\xC3\xA9"});
  std::vector<float> scores;
  for (std::size_t i = 0; i < tokens.size(); ++i) scores.push_back(-static_cast<float>(i));
  OwnedMetadata source;
  source.add_string("tokenizer.ggml.model", "llama");
  source.add_strings("tokenizer.ggml.tokens", tokens);
  source.add_numbers("tokenizer.ggml.scores", gguf::ValueType::kF32, scores, true);
  return load(source);
}

std::unique_ptr<const Tokenizer> wordpiece_tokenizer() {
  const std::string space(kMarkedSpace);
  const std::vector<std::string> tokens = {"[UNK]", "[CLS]",      "[SEP]", space + "a", "a",
                                           "b",     space + "ab", "aab",   space + ".", space + "\xE4\xB8\xAD"};
  OwnedMetadata source;
  source.add_string("tokenizer.ggml.model", "bert");
  source.add_strings("tokenizer.ggml.tokens", tokens);
  source.add_numbers<std::int32_t>("tokenizer.ggml.token_type", gguf::ValueType::kI32, {3, 3, 3, 1, 1, 1, 1, 1, 1, 1},
                                   true);
  source.add_numbers<std::uint32_t>("tokenizer.ggml.unknown_token_id", gguf::ValueType::kU32, {0}, false);
  source.add_numbers<std::uint32_t>("tokenizer.ggml.cls_token_id", gguf::ValueType::kU32, {1}, false);
  source.add_numbers<std::uint32_t>("tokenizer.ggml.seperator_token_id", gguf::ValueType::kU32, {2}, false);
  return load(source);
}

/// Encodes and checks what holds for every tokenizer. Returns the bytes of all pieces.
std::string check_encode(const Tokenizer& tokenizer, std::string_view text, EncodeOptions options) {
  const std::vector<TokenId> tokens = tokenizer.encode(text, options);
  require(tokens == tokenizer.encode(text, options));
  text::Detokenizer detokenizer(tokenizer, true, true);
  std::string bytes;
  std::string shown;
  for (const TokenId token : tokens) {
    require(token.value >= 0 && static_cast<std::size_t>(token.value) < tokenizer.vocab_size());
    bytes += tokenizer.piece(token, true);
    shown += detokenizer.push(token);
  }
  shown += detokenizer.finish();
  for (std::size_t at = 0; at < shown.size();) {
    const text::Decoded decoded = text::decode_utf8(shown, at);
    require(decoded.state == text::Utf8::kValid);
    at += decoded.n_bytes;
  }
  return bytes;
}

void encode_text(Input input) {
  struct Tokenizers {
    std::vector<std::unique_ptr<const Tokenizer>> byte_level;
    std::unique_ptr<const Tokenizer> sentencepiece = sentencepiece_tokenizer();
    std::unique_ptr<const Tokenizer> wordpiece = wordpiece_tokenizer();
  };
  static const Tokenizers tokenizers = [] {
    Tokenizers made;
    for (const char* pre :
         {"gpt-2", "llama-bpe", "qwen2", "smollm", "default", "qwen35", "gpt-4o", "tekken", "deepseek-v3"}) {
      made.byte_level.push_back(byte_level_tokenizer(pre));
    }
    return made;
  }();
  const EncodeOptions options = {.add_special = false, .parse_special = input.byte() % 2 == 1};
  const std::string_view text = input.rest();
  for (const auto& tokenizer : tokenizers.byte_level) require(check_encode(*tokenizer, text, options) == text);

  const std::string spaced = check_encode(*tokenizers.sentencepiece, text, options);
  std::string expected = text.empty() ? "" : " ";
  for (std::size_t at = 0; at < text.size(); ++at) {
    const bool is_marked = text.substr(at, kMarkedSpace.size()) == kMarkedSpace;
    expected.push_back(is_marked ? ' ' : text[at]);
    if (is_marked) at += kMarkedSpace.size() - 1;
  }
  require(options.parse_special || spaced == expected);
  check_encode(*tokenizers.wordpiece, text, options);
}

void load_vocabulary(Input input) {
  constexpr const char* kModels[] = {"gpt2", "llama", "bert"};
  constexpr const char* kPres[] = {"gpt-2",  "llama-bpe", "qwen2",  "smollm",      "default",
                                   "qwen35", "gpt-4o",    "tekken", "deepseek-v3", "?"};
  constexpr const char* kIds[] = {"bos", "eos", "eot", "unknown", "seperator", "cls"};
  constexpr const char* kFlags[] = {"add_bos_token", "add_eos_token",        "add_space_prefix",
                                    "add_sep_token", "normalizer.lowercase", "normalizer.strip_accents"};
  OwnedMetadata source;
  source.add_string("tokenizer.ggml.model", kModels[input.byte() % 3]);
  source.add_string("tokenizer.ggml.pre", kPres[input.byte() % std::size(kPres)]);
  const unsigned present = input.byte();
  const unsigned flags = input.byte();

  std::vector<std::string> tokens;
  std::vector<std::int32_t> types;
  std::vector<float> scores;
  for (unsigned n = input.byte(); n > 0 && !input.rest().empty(); --n) {
    const unsigned head = input.byte();
    types.push_back(static_cast<std::int32_t>(head % 8));
    scores.push_back(static_cast<float>(static_cast<int>(input.byte()) - 128));
    const std::string_view bytes = input.take(head / 8);
    tokens.push_back((flags & 64) != 0 ? byte_level(bytes) : std::string(bytes));
  }
  std::vector<std::string> merges;
  for (unsigned n = input.byte(); n > 0 && !tokens.empty() && !input.rest().empty(); --n) {
    const std::string& left = tokens[input.byte() % tokens.size()];
    merges.push_back(left + " " + tokens[input.byte() % tokens.size()]);
  }
  std::vector<std::string> keys;
  for (const char* id : kIds) keys.push_back(std::string("tokenizer.ggml.") + id + "_token_id");
  for (const char* flag : kFlags) keys.push_back(std::string("tokenizer.ggml.") + flag);
  for (std::size_t i = 0; i < std::size(kIds); ++i) {
    const auto id = static_cast<std::int8_t>(input.byte());
    if ((present >> i & 1) != 0) source.add_numbers<std::int8_t>(keys[i], gguf::ValueType::kI8, {id}, false);
  }
  for (std::size_t i = 0; i < std::size(kFlags); ++i) {
    const std::string& key = keys[std::size(kIds) + i];
    if ((flags >> i & 1) != 0) source.add_numbers<std::uint8_t>(key, gguf::ValueType::kBool, {i % 2 == 0}, false);
  }
  source.add_strings("tokenizer.ggml.tokens", tokens);
  source.add_strings("tokenizer.ggml.merges", merges);
  if ((present & 64) == 0) source.add_numbers("tokenizer.ggml.token_type", gguf::ValueType::kI32, types, true);
  if ((present & 128) == 0) source.add_numbers("tokenizer.ggml.scores", gguf::ValueType::kF32, scores, true);

  const auto tokenizer = text::load_tokenizer(source.metadata);
  if (!tokenizer) {
    require(!tokenizer.error().message.empty());
    return;
  }
  for (const bool add_special : {false, true}) {
    for (const bool parse_special : {false, true})
      check_encode(**tokenizer, input.rest(), {add_special, parse_special});
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input input({reinterpret_cast<const char*>(data), size});
  if (input.byte() % 2 == 0) {
    encode_text(input);
  } else {
    load_vocabulary(input);
  }
  return 0;
}
