// From what a client says to tokens: the model, the chat template, the context.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "chat/template.h"
#include "serve/scheduler.h"
#include "server/fields.h"
#include "server/json.h"
#include "woolly/error.h"
#include "woolly/tokenizer.h"

namespace woolly::server {

/// The model of that name, with or without Ollama's ":latest". kNotFound lists what there is.
Result<std::shared_ptr<const serve::Card>> find_model(serve::Catalogue& catalogue, std::string_view name);

/// What messages may be.
struct MessageRules {
  std::span<const std::string_view> roles;
  std::span<const Field> fields;  ///< Besides role and content.
};

/// The messages of a request as templates take them: objects with role and content, a string, and what the models'
/// templates know as reasoning_content. kInvalidArgument names what is not as `rules` and `read_content` say.
Result<Json> read_messages(const Json& request, const MessageRules& rules);

/// A conversation, checked: each message an object with a string as role and content.
struct Conversation {
  Json messages = Json::array();
  Json extra = Json::object();  ///< More variables of the template.
  /// The last message is the beginning of the answer, which goes on from there. A model without a template knows no
  /// difference.
  bool continues_last = false;
};

/// What the model's template makes of it, with the beginning of an answer at the end. kInvalidArgument where the template
/// refuses it.
Result<std::vector<chat::Span>> chat_spans(const serve::Card& card, const Conversation& conversation);

/// The tokens of `chat_spans`; no control token is read from a caller's bytes.
Result<std::vector<TokenId>> chat_tokens(const serve::Card& card, const Conversation& conversation);

/// The tokens of a text that the client has put together itself, control tokens included, with what the model puts
/// before a text. kInvalidArgument where that is nothing at all.
Result<std::vector<TokenId>> raw_tokens(const serve::Card& card, std::string_view text);

/// Token ids that a client sends. kInvalidArgument names `path` where one is none of the tokenizer's.
Result<std::vector<TokenId>> read_tokens(const Json& ids, std::string_view path, const Tokenizer& tokenizer);

/// The content of a message or of a system prompt: a string, or an array of {"type":"text","text":...}, which are
/// joined by a newline. kInvalidArgument names what is neither; `path` is the place of `content` in the request.
Result<std::string> read_content(const Json& content, std::string_view path);

/// Seconds since 1970.
std::int64_t now_s();

}  // namespace woolly::server
