#include "server/openai.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "server/fields.h"
#include "server/json.h"
#include "server/prompt.h"
#include "server/report.h"

namespace woolly::server::openai {
namespace {

/// OpenAI's own bounds.
constexpr sample::Range kNChoices{1, 128};
constexpr sample::Range kNTop{0, 20};
constexpr sample::Range kBias{-100, 100};
constexpr std::size_t kMaxBiases = 1024;  // each costs time for every token
constexpr std::size_t kDefaultMaxTokens = 16;
constexpr sample::Range kMaxTokens{1, 0x1p31};

/// Fields of both kinds of completion. The lower half are other servers' extensions.
constexpr Field kCommonFields[] = {
    {"model", FieldType::kString, kAnyNumber, true},
    {"stream", FieldType::kBool},
    {"stream_options", FieldType::kObject},
    {"n", FieldType::kInteger, kNChoices},
    {"max_tokens", FieldType::kInteger, kMaxTokens},
    {"logit_bias", FieldType::kObject},

    not_supported("typical_p", "1"),
    not_supported("mirostat", "0"),
    not_supported("dry_multiplier", "0"),
    not_supported("xtc_probability", "0"),
    not_supported("min_tokens", "0"),
    not_supported("ignore_eos"),
    not_supported("grammar"),
    not_supported("json_schema"),
    not_supported("guided_json"),
    not_supported("guided_regex"),
    not_supported("guided_choice"),
    not_supported("guided_grammar"),
    not_supported("structured_outputs"),
    not_supported("lora"),
};

constexpr Field kChatFields[] = {
    {"messages", FieldType::kArray, kAnyNumber, true},
    {"max_completion_tokens", FieldType::kInteger, kMaxTokens},
    {"logprobs", FieldType::kBool},
    {"top_logprobs", FieldType::kInteger, kNTop},
    {"reasoning_effort", FieldType::kString},
    {"chat_template_kwargs", FieldType::kObject},
    not_supported("tools"),
    not_supported("tool_choice", R"("none")"),
    not_supported("functions"),
    not_supported("function_call", R"("none")"),
    not_supported("response_format", R"({"type":"text"})"),
    not_supported("modalities", R"(["text"])"),
    not_supported("audio"),
    not_supported("web_search_options"),
    not_supported("chat_template"),
    not_supported("continue_final_message"),
};

constexpr Field kCompletionFields[] = {
    {"logprobs", FieldType::kInteger, kNTop},
    not_supported("suffix"),
    not_supported("echo"),
    not_supported("best_of", "1"),
    not_supported("response_format", R"({"type":"text"})"),
};

constexpr Field kStreamFields[] = {{"include_usage", FieldType::kBool}};

constexpr std::string_view kRoles[] = {"system", "developer", "user", "assistant"};
constexpr Field kMessageFields[] = {not_supported("tool_calls"), not_supported("function_call"),
                                    not_supported("audio")};

std::string_view finish_reason(serve::FinishReason reason) {
  return reason == serve::FinishReason::kLength ? "length" : "stop";
}

/// What both kinds of completion have in common.
struct Head {
  std::string id;
  std::int64_t created;
  std::string fingerprint;
  std::shared_ptr<const serve::Card> model;
  std::size_t n;  ///< Choices for each prompt.
  bool with_usage;
  bool with_logprobs;
};

Json usage_json(const Head& head, std::span<const Choice> choices) {
  std::size_t n_prompt = 0;
  std::size_t n_cached = 0;
  std::size_t n_generated = 0;
  for (std::size_t i = 0; i < choices.size(); ++i) {
    const serve::Timings& timings = choices[i].outcome.timings;
    n_generated += timings.n_generated;
    if (i % head.n != 0) continue;  // the same prompt again
    n_prompt += timings.n_prompt;
    n_cached += timings.n_cached;
  }
  return {{"prompt_tokens", n_prompt},
          {"completion_tokens", n_generated},
          {"total_tokens", n_prompt + n_generated},
          {"prompt_tokens_details", {{"cached_tokens", n_cached}}}};
}

/// Those of the choice that took longest: the client's wall time.
Json timings_of(std::span<const Choice> choices) {
  const auto wall = [](const Choice& choice) {
    const serve::Timings& t = choice.outcome.timings;
    return t.queued + t.load + t.prefill + t.decode + t.sampling;
  };
  return timings_json(std::ranges::max_element(choices, {}, wall)->outcome.timings);
}

/// A stream of server-sent events; what is in its choices is the business of the two kinds.
class CompletionForm : public Form {
 public:
  explicit CompletionForm(Head head) : head_(std::move(head)) {}

