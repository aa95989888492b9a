#include "text/load.h"

#include <fmt/format.h>

#include <string_view>

#include "gguf/printable.h"
#include "text/byte_level_bpe.h"
#include "text/sentencepiece.h"
#include "text/wordpiece.h"

namespace woolly::text {

Result<std::unique_ptr<const Tokenizer>> load_tokenizer(const gguf::Metadata& metadata) {
  WOOLLY_TRY(const std::string_view model, metadata.get_string("tokenizer.ggml.model"));
  if (model == "gpt2") return ByteLevelBpe::from(metadata);
  if (model == "llama") return SentencePiece::from(metadata);
  if (model == "bert") return WordPiece::from(metadata);
  return Error{ErrorCode::kUnsupported,
               fmt::format("tokenizer.ggml.model: '{}', known are 'gpt2', 'llama' and 'bert'", gguf::printable(model))};
}

}  // namespace woolly::text
