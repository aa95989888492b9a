#include "text/sentencepiece.h"

#include <algorithm>
#include <bit>
#include <optional>
#include <utility>

#include "text/unicode.h"

namespace woolly::text {
namespace {

constexpr std::string_view kMarkedSpace = "\xE2\x96\x81";  // U+2581, how the model itself writes a space

/// A score as a number that is lower where the score is higher.
std::uint32_t priority_of(float score) noexcept {
  const auto bits = std::bit_cast<std::uint32_t>(score == 0 ? 0.0f : score);  // -0 is 0
  const std::uint32_t ascending = (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
  return ~ascending;
}

}  // namespace

/// Encodes words, one after the other. Inside, a space is a space: token texts are kept so (Vocabulary).
class SentencePiece::Encoder {
 public:
  explicit Encoder(const SentencePiece& model) : model_(model), vocabulary_(model.vocabulary()), merger_(*this) {}
  Encoder(const Encoder&) = delete;
  Encoder& operator=(const Encoder&) = delete;

  void encode(std::string_view word, std::vector<TokenId>& tokens) {
    const std::int32_t token = vocabulary_.find(word);
    if (token != kNoToken && model_.is_whole_word_[static_cast<std::size_t>(token)]) {
      tokens.push_back({token});
      return;
    }
    merge(word);
    for (std::size_t i = 0; i < symbols_.size(); ++i) {
      const std::size_t end = i + 1 < symbols_.size() ? symbols_[i + 1].begin : word.size();
      if (symbols_[i].token != kNoToken) {
        tokens.push_back({symbols_[i].token});
      } else {
        append_bytes(word.substr(symbols_[i].begin, end - symbols_[i].begin), tokens);
      }
    }
  }

  bool becomes(std::string_view word, std::int32_t token) {
    merge(word);
    return symbols_.size() == 1 && symbols_[0].token == token;
  }

  /// For Merger: two neighbours make the token that has their text.
  [[nodiscard]] Merge find(const Symbol& left, const Symbol& /*right*/, std::uint32_t end) const noexcept {
    if (end - left.begin > model_.max_token_bytes_) return {};
    const std::int32_t token = vocabulary_.find(word_.substr(left.begin, end - left.begin));
    return token == kNoToken ? Merge{} : Merge{model_.priorities_[static_cast<std::size_t>(token)], token};
  }

 private:
  void merge(std::string_view word) {
    word_ = word;
    symbols_.clear();
    for (std::size_t at = 0; at < word.size();) {
      const std::size_t n_bytes = decode_utf8(word, at).n_bytes;
      symbols_.push_back({vocabulary_.find(word.substr(at, n_bytes)), static_cast<std::uint32_t>(at)});
      at += n_bytes;
    }
    merger_.merge(symbols_, static_cast<std::uint32_t>(word.size()));
  }

  /// A character that is no token, byte by byte; the unknown token where the model lacks one of the bytes.
  void append_bytes(std::string_view character, std::vector<TokenId>& tokens) const {
    const std::string_view bytes = character == " " ? kMarkedSpace : character;
    const std::size_t n_before = tokens.size();
    for (const char byte : bytes) {
      const std::int32_t token = vocabulary_.byte_token(byte);
      if (token != kNoToken) {
        tokens.push_back({token});
        continue;
      }
      tokens.resize(n_before);
      const std::int32_t replacement =
          decode_utf8(character, 0).state == Utf8::kValid ? kNoToken : vocabulary_.find("\xEF\xBF\xBD");
      const std::int32_t unknown = replacement != kNoToken ? replacement : vocabulary_.unknown();
      if (unknown != kNoToken) tokens.push_back({unknown});
      return;
    }
  }

  const SentencePiece& model_;
  const Vocabulary& vocabulary_;
  std::string_view word_;
  std::vector<Symbol> symbols_;
  Merger<Encoder> merger_;
};

Result<std::unique_ptr<const Tokenizer>> SentencePiece::from(const gguf::Metadata& metadata) {
  WOOLLY_TRY(const std::optional<std::string_view> pre, metadata.find_string("tokenizer.ggml.pre"));
  WOOLLY_TRY(const std::optional<bool> prefix, metadata.find_bool("tokenizer.ggml.add_space_prefix"));
  WOOLLY_TRY(Vocabulary vocabulary, Vocabulary::from(metadata, {.spelling = Spelling::kMarkedSpace,
                                                                .adds_bos = true,
                                                                .adds_separator = false,
                                                                .bos = 1,
                                                                .eos = 2,
                                                                .unknown = 0}));
  return std::unique_ptr<const Tokenizer>(
      new SentencePiece(std::move(vocabulary), pre.value_or("default"), prefix.value_or(true)));
}

SentencePiece::SentencePiece(Vocabulary vocab, std::string_view pre_name, bool adds_space_prefix)
    : TokenizerBase(std::move(vocab), "llama", pre_name), adds_space_prefix_(adds_space_prefix) {
  find_joints();
  find_whole_words();
}

void SentencePiece::find_joints() {
  priorities_.assign(vocab_size(), priority_of(0));
  for (std::size_t i = 0; i < vocab_size(); ++i) {
    const auto token = static_cast<std::int32_t>(i);
    if (vocabulary().has_scores()) priorities_[i] = priority_of(vocabulary().score(token));
    if (!vocabulary().is_ordinary(token)) continue;
    const std::string_view text = vocabulary().piece(token);
    max_token_bytes_ = std::max(max_token_bytes_, text.size());
    for (std::size_t at = 1; at < text.size(); ++at) joints_.set(joint(text[at - 1], text[at]));
  }
}

void SentencePiece::find_whole_words() {
  is_whole_word_.resize(vocab_size());
  Encoder encoder(*this);
  for (std::size_t i = 0; i < vocab_size(); ++i) {
    const auto token = static_cast<std::int32_t>(i);
    if (vocabulary().is_ordinary(token)) is_whole_word_[i] = encoder.becomes(vocabulary().piece(token), token);
  }
}

void SentencePiece::encode_ordinary(std::string_view text, bool is_first, std::vector<TokenId>& tokens) const {
  std::string spaced;  // the text, where it writes a space as the model does
  if (text.find(kMarkedSpace) != std::string_view::npos) {
    for (std::size_t at = 0; at < text.size(); ++at) {
      const bool is_marked = text.substr(at, kMarkedSpace.size()) == kMarkedSpace;
      spaced.push_back(is_marked ? ' ' : text[at]);
      if (is_marked) at += kMarkedSpace.size() - 1;
    }
    text = spaced;
  }
  Encoder encoder(*this);
  const auto end_of_word = [&](std::size_t at) {
    const std::size_t limit = std::min(text.size(), at + kMaxWordBytes);
    for (++at; at < limit; ++at) {
      const bool is_inside_character = (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80;
      if (!is_inside_character && !is_joint(text[at - 1], text[at])) break;
    }
    return at;
  };
  std::size_t at = 0;
  if (is_first && adds_space_prefix_) {
    std::string word = " ";
    if (is_joint(' ', text.front())) {
      at = end_of_word(0);
      word.append(text.substr(0, at));
    }
    encoder.encode(word, tokens);
  }
  while (at < text.size()) {
    const std::size_t end = end_of_word(at);
    encoder.encode(text.substr(at, end - at), tokens);
    at = end;
  }
}

}  // namespace woolly::text