  [[nodiscard]] std::string content_type() const override { return "text/event-stream"; }
  [[nodiscard]] std::string ping() const override { return ":\n\n"; }
  [[nodiscard]] std::string close(std::span<const Choice> choices) const override {
    std::string bytes;
    if (head_.with_usage) {
      Json chunk = object(true);
      chunk["choices"] = Json::array();
      chunk["usage"] = usage_json(head_, choices);
      chunk["timings"] = timings_of(choices);
      bytes = sse(dump(chunk));
    }
    return bytes + sse("[DONE]");
  }
  [[nodiscard]] std::string error_line(const Refusal& refusal) const override {
    return sse(error_body(Dialect::kOpenAi, refusal));
  }
  [[nodiscard]] std::string tail(std::size_t index, const Choice& choice) const override {
    Json end = last_choice(index);
    end["finish_reason"] = finish_reason(choice.outcome.reason);
    return chunk(std::move(end), timings_json(choice.outcome.timings));
  }
  [[nodiscard]] std::string whole(std::span<const Choice> choices) const override {
    Json answer = object(false);
    Json& list = answer["choices"] = Json::array();
    for (std::size_t i = 0; i < choices.size(); ++i) {
      Json& choice = list.emplace_back(whole_choice(i, choices[i]));
      choice["finish_reason"] = finish_reason(choices[i].outcome.reason);
    }
    answer["usage"] = usage_json(head_, choices);
    answer["timings"] = timings_of(choices);
    return dump(answer);
  }

 protected:
  [[nodiscard]] virtual std::string_view object_name(bool is_chunk) const = 0;
  [[nodiscard]] virtual Json whole_choice(std::size_t index, const Choice& choice) const = 0;
  /// Of a stream's last chunk for a choice.
  [[nodiscard]] virtual Json last_choice(std::size_t index) const = 0;

  [[nodiscard]] std::string chunk(Json choice, Json timings = {}) const {
    Json chunk = object(true);
    chunk["choices"] = Json::array({std::move(choice)});
    if (head_.with_usage) chunk["usage"] = nullptr;
    if (!timings.is_null()) chunk["timings"] = std::move(timings);
    return sse(dump(chunk));
  }
  [[nodiscard]] Json object(bool is_chunk) const {
    return {{"id", head_.id},
            {"object", object_name(is_chunk)},
            {"created", head_.created},
            {"model", head_.model->name},
            {"system_fingerprint", head_.fingerprint}};
  }
  [[nodiscard]] const Head& common() const { return head_; }
  [[nodiscard]] const Tokenizer& tokenizer() const { return *head_.model->tokenizer; }

 private:
  Head head_;
};

class ChatForm final : public CompletionForm {
 public:
  using CompletionForm::CompletionForm;
  ChatForm(Head head, std::size_t n_choices) : CompletionForm(std::move(head)), n_choices_(n_choices) {}

  [[nodiscard]] std::string head() const override {
    std::string bytes;
    for (std::size_t i = 0; i < n_choices_; ++i) {
      bytes += chunk({{"index", i},
                      {"delta", {{"role", "assistant"}, {"content", ""}}},
                      {"logprobs", nullptr},
                      {"finish_reason", nullptr}});
    }
    return bytes;
  }
  [[nodiscard]] std::string delta(std::size_t index, const Choice& /*choice*/, std::string_view text,
                                  std::span<const serve::Piece> pieces) const override {
    if (text.empty() && !common().with_logprobs) return {};
    return chunk(
        {{"index", index}, {"delta", {{"content", text}}}, {"logprobs", logprobs(pieces)}, {"finish_reason", nullptr}});
  }

