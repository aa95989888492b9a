// From what a template made, or a text as it is, to tokens that generation can go on from.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "chat/template.h"
#include "woolly/error.h"
#include "woolly/tokenizer.h"

namespace woolly::chat {

/// What `chat_template` makes of a conversation; BOS and EOS are called as `tokenizer` spells them. Errors as those of
/// Template::render.
Result<std::vector<Span>> render(const Template& chat_template, Conversation conversation, const Tokenizer& tokenizer);

/// The tokens of the parts as one text, with what the model puts before a text: BOS once, also where the text has it
/// already, and alone where the text is empty. kInvalidArgument where that is nothing at all.
Result<std::vector<TokenId>> encode(const Tokenizer& tokenizer, std::span<const TextPart> parts);

/// The same of what a template made: no control token is read from a caller's bytes.
Result<std::vector<TokenId>> encode(const Tokenizer& tokenizer, std::span<const Span> spans);

/// The same of one text; control tokens in it are recognised or not.
Result<std::vector<TokenId>> encode(const Tokenizer& tokenizer, std::string_view text, bool parse_special);

}  // namespace woolly::chat
