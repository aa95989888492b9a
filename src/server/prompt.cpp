#include "server/prompt.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <utility>

#include "chat/prompt.h"

namespace woolly::server {
namespace {

constexpr std::string_view kLatest = ":latest";
/// More than a context holds, and few enough to be copied.
constexpr std::size_t kMaxMessages = 20'000;

}  // namespace

Result<std::shared_ptr<const serve::Card>> find_model(serve::Catalogue& catalogue, std::string_view name) {
  auto card = catalogue.find(name);
  if (card || card.error().code != ErrorCode::kNotFound || !name.ends_with(kLatest)) return card;
  auto without = catalogue.find(name.substr(0, name.size() - kLatest.size()));
  return without ? std::move(without) : std::move(card);
}

Result<std::vector<chat::Span>> chat_spans(const serve::Card& card, const Conversation& conversation) {
  if (!card.chat_template) return card.chat_template.error();
  chat::Conversation given{.messages = conversation.messages, .extra = conversation.extra, .now = now_s()};
  // The beginning of an answer follows what the template puts before one.
  std::string beginning;
  if (conversation.continues_last && !card.template_text.empty()) {
    beginning = get_string(given.messages.back(), "content");
    given.messages.erase(given.messages.size() - 1);
  }
  WOOLLY_TRY(std::vector<chat::Span> spans, chat::render(card.chat_template.value(), std::move(given), *card.tokenizer));
  if (!beginning.empty()) spans.push_back({std::move(beginning), true});
  return spans;
}

Result<std::vector<TokenId>> chat_tokens(const serve::Card& card, const Conversation& conversation) {
  WOOLLY_TRY(const std::vector<chat::Span> spans, chat_spans(card, conversation));
  return chat::encode(*card.tokenizer, spans);
}

Result<std::vector<TokenId>> raw_tokens(const serve::Card& card, std::string_view text) {
  return chat::encode(*card.tokenizer, text, true);
}

Result<std::vector<TokenId>> read_tokens(const Json& ids, std::string_view path, const Tokenizer& tokenizer) {
  std::vector<TokenId> tokens;
  const sample::Range range{0, static_cast<double>(tokenizer.vocab_size() - 1)};
  for (const Json& id : ids) {
    if (!id.is_number_integer() || !range.contains(id.get<double>())) {
      return field_error("", path, fmt::format("an array with {}", describe(id)),
                         fmt::format("token ids, {}", range.describe()));
    }
    tokens.push_back({id.get<std::int32_t>()});
  }
  return tokens;
}

Result<std::string> read_content(const Json& content, std::string_view path) {
  if (content.is_string()) return content.get<std::string>();
  if (!content.is_array()) return field_error("", path, describe(content), "a string or an array of text blocks");
  std::string text;
  for (std::size_t i = 0; i < content.size(); ++i) {
    const Json& block = content[i];
    const std::string block_path = fmt::format("{}.{}.", path, i);
    if (!block.is_object()) return field_error(path, fmt::format(".{}", i), describe(block), "an object");
    static constexpr Field kFields[] = {{"type", FieldType::kString, kAnyNumber, true}};
    WOOLLY_CHECK(check_fields(block, kFields, block_path));
    if (const std::string type = get_string(block, "type"); type != "text") {
      return Error{ErrorCode::kInvalidArgument,
                   fmt::format("{}type: {}, which is not supported; allowed is \"text\"", block_path, quote(type))};
    }
    static constexpr Field kTextFields[] = {{"text", FieldType::kString, kAnyNumber, true}};
    WOOLLY_CHECK(check_fields(block, kTextFields, block_path));
    if (i > 0) text += '\n';
    text += get_string(block, "text");
  }
  return text;
}

Result<Json> read_messages(const Json& request, const MessageRules& rules) {
  static constexpr Field kFields[] = {{"role", FieldType::kString, kAnyNumber, true},
                                      {"reasoning_content", FieldType::kString}};
  const Json* messages = find(request, "messages");
  if (messages != nullptr && messages->size() > kMaxMessages) {
    return field_error("", "messages", fmt::format("{} messages", messages->size()), fmt::format("at most {}", kMaxMessages));
  }
  Json read = Json::array();
  for (std::size_t i = 0; messages != nullptr && i < messages->size(); ++i) {
    const Json& message = (*messages)[i];
    const std::string path = fmt::format("messages.{}.", i);
    if (!message.is_object()) return field_error("messages.", std::to_string(i), describe(message), "an object");
    WOOLLY_CHECK(check_fields(message, rules.fields, path));
    WOOLLY_CHECK(check_fields(message, kFields, path));
    const std::string role = get_string(message, "role");
    if (std::ranges::find(rules.roles, role) == rules.roles.end()) {
      return field_error(path, "role", quote(role), fmt::format("{}", fmt::join(rules.roles, ", ")));
    }
    const Json* found = find(message, "content");
    if (found == nullptr) return field_error(path, "content", "missing", "a string or an array of text blocks");
    WOOLLY_TRY(std::string content, read_content(*found, path + "content"));
    // OpenAI's newer name of the same.
    Json& added =
        read.emplace_back(Json{{"role", role == "developer" ? "system" : role}, {"content", std::move(content)}});
    if (const Json* reasoning = find(message, "reasoning_content")) added["reasoning_content"] = *reasoning;
  }
  return read;
}

std::int64_t now_s() {
  return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

}  // namespace woolly::server