 private:
  [[nodiscard]] std::string_view object_name(bool is_chunk) const override {
    return is_chunk ? "chat.completion.chunk" : "chat.completion";
  }
  [[nodiscard]] Json whole_choice(std::size_t index, const Choice& choice) const override {
    return {{"index", index},
            {"message", {{"role", "assistant"}, {"content", choice.text}, {"refusal", nullptr}}},
            {"logprobs", logprobs(choice.pieces)}};
  }
  [[nodiscard]] Json last_choice(std::size_t index) const override {
    return {{"index", index}, {"delta", Json::object()}, {"logprobs", nullptr}};
  }
  [[nodiscard]] Json logprobs(std::span<const serve::Piece> pieces) const {
    if (!common().with_logprobs) return {};
    return {{"content", logprobs_json(tokenizer(), pieces)}, {"refusal", nullptr}};
  }

  std::size_t n_choices_;
};

/// Characters of UTF-8: bytes that do not go on with one. Sums over pieces of a character, too.
std::size_t n_characters(std::string_view text) {
  return static_cast<std::size_t>(
      std::ranges::count_if(text, [](char byte) { return (static_cast<unsigned char>(byte) & 0xC0U) != 0x80U; }));
}

class TextForm final : public CompletionForm {
 public:
  using CompletionForm::CompletionForm;

  [[nodiscard]] std::string head() const override { return {}; }
  [[nodiscard]] std::string delta(std::size_t index, const Choice& choice, std::string_view text,
                                  std::span<const serve::Piece> pieces) const override {
    if (text.empty() && !common().with_logprobs) return {};
    return chunk(
        {{"index", index}, {"text", text}, {"logprobs", logprobs(choice.pieces, pieces)}, {"finish_reason", nullptr}});
  }

