#include "server/anthropic.h"

#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "server/fields.h"
#include "server/json.h"
#include "server/prompt.h"
#include "server/report.h"

namespace woolly::server::anthropic {
namespace {

constexpr Field kPromptFields[] = {
    {"model", FieldType::kString, kAnyNumber, true},
    {"messages", FieldType::kArray, kAnyNumber, true},
    {"output_config", FieldType::kObject},
    not_supported("tools"),
    not_supported("tool_choice", R"({"type":"none"})"),
    not_supported("thinking", R"({"type":"disabled"})"),
    not_supported("output_format"),
    not_supported("mcp_servers"),
    not_supported("container"),
};
constexpr Field kOutputFields[] = {not_supported("format")};

constexpr Field kMessageFields[] = {
    {"max_tokens", FieldType::kInteger, {1, 0x1p31}, true},
    {"stream", FieldType::kBool},
    {"stop_sequences", FieldType::kArray},
};

constexpr std::string_view kRoles[] = {"user", "assistant"};

Json stop_reason(const serve::Outcome& outcome) {
  switch (outcome.reason) {
    case serve::FinishReason::kLength:
      return "max_tokens";
    case serve::FinishReason::kStopString:
      return "stop_sequence";
    default:
      return "end_turn";
  }
}

Json stop_sequence(const serve::Outcome& outcome) {
  return outcome.reason == serve::FinishReason::kStopString ? Json(outcome.stop_string) : Json();
}

/// What came from the cache is not counted as input here.
Json usage_json(std::size_t n_prompt, std::size_t n_cached, std::size_t n_generated) {
  return {{"input_tokens", n_prompt - n_cached},
          {"cache_creation_input_tokens", 0},
          {"cache_read_input_tokens", n_cached},
          {"output_tokens", n_generated}};
}

Json usage_json(const serve::Timings& timings) {
  return usage_json(timings.n_prompt, timings.n_cached, timings.n_generated);
}

/// `json` must have a "type", which is the name of the event.
std::string event(const Json& json) { return sse(dump(json), get_string(json, "type")); }

class MessageForm final : public Form {
 public:
  MessageForm(std::string id, std::string model, std::size_t n_prompt)
      : id_(std::move(id)), model_(std::move(model)), n_prompt_(n_prompt) {}

  [[nodiscard]] std::string whole(std::span<const Choice> choices) const override {
    const serve::Outcome& outcome = choices[0].outcome;
    Json answer = message();
    answer["content"].push_back({{"type", "text"}, {"text", choices[0].text}});
    answer["stop_reason"] = stop_reason(outcome);
    answer["stop_sequence"] = stop_sequence(outcome);
    answer["usage"] = usage_json(outcome.timings);
    answer["timings"] = timings_json(outcome.timings);
    return dump(answer);
  }
  [[nodiscard]] std::string content_type() const override { return "text/event-stream"; }
  [[nodiscard]] std::string ping() const override { return event({{"type", "ping"}}); }
  [[nodiscard]] std::string head() const override {
    Json begun = message();
    begun["usage"] = usage_json(n_prompt_, 0, 0);  // what was cached is known later, and said at the end
    return event({{"type", "message_start"}, {"message", std::move(begun)}}) +
           event({{"type", "content_block_start"}, {"index", 0}, {"content_block", {{"type", "text"}, {"text", ""}}}});
  }
  [[nodiscard]] std::string delta(std::size_t /*index*/, const Choice& /*choice*/, std::string_view text,
                                  std::span<const serve::Piece> /*pieces*/) const override {
    if (text.empty()) return {};
    return event({{"type", "content_block_delta"}, {"index", 0}, {"delta", {{"type", "text_delta"}, {"text", text}}}});
  }
  [[nodiscard]] std::string tail(std::size_t /*index*/, const Choice& choice) const override {
    return event({{"type", "content_block_stop"}, {"index", 0}}) +
           event({{"type", "message_delta"},
                  {"delta",
                   {{"stop_reason", stop_reason(choice.outcome)}, {"stop_sequence", stop_sequence(choice.outcome)}}},
                  {"usage", usage_json(choice.outcome.timings)},
                  {"timings", timings_json(choice.outcome.timings)}});
  }
  [[nodiscard]] std::string close(std::span<const Choice> /*choices*/) const override {
    return event({{"type", "message_stop"}});
  }
  [[nodiscard]] std::string error_line(const Refusal& refusal) const override {
    return sse(error_body(Dialect::kAnthropic, refusal), "error");
  }

