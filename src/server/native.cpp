#include "server/native.h"

#include <fmt/format.h>

#include <string_view>
#include <utility>
#include <vector>

#include "chat/template.h"
#include "server/answer.h"
#include "server/fields.h"
#include "server/json.h"
#include "server/prompt.h"
#include "text/detokenizer.h"
#include "text/unicode.h"

namespace woolly::server::native {
namespace {

constexpr Field kModelField{"model", FieldType::kString};

constexpr Field kTokenizeFields[] = {
    kModelField,
    {"content", FieldType::kString, kAnyNumber, true},
    {"add_special", FieldType::kBool},
    {"parse_special", FieldType::kBool},
    {"with_pieces", FieldType::kBool},
};

constexpr Field kDetokenizeFields[] = {kModelField, {"tokens", FieldType::kArray, kAnyNumber, true}};

constexpr Field kTemplateFields[] = {
    kModelField,
    {"messages", FieldType::kArray, kAnyNumber, true},
    {"chat_template_kwargs", FieldType::kObject},
    not_supported("tools"),
};
constexpr std::string_view kRoles[] = {"system", "developer", "user", "assistant"};
constexpr Field kMessageFields[] = {not_supported("tool_calls")};

/// A request's body, and the model that it is about.
struct Read {
  Body body;
  std::shared_ptr<const serve::Card> card;
};

Result<Read> read_body(const Services& services, const http::Request& request, std::span<const Field> fields) {
  Read read;
  WOOLLY_TRY(read.body, parse_object(request.body));
  WOOLLY_CHECK(check_fields(read.body, fields));
  std::string model = get_string(read.body, "model");
  if (model.empty()) model = services.default_model;
  if (model.empty()) return field_error("", "model", "missing", "a string");
  WOOLLY_TRY(read.card, find_model(services.catalogue, model));
  return read;
}

Json piece_json(std::string_view piece) {
  if (text::is_utf8(piece)) return piece;
  Json bytes = Json::array();
  for (const char c : piece) bytes.push_back(static_cast<unsigned char>(c));
  return bytes;
}

Result<std::string> tokenize_answer(const Services& services, const http::Request& request) {
  WOOLLY_TRY(const Read read, read_body(services, request, kTokenizeFields));
  const Tokenizer& tokenizer = *read.card->tokenizer;
  const bool with_pieces = get_bool(read.body, "with_pieces", false);
  // Written as text: there may be millions.
  std::string answer = "{\"tokens\":[";
  for (const TokenId token : tokenizer.encode(get_string(read.body, "content"),
                                              {.add_special = get_bool(read.body, "add_special", false),
                                               .parse_special = get_bool(read.body, "parse_special", true)})) {
    if (answer.back() != '[') answer += ',';
    answer += with_pieces ? dump({{"id", token.value}, {"piece", piece_json(tokenizer.piece(token, true))}})
                          : std::to_string(token.value);
  }
  return answer + "]}";
}

Result<std::string> detokenize_answer(const Services& services, const http::Request& request) {
  WOOLLY_TRY(const Read read, read_body(services, request, kDetokenizeFields));
  WOOLLY_TRY(const auto tokens, read_tokens(*find(read.body, "tokens"), "tokens", *read.card->tokenizer));
  text::Detokenizer detokenizer(*read.card->tokenizer, true);
  std::string content;
  for (const TokenId token : tokens) content += detokenizer.push(token);
  content += detokenizer.finish();
  return dump(Json::object({{"content", std::move(content)}}));
}

Result<std::string> template_answer(const Services& services, const http::Request& request) {
  WOOLLY_TRY(const Read read, read_body(services, request, kTemplateFields));
  Conversation conversation;
  WOOLLY_TRY(conversation.messages, read_messages(read.body, {kRoles, kMessageFields}));
  if (const Json* kwargs = find(read.body, "chat_template_kwargs")) conversation.extra = *kwargs;
  WOOLLY_TRY(const auto spans, chat_spans(*read.card, conversation));
  std::string prompt;
  for (const chat::Span& span : spans) prompt += span.text;
  return dump(Json::object({{"prompt", std::move(prompt)}}));
}

void add_head(std::string& text, std::string_view name, std::string_view type, std::string_view help) {
  text += fmt::format("# HELP {} {}\n# TYPE {} {}\n", name, help, name, type);
}

void add_histogram(std::string& text, std::string_view name, std::string_view help, const serve::Histogram& histogram) {
  add_head(text, name, "histogram", help);
  std::uint64_t n = 0;
  for (std::size_t i = 0; i < histogram.counts.size(); ++i) {
    n += histogram.counts[i];
    const std::string bound = i < serve::Histogram::kBounds.size() ? fmt::format("{}", serve::Histogram::kBounds[i])
                                                                   : std::string("+Inf");
    text += fmt::format("{}_bucket{{le=\"{}\"}} {}\n", name, bound, n);
  }
  text += fmt::format("{}_sum {}\n{}_count {}\n", name, histogram.sum, name, n);
}

}  // namespace

void root(const Services& /*services*/, std::shared_ptr<http::Exchange> exchange) {
  exchange->respond({200, "text/plain; charset=utf-8", "Ollama is running"});
}

void health(const Services& /*services*/, std::shared_ptr<http::Exchange> exchange) {
  respond(*exchange, R"({"status":"ok"})");
}

void ready(const Services& services, std::shared_ptr<http::Exchange> exchange) {
  if (services.scheduler.is_ready()) return respond(*exchange, R"({"status":"ready"})");
  exchange->respond(error_response(Dialect::kOpenAi, {503, "a model loads, or work waits and no step ends"}));
}

void metrics(const Services& services, std::shared_ptr<http::Exchange> exchange) {
  exchange->respond({200, "text/plain; version=0.0.4; charset=utf-8", metrics_text(services.scheduler.metrics())});
}

void tokenize(const Services& services, std::shared_ptr<http::Exchange> exchange) {
  respond(*exchange, Dialect::kOpenAi, tokenize_answer(services, exchange->request()));
}

void detokenize(const Services& services, std::shared_ptr<http::Exchange> exchange) {
  respond(*exchange, Dialect::kOpenAi, detokenize_answer(services, exchange->request()));
}

void apply_template(const Services& services, std::shared_ptr<http::Exchange> exchange) {
  respond(*exchange, Dialect::kOpenAi, template_answer(services, exchange->request()));
}

std::string metrics_text(const serve::Snapshot& s) {
  struct Row {
    std::string_view name;
    std::string_view alias;  ///< What llama.cpp's server calls it, for dashboards that know that; empty: nothing.
    std::string_view type;
    std::string_view help;
    std::uint64_t value;
  };
  const Row rows[] = {
      {"woolly_requests_total", "", "counter", "Requests that were taken.", s.n_requests},
      {"woolly_requests_finished_total", "", "counter", "Requests that were answered.", s.n_finished},
      {"woolly_requests_cancelled_total", "", "counter", "Requests whose client left.", s.n_cancelled},
      {"woolly_requests_failed_total", "", "counter", "Requests that an error ended.", s.n_failed},
      {"woolly_requests_refused_total", "", "counter", "Requests that there was no room for.", s.n_refused},
      {"woolly_preemptions_total", "", "counter", "Sequences that gave their memory up to others for a while.",
       s.n_preempted},
      {"woolly_prompt_tokens_total", "llamacpp:prompt_tokens_total", "counter", "Tokens of prompts.", s.n_prompt_tokens},
      {"woolly_cached_tokens_total", "", "counter", "Tokens of prompts that were there from other requests.",
       s.n_cached_tokens},
      {"woolly_generated_tokens_total", "llamacpp:tokens_predicted_total", "counter", "Tokens that were generated.",
       s.n_generated_tokens},
      {"woolly_steps_total", "", "counter", "Steps of the engine.", s.n_steps},
      {"woolly_requests_running", "llamacpp:requests_processing", "gauge", "Requests that are worked on.", s.n_running},
      {"woolly_requests_waiting", "llamacpp:requests_deferred", "gauge", "Requests that wait for a place.", s.n_waiting},
      {"woolly_cached_sequences", "", "gauge", "Sequences that are kept for later requests.", s.n_cached_sequences},
      {"woolly_models_loaded", "", "gauge", "Models in memory.", s.n_models},
      {"woolly_weights_bytes", "", "gauge", "Memory of weights.", s.weight_bytes},
      {"woolly_workspace_bytes", "", "gauge", "Memory of intermediate results.", s.workspace_bytes},
      {"woolly_kv_bytes", "", "gauge", "Memory of keys and values.", s.kv_bytes},
      {"woolly_memory_limit_bytes", "", "gauge", "What the three may take together.", s.memory_limit},
  };
  std::string text;
  for (const Row& row : rows) {
    for (const std::string_view name : {row.name, row.alias}) {
      if (name.empty()) continue;
      add_head(text, name, row.type, row.help);
      text += fmt::format("{} {}\n", name, row.value);
    }
  }
  add_histogram(text, "woolly_queue_seconds", "From the arrival of a request to its first step.", s.queue);
  add_histogram(text, "woolly_time_to_first_token_seconds", "From the arrival of a request to its first token.",
                s.time_to_first_token);
  add_histogram(text, "woolly_time_between_tokens_seconds", "Between two tokens of a request.", s.time_between_tokens);
  return text;
}

}  // namespace woolly::server::native