 private:
  [[nodiscard]] std::string_view object_name(bool /*is_chunk*/) const override { return "text_completion"; }
  [[nodiscard]] Json whole_choice(std::size_t index, const Choice& choice) const override {
    return {{"index", index}, {"text", choice.text}, {"logprobs", logprobs({}, choice.pieces)}};
  }
  [[nodiscard]] Json last_choice(std::size_t index) const override {
    return {{"index", index}, {"text", ""}, {"logprobs", nullptr}};
  }
  /// The older form, of four lists. Offsets are in characters from where the completion begins.
  [[nodiscard]] Json logprobs(std::span<const serve::Piece> before, std::span<const serve::Piece> pieces) const {
    if (!common().with_logprobs) return {};
    std::size_t offset = 0;
    for (const serve::Piece& piece : before) offset += n_characters(tokenizer().piece(piece.id));
    Json tokens = Json::array();
    Json logprobs = Json::array();
    Json tops = Json::array();
    Json offsets = Json::array();
    for (const serve::Piece& piece : pieces) {
      tokens.push_back(tokenizer().piece(piece.id, true));
      logprobs.push_back(piece.logprob);
      offsets.push_back(offset);
      offset += n_characters(tokenizer().piece(piece.id));
      Json& top = tops.emplace_back(Json::object());
      for (const serve::TokenProb& other : piece.top)
        top[std::string(tokenizer().piece(other.id, true))] = other.logprob;
    }
    return {{"tokens", std::move(tokens)},
            {"token_logprobs", std::move(logprobs)},
            {"top_logprobs", std::move(tops)},
            {"text_offset", std::move(offsets)}};
  }
};

Status read_logit_bias(const Json& body, const Tokenizer& tokenizer, SamplingOptions& options) {
  const Json* biases = find(body, "logit_bias");
  if (biases == nullptr) return {};
  if (biases->size() > kMaxBiases) {
    return field_error("", "logit_bias", fmt::format("{} tokens", biases->size()),
                       fmt::format("at most {}", kMaxBiases));
  }
  for (const auto& [name, value] : biases->items()) {
    TokenId token;
    const auto end = name.data() + name.size();
    const auto [stopped, status] = std::from_chars(name.data(), end, token.value);
    if (status != std::errc() || stopped != end || token.value < 0 ||
        static_cast<std::size_t>(token.value) >= tokenizer.vocab_size()) {
      return field_error("", "logit_bias", quote(name),
                         fmt::format("a token id from 0 to {}", tokenizer.vocab_size() - 1));
    }
    if (!value.is_number() || !kBias.contains(value.get<double>())) {
      return field_error("logit_bias.", name, describe(value), fmt::format("a number, {}", kBias.describe()));
    }
    // OpenAI's end of the scale is a ban.
    const auto bias = value.get<double>() == kBias.min ? sample::kNever : value.get<float>();
    options.logit_bias.emplace_back(token, bias);
  }
  return {};
}

/// A body whose common fields have been read.
struct Read {
  Body body;
  Head head;
  serve::GenerateRequest first;  ///< Of all that is generated, but for the prompt.
  bool is_streamed;
};

Result<Read> read_common(const Services& services, const http::Request& request, std::span<const Field> own_fields,
                         std::string_view id_prefix) {
  WOOLLY_TRY(Body body, parse_object(request.body));
  WOOLLY_CHECK(check_fields(body, kCommonFields));
  WOOLLY_CHECK(check_fields(body, own_fields));
  WOOLLY_TRY(auto card, find_model(services.catalogue, get_string(body, "model")));
  serve::GenerateRequest first;
  first.model = card;
  first.key = request.key;
  first.sampling = {.temperature = 1, .top_k = 0, .top_p = 1};
  WOOLLY_CHECK(read_sampling(body, first.sampling));
  WOOLLY_CHECK(read_logit_bias(body, *card->tokenizer, first.sampling));
  WOOLLY_TRY(first.stops, read_stops(body, "stop"));
  bool with_usage = false;
  if (const Json* options = find(body, "stream_options")) {
    WOOLLY_CHECK(check_fields(*options, kStreamFields, "stream_options."));
    with_usage = get_bool(*options, "include_usage", false);
  }
  const bool is_streamed = get_bool(body, "stream", false);
  Head head{id_with(id_prefix, request.id),
            now_s(),
            fmt::format("woolly-{}", services.version),
            std::move(card),
            static_cast<std::size_t>(find_integer(body, "n").value_or(1)),
            with_usage,
            false};
  return Read{std::move(body), std::move(head), std::move(first), is_streamed};
}

/// The same prompt `n` times, each with a seed of its own.
void add_choices(std::vector<serve::GenerateRequest>& requests, serve::GenerateRequest request, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) {
    requests.push_back(request);
    ++request.sampling.seed;
  }
}

/// A string, an array of strings, an array of token ids, or an array of such.
Result<std::vector<std::vector<TokenId>>> read_prompts(const Json& body, const serve::Card& card, std::size_t n) {
  std::vector<std::vector<TokenId>> prompts;
  const Json* found = find(body, "prompt");
  const Json none;
  const Json& prompt = found != nullptr ? *found : none;
  const bool is_tokens = prompt.is_array() && !prompt.empty() && prompt[0].is_number();
  if (prompt.is_string() || is_tokens) {
    WOOLLY_TRY(auto tokens, is_tokens ? read_tokens(prompt, "prompt", *card.tokenizer)
                                      : raw_tokens(card, prompt.get<std::string>()));
    prompts.push_back(std::move(tokens));
    return prompts;
  }
  constexpr std::string_view kAllowed = "a string, token ids, or an array of at least one of either";
  if (!prompt.is_array() || prompt.empty()) {
    return field_error("", "prompt", found != nullptr ? describe(prompt) : "missing", kAllowed);
  }
  if (static_cast<double>(prompt.size() * n) > kNChoices.max) {
    return field_error("", "prompt", fmt::format("{} prompts times n = {}", prompt.size(), n),
                       fmt::format("at most {} completions", kNChoices.max));
  }
  for (std::size_t i = 0; i < prompt.size(); ++i) {
    const bool is_text = prompt[i].is_string();
    if (!is_text && (!prompt[i].is_array() || prompt[i].empty())) {
      return field_error("prompt.", std::to_string(i), describe(prompt[i]), "a string or token ids");
    }
    WOOLLY_TRY(auto tokens, is_text ? raw_tokens(card, prompt[i].get<std::string>())
                                    : read_tokens(prompt[i], fmt::format("prompt.{}", i), *card.tokenizer));
    prompts.push_back(std::move(tokens));
  }
  return prompts;
}

/// With what Anthropic's list of models has, too, as both have one path.
Json model_json(const serve::Card& card) {
  const auto time = modified(card);
  return {{"id", card.name},
          {"object", "model"},
          {"created", std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count()},
          {"owned_by", "woolly"},
          {"context_length", card.context_length},
          {"meta", {{"n_ctx", card.context_length}, {"size", card.file_bytes}}},
          {"type", "model"},
          {"display_name", card.name},
          {"created_at", timestamp(time)}};
}

}  // namespace

