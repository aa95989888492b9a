// What every kind of tokenizer does alike: special tokens are cut out of a text, the rest goes to the kind.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/vocabulary.h"
#include "woolly/tokenizer.h"

namespace woolly::text {

class TokenizerBase : public Tokenizer {
 public:
  std::vector<TokenId> encode(std::string_view text, EncodeOptions options) const final;
  std::vector<TokenId> encode(std::span<const TextPart> parts, bool add_special) const final;
  std::string_view piece(TokenId token, bool show_special) const final;

  std::size_t vocab_size() const noexcept final { return vocabulary_.size(); }
  std::optional<TokenId> bos() const noexcept final { return id_of(vocabulary_.bos()); }
  std::optional<TokenId> eos() const noexcept final { return id_of(vocabulary_.eos()); }
  bool adds_bos() const noexcept final { return vocabulary_.adds_bos(); }
  bool is_end_of_generation(TokenId token) const noexcept final;
  std::string_view model_name() const noexcept final { return model_name_; }
  std::string_view pre_name() const noexcept final { return pre_name_; }
  const std::vector<std::string>& warnings() const noexcept final { return vocabulary_.warnings(); }

 protected:
  /// Longer texts are cut: places in a word are counted in 32 bits. No word of a language comes near.
  static constexpr std::size_t kMaxWordBytes = std::size_t{1} << 30;

  TokenizerBase(Vocabulary vocabulary, std::string_view model_name, std::string_view pre_name)
      : vocabulary_(std::move(vocabulary)), model_name_(model_name), pre_name_(pre_name) {}

  /// Appends the tokens of `text`, which is not empty and holds no special token to be recognised. `is_first`: nothing
  /// or a special token stands before it.
  virtual void encode_ordinary(std::string_view text, bool is_first, std::vector<TokenId>& tokens) const = 0;

  [[nodiscard]] const Vocabulary& vocabulary() const noexcept { return vocabulary_; }

 private:
  /// Bytes in which control tokens are recognised; those between are of parts that do not allow it.
  struct Trusted {
    std::size_t begin, end;
  };
  std::vector<TokenId> encode(std::string_view text, std::span<const Trusted> trusted, bool add_special) const;

  static std::optional<TokenId> id_of(std::int32_t token) noexcept {
    return token == kNoToken ? std::nullopt : std::optional(TokenId{token});
  }

  Vocabulary vocabulary_;
  std::string model_name_;
  std::string pre_name_;
};

}  // namespace woolly::text
