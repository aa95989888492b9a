#include "chat/prompt.h"

#include <optional>
#include <string>
#include <utility>

namespace woolly::chat {

Result<std::vector<Span>> render(const Template& chat_template, Conversation conversation, const Tokenizer& tokenizer) {
  const auto spelled = [&](std::optional<TokenId> token) {
    return token ? std::string(tokenizer.piece(*token, true)) : std::string();
  };
  conversation.bos_token = spelled(tokenizer.bos());
  conversation.eos_token = spelled(tokenizer.eos());
  return chat_template.render(conversation);
}

Result<std::vector<TokenId>> encode(const Tokenizer& tokenizer, std::span<const TextPart> parts) {
  std::vector<TokenId> tokens = tokenizer.encode(parts, true);
  // A text that begins with BOS has it twice now.
  if (tokens.size() > 1 && tokens[0] == tokenizer.bos() && tokens[1] == tokens[0]) tokens.erase(tokens.begin());
  // An EOS that the file asks for after a text would end what is to be continued; [SEP] of WordPiece belongs there.
  if (!tokens.empty() && tokens.back() == tokenizer.eos() && tokenizer.model_name() != "bert") tokens.pop_back();
  if (tokens.empty() && tokenizer.bos()) tokens.push_back(*tokenizer.bos());
  if (tokens.empty()) {
    return Error{ErrorCode::kInvalidArgument, "the prompt is empty, and the model has no BOS token to begin with"};
  }
  return tokens;
}

Result<std::vector<TokenId>> encode(const Tokenizer& tokenizer, std::span<const Span> spans) {
  std::vector<TextPart> parts;
  for (const Span& span : spans) parts.push_back({span.text, !span.is_callers});
  return encode(tokenizer, parts);
}

Result<std::vector<TokenId>> encode(const Tokenizer& tokenizer, std::string_view text, bool parse_special) {
  const TextPart all{text, parse_special};
  return encode(tokenizer, std::span(&all, 1));
}

}  // namespace woolly::chat