 private:
  /// Without anything in it.
  [[nodiscard]] Json message() const {
    return {{"id", id_},
            {"type", "message"},
            {"role", "assistant"},
            {"model", model_},
            {"content", Json::array()},
            {"stop_reason", nullptr},
            {"stop_sequence", nullptr}};
  }

  std::string id_;
  std::string model_;
  std::size_t n_prompt_;
};

/// The system prompt, as a string or as blocks; empty where there is none.
Result<std::string> read_system(const Json& body) {
  const Json* system = find(body, "system");
  if (system == nullptr) return std::string();
  if (!system->is_array()) {
    WOOLLY_TRY(const std::string text, read_content(*system, "system"));
    return without_billing_header(text);
  }
  // A block that is all header leaves no newline behind.
  Json blocks = Json::array();
  for (const Json& block : *system) {
    const Json* text = block.is_object() ? find(block, "text") : nullptr;
    Json kept = block;
    if (text != nullptr && text->is_string()) {
      std::string rest = without_billing_header(text->get_ref<const std::string&>());
      if (rest.empty()) continue;
      kept["text"] = std::move(rest);
    }
    blocks.push_back(std::move(kept));
  }
  return read_content(blocks, "system");
}

struct Prompt {
  std::shared_ptr<const serve::Card> model;
  std::vector<TokenId> tokens;
};

Result<Prompt> read_prompt(const Services& services, const Json& body) {
  WOOLLY_CHECK(check_fields(body, kPromptFields));
  if (const Json* output = find(body, "output_config"))
    WOOLLY_CHECK(check_fields(*output, kOutputFields, "output_config."));
  Prompt prompt;
  WOOLLY_TRY(prompt.model, find_model(services.catalogue, get_string(body, "model")));
  Conversation conversation;
  WOOLLY_TRY(std::string system, read_system(body));
  WOOLLY_TRY(Json messages, read_messages(body, {kRoles, {}}));
  if (messages.empty()) return field_error("", "messages", "an empty array", "at least one message");
  conversation.continues_last = get_string(messages.back(), "role") == "assistant";
  if (find(body, "thinking") != nullptr) conversation.extra["enable_thinking"] = false;
  if (!system.empty()) conversation.messages.push_back({{"role", "system"}, {"content", std::move(system)}});
  for (Json& message : messages) conversation.messages.push_back(std::move(message));
  WOOLLY_TRY(prompt.tokens, chat_tokens(*prompt.model, conversation));
  return prompt;
}

}  // namespace

std::string without_billing_header(std::string_view system) {
  constexpr std::string_view kHeader = "x-anthropic-billing-header:";
  while (system.starts_with(kHeader)) {
    const std::size_t end = system.find('\n');
    system = end == std::string_view::npos ? std::string_view() : system.substr(end + 1);
  }
  return std::string(system);
}

Result<Asked> read_message(const Services& services, const http::Request& request) {
  WOOLLY_TRY(const Body body, parse_object(request.body));
  WOOLLY_CHECK(check_fields(body, kMessageFields));
  serve::GenerateRequest generation;
  generation.key = request.key;
  generation.sampling = {.temperature = 1, .top_k = 0, .top_p = 1};
  WOOLLY_CHECK(read_sampling(body, generation.sampling));
  WOOLLY_TRY(generation.stops, read_stops(body, "stop_sequences"));
  generation.max_tokens = static_cast<std::size_t>(*find_integer(body, "max_tokens"));
  WOOLLY_TRY(Prompt prompt, read_prompt(services, body));
  generation.model = std::move(prompt.model);
  generation.prompt = std::move(prompt.tokens);
  Asked asked;
  asked.is_streamed = get_bool(body, "stream", false);
  asked.form =
      std::make_unique<MessageForm>(id_with("msg_", request.id), generation.model->name, generation.prompt.size());
  asked.requests.push_back(std::move(generation));
  return asked;
}

void messages(const Services& services, std::shared_ptr<http::Exchange> exchange) {
  auto asked = read_message(services, exchange->request());
  answer(services.scheduler, std::move(exchange), Dialect::kAnthropic, std::move(asked));
}

void count_tokens(const Services& services, std::shared_ptr<http::Exchange> exchange) {
  const auto count = [&]() -> Result<std::string> {
    WOOLLY_TRY(const Body body, parse_object(exchange->request().body));
    WOOLLY_TRY(const Prompt prompt, read_prompt(services, body));
    return dump(Json::object({{"input_tokens", prompt.tokens.size()}}));
  };
  respond(*exchange, Dialect::kAnthropic, count());
}

}  // namespace woolly::server::anthropic
