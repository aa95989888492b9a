// Makes the tokenizer that a file's metadata describes.
#pragma once

#include <memory>

#include "gguf/gguf.h"
#include "woolly/error.h"
#include "woolly/tokenizer.h"

namespace woolly::text {

/// The tokenizer of `metadata` (`tokenizer.ggml.*`), which is copied from: the metadata may go afterwards.
/// kUnsupported for a tokenizer model that is not known (the message names it), kInvalidFile for an inconsistent
/// vocabulary: no tokens, a bad token type or score, an id past the end, a malformed byte token. Merges that name no
/// token, and a pre-tokenizer rule that is not known, are warnings.
Result<std::unique_ptr<const Tokenizer>> load_tokenizer(const gguf::Metadata& metadata);

}  // namespace woolly::text