Result<Asked> read_chat_completion(const Services& services, const http::Request& request) {
  WOOLLY_TRY(Read read, read_common(services, request, kChatFields, "chatcmpl-"));
  const Json& body = read.body;
  Conversation conversation;
  WOOLLY_TRY(conversation.messages, read_messages(body, {kRoles, kMessageFields}));
  if (conversation.messages.empty()) return field_error("", "messages", "an empty array", "at least one message");
  if (const Json* kwargs = find(body, "chat_template_kwargs")) conversation.extra = *kwargs;
  if (const Json* effort = find(body, "reasoning_effort")) conversation.extra["reasoning_effort"] = *effort;
  read.head.with_logprobs = read.first.wants_logprobs = get_bool(body, "logprobs", false);
  read.first.n_top = static_cast<std::size_t>(find_integer(body, "top_logprobs").value_or(0));
  if (read.first.n_top > 0 && !read.first.wants_logprobs) {
    return field_error("", "top_logprobs", std::to_string(read.first.n_top), "0 unless logprobs is true");
  }
  const auto max_tokens = find_integer(body, "max_completion_tokens");
  if (const auto n = max_tokens ? max_tokens : find_integer(body, "max_tokens")) {
    read.first.max_tokens = static_cast<std::size_t>(*n);
  }
  WOOLLY_TRY(read.first.prompt, chat_tokens(*read.head.model, conversation));
  Asked asked;
  asked.is_streamed = read.is_streamed;
  add_choices(asked.requests, std::move(read.first), read.head.n);
  asked.form = std::make_unique<ChatForm>(std::move(read.head), asked.requests.size());
  return asked;
}

Result<Asked> read_completion(const Services& services, const http::Request& request) {
  WOOLLY_TRY(Read read, read_common(services, request, kCompletionFields, "cmpl-"));
  const Json& body = read.body;
  if (const auto n_top = find_integer(body, "logprobs")) {
    read.head.with_logprobs = read.first.wants_logprobs = true;
    read.first.n_top = static_cast<std::size_t>(*n_top);
  }
  read.first.max_tokens = static_cast<std::size_t>(find_integer(body, "max_tokens").value_or(kDefaultMaxTokens));
  WOOLLY_TRY(auto prompts, read_prompts(body, *read.head.model, read.head.n));
  Asked asked;
  asked.is_streamed = read.is_streamed;
  for (std::vector<TokenId>& prompt : prompts) {
    serve::GenerateRequest request_of_prompt = read.first;
    request_of_prompt.prompt = std::move(prompt);
    add_choices(asked.requests, std::move(request_of_prompt), read.head.n);
  }
  asked.form = std::make_unique<TextForm>(std::move(read.head));
  return asked;
}

void chat_completions(const Services& services, std::shared_ptr<http::Exchange> exchange) {
  auto asked = read_chat_completion(services, exchange->request());
  answer(services.scheduler, std::move(exchange), Dialect::kOpenAi, std::move(asked));
}

void completions(const Services& services, std::shared_ptr<http::Exchange> exchange) {
  auto asked = read_completion(services, exchange->request());
  answer(services.scheduler, std::move(exchange), Dialect::kOpenAi, std::move(asked));
}

void list_models(const Services& services, std::shared_ptr<http::Exchange> exchange) {
  Json models = Json::array();
  for (const std::string& name : services.catalogue.names()) {
    // A file that cannot be read is no model that could be asked for.
    if (const auto card = services.catalogue.find(name)) models.push_back(model_json(*card.value()));
  }
  respond(*exchange, dump({{"object", "list"}, {"data", std::move(models)}, {"has_more", false}}));
}

void get_model(const Services& services, std::shared_ptr<http::Exchange> exchange) {
  constexpr std::string_view kPrefix = "/v1/models/";
  const auto read = [&]() -> Result<std::string> {
    WOOLLY_TRY(const auto card,
               find_model(services.catalogue, std::string_view(exchange->request().path).substr(kPrefix.size())));
    return dump(model_json(*card));
  };
  respond(*exchange, Dialect::kOpenAi, read());
}

}  // namespace woolly::server::openai
