#include "server/ollama.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "server/fields.h"
#include "server/ollama_models.h"
#include "server/prompt.h"
#include "server/report.h"
#include "woolly/options.h"

namespace woolly::server::ollama {
namespace {

constexpr sample::Range kNTop{0, 20};

constexpr Field kCommonFields[] = {
    {"model", FieldType::kString, kAnyNumber, true},
    {"stream", FieldType::kBool},
    {"options", FieldType::kObject},
    {"logprobs", FieldType::kBool},
    {"top_logprobs", FieldType::kInteger, kNTop},
    not_supported("format"),
    not_supported("think"),
};

constexpr Field kGenerateFields[] = {
    {"prompt", FieldType::kString}, {"system", FieldType::kString}, {"raw", FieldType::kBool},
    {"context", FieldType::kArray}, not_supported("suffix"),        not_supported("template"),
    not_supported("images"),
};

constexpr Field kChatFields[] = {{"messages", FieldType::kArray}, not_supported("tools")};

constexpr Field kOptionFields[] = {
    {"num_ctx", FieldType::kInteger, {1, static_cast<double>(kMaxContext)}},
    {"num_predict", FieldType::kInteger, {-2, 0x1p31}},  // below 1: until the context is full
    not_supported("typical_p", "1"),
    not_supported("tfs_z", "1"),
    not_supported("mirostat", "0"),
};

constexpr std::string_view kRoles[] = {"system", "user", "assistant"};
constexpr Field kMessageFields[] = {not_supported("images"), not_supported("tool_calls")};

/// A century: what stands for "for ever" must still be a date.
constexpr sample::Range kKeepAlive{-3.2e9, 3.2e9};

struct Unit {
  std::string_view name;
  double seconds;
};
/// As Go's durations have them; longer names before those that they begin with.
constexpr std::array kUnits = {Unit{"ns", 1e-9}, Unit{"us", 1e-6}, Unit{"µs", 1e-6}, Unit{"ms", 1e-3},
                               Unit{"s", 1},     Unit{"m", 60},    Unit{"h", 3600}};

/// nullopt: no duration.
std::optional<double> parse_duration(std::string_view text) {
  const bool is_negative = text.starts_with('-');
  if (is_negative || text.starts_with('+')) text.remove_prefix(1);
  if (text.empty()) return std::nullopt;
  double seconds = 0;
  while (!text.empty()) {
    double number = 0;
    const auto [end, status] =
        std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
    if (status != std::errc() || number < 0 || !std::isfinite(number)) return std::nullopt;
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    const auto unit = std::ranges::find_if(kUnits, [text](const Unit& row) { return text.starts_with(row.name); });
    if (unit == kUnits.end() && (!text.empty() || seconds > 0)) return std::nullopt;
    if (unit != kUnits.end()) text.remove_prefix(unit->name.size());
    seconds += number * (unit == kUnits.end() ? 1 : unit->seconds);
  }
  return is_negative ? -seconds : seconds;
}

std::int64_t nanoseconds(double seconds) { return std::llround(seconds * 1e9); }

/// What both kinds of answer have in common.
struct Head {
  std::shared_ptr<const serve::Card> model;
  bool is_chat;
  bool with_logprobs;
  std::string_view done_reason;   ///< Where nothing is generated: "load"; else empty.
  std::vector<TokenId> prompt{};  ///< Where the answer tells the context; else empty.
};

class LineForm final : public Form {
 public:
  explicit LineForm(Head head) : head_(std::move(head)) {}

  [[nodiscard]] std::string whole(std::span<const Choice> choices) const override {
    Json answer = line(choices[0].text, true);
    if (head_.with_logprobs) answer["logprobs"] = logprobs_json(*head_.model->tokenizer, choices[0].pieces);
    add_end(answer, choices[0]);
    return dump(answer);
  }
  [[nodiscard]] std::string content_type() const override { return "application/x-ndjson"; }
  [[nodiscard]] std::string ping() const override { return dump(line("", false)) + '\n'; }
  [[nodiscard]] std::string head() const override { return {}; }
  [[nodiscard]] std::string delta(std::size_t /*index*/, const Choice& /*choice*/, std::string_view text,
                                  std::span<const serve::Piece> pieces) const override {
    if (text.empty() && !head_.with_logprobs) return {};
    Json answer = line(text, false);
    if (head_.with_logprobs) answer["logprobs"] = logprobs_json(*head_.model->tokenizer, pieces);
    return dump(answer) + '\n';
  }
  [[nodiscard]] std::string tail(std::size_t /*index*/, const Choice& choice) const override {
    Json answer = line("", true);
    add_end(answer, choice);
    return dump(answer) + '\n';
  }
  [[nodiscard]] std::string close(std::span<const Choice> /*choices*/) const override { return {}; }
  [[nodiscard]] std::string error_line(const Refusal& refusal) const override {
    return error_body(Dialect::kOllama, refusal) + '\n';
  }

 private:
  [[nodiscard]] Json line(std::string_view text, bool is_done) const {
    Json answer{{"model", head_.model->name}, {"created_at", timestamp(std::chrono::system_clock::now())}};
    if (head_.is_chat) {
      answer["message"] = {{"role", "assistant"}, {"content", text}};
    } else {
      answer["response"] = text;
    }
    answer["done"] = is_done;
    return answer;
  }
  void add_end(Json& answer, const Choice& choice) const {
    const serve::Timings& timings = choice.outcome.timings;
    if (!head_.done_reason.empty()) {
      answer["done_reason"] = head_.done_reason;
    } else {
      answer["done_reason"] = choice.outcome.reason == serve::FinishReason::kLength ? "length" : "stop";
    }
    answer["total_duration"] =
        nanoseconds(timings.queued + timings.load + timings.prefill + timings.decode + timings.sampling);
    answer["load_duration"] = nanoseconds(timings.load);
    answer["prompt_eval_count"] = timings.n_prompt;
    answer["prompt_eval_duration"] = nanoseconds(timings.prefill);
    answer["eval_count"] = timings.n_generated;
    answer["eval_duration"] = nanoseconds(timings.decode + timings.sampling);
    answer["timings"] = timings_json(timings);
    if (head_.prompt.empty()) return;
    Json& context = answer["context"] = Json::array();
    for (const TokenId token : head_.prompt) context.push_back(token.value);
    for (const serve::Piece& piece : choice.pieces) context.push_back(piece.id.value);
  }

  Head head_;
};

/// A body whose common fields have been read.
struct Read {
  Body body;
  Head head;
  serve::GenerateRequest request;
  std::optional<std::size_t> n_ctx;
  bool is_streamed;
};

Result<Read> read_common(const Services& services, const http::Request& request, std::span<const Field> own_fields) {
  WOOLLY_TRY(Body body, parse_object(request.body));
  WOOLLY_CHECK(check_fields(body, kCommonFields));
  WOOLLY_CHECK(check_fields(body, own_fields));
  Read read{};
  WOOLLY_TRY(read.request.model, find_model(services.catalogue, get_string(body, "model")));
  read.request.key = request.key;
  read.request.sampling = {.temperature = 0.8F, .top_k = 40, .top_p = 0.9F};
  WOOLLY_TRY(read.request.keep_alive, read_keep_alive(body));
  const Json none = Json::object();
  const Json* found = find(body, "options");
  const Json& options = found != nullptr ? *found : none;
  WOOLLY_CHECK(check_fields(options, kOptionFields, "options."));
  WOOLLY_CHECK(read_sampling(options, read.request.sampling, "options."));
  WOOLLY_TRY(read.request.stops, read_stops(options, "stop", "options."));
  if (const auto n = find_integer(options, "num_predict"); n && *n > 0) {
    read.request.max_tokens = static_cast<std::size_t>(*n);
  }
  if (const auto n = find_integer(options, "num_ctx")) read.n_ctx = static_cast<std::size_t>(*n);
  read.request.wants_logprobs = get_bool(body, "logprobs", false);
  read.request.n_top = static_cast<std::size_t>(find_integer(body, "top_logprobs").value_or(0));
  read.is_streamed = get_bool(body, "stream", true);
  read.head = {read.request.model, false, read.request.wants_logprobs, ""};
  read.body = std::move(body);
  return read;
}

/// Memory grows with the text here, so num_ctx asks for no room; it only says how long a text may become.
Status apply_n_ctx(Read& read) {
  const std::size_t n_prompt = read.request.prompt.size();
  if (!read.n_ctx || *read.n_ctx >= read.request.model->context_length) return {};
  if (n_prompt >= *read.n_ctx) {
    return Error{ErrorCode::kLimitExceeded,
                 fmt::format("options.num_ctx: {}, and the prompt has {} tokens; allowed is more than those, up to {}",
                             *read.n_ctx, n_prompt, read.request.model->context_length)};
  }
  read.request.max_tokens = std::min(read.request.max_tokens, *read.n_ctx - n_prompt);
  return {};
}

Asked asked_of(Read read) {
  Asked asked;
  if (read.request.prompt.empty()) read.head.done_reason = "load";
  asked.is_streamed = read.is_streamed && !read.request.prompt.empty();
  asked.form = std::make_unique<LineForm>(std::move(read.head));
  asked.requests.push_back(std::move(read.request));
  return asked;
}

/// `tokens` after those of an earlier answer, which began the text.
Result<std::vector<TokenId>> after_context(const Json& ids, std::vector<TokenId> tokens, const Tokenizer& tokenizer) {
  WOOLLY_TRY(std::vector<TokenId> all, read_tokens(ids, "context", tokenizer));
  if (!all.empty() && !tokens.empty() && tokens.front() == tokenizer.bos()) tokens.erase(tokens.begin());
  all.insert(all.end(), tokens.begin(), tokens.end());
  return all;
}

Result<std::vector<TokenId>> generate_tokens(const Read& read) {
  const serve::Card& card = *read.request.model;
  const std::string prompt = get_string(read.body, "prompt");
  if (prompt.empty()) return std::vector<TokenId>();
  if (get_bool(read.body, "raw", false)) return raw_tokens(card, prompt);
  Conversation conversation;
  if (const std::string system = get_string(read.body, "system"); !system.empty()) {
    conversation.messages.push_back({{"role", "system"}, {"content", system}});
  }
  conversation.messages.push_back({{"role", "user"}, {"content", prompt}});
  if (find(read.body, "think") != nullptr) conversation.extra["enable_thinking"] = false;
  WOOLLY_TRY(auto tokens, chat_tokens(card, conversation));
  const Json* context = find(read.body, "context");
  return context != nullptr ? after_context(*context, std::move(tokens), *card.tokenizer) : std::move(tokens);
}

/// Answers what was asked for; where that is to load a model for no time, unloads it.
void answer_or_unload(const Services& services, std::shared_ptr<http::Exchange> exchange, Result<Asked> asked,
                      bool is_chat) {
  if (!asked || !asked->requests[0].prompt.empty() || asked->requests[0].keep_alive != 0.0) {
    answer(services.scheduler, std::move(exchange), Dialect::kOllama, std::move(asked));
    return;
  }
  const std::shared_ptr<const serve::Card> model = asked->requests[0].model;
  services.scheduler.unload(model->name);
  const Choice nothing;
  respond(*exchange, LineForm({model, is_chat, false, "unload"}).whole(std::span(&nothing, 1)));
}

}  // namespace

Result<std::optional<double>> read_keep_alive(const Json& body) {
  const Json* value = find(body, "keep_alive");
  if (value == nullptr) return std::optional<double>();
  std::optional<double> seconds;
  if (value->is_number()) seconds = value->get<double>();
  if (value->is_string()) seconds = parse_duration(value->get_ref<const std::string&>());
  if (!seconds || !kKeepAlive.contains(*seconds)) {
    return field_error("", "keep_alive",
                       value->is_string() ? quote(value->get_ref<const std::string&>()) : describe(*value),
                       fmt::format("seconds, or a duration as \"5m\", {}", kKeepAlive.describe()));
  }
  return seconds;
}

Result<Asked> read_generate(const Services& services, const http::Request& request) {
  WOOLLY_TRY(Read read, read_common(services, request, kGenerateFields));
  WOOLLY_TRY(read.request.prompt, generate_tokens(read));
  WOOLLY_CHECK(apply_n_ctx(read));
  if (!get_bool(read.body, "raw", false)) read.head.prompt = read.request.prompt;
  return asked_of(std::move(read));
}

Result<Asked> read_chat(const Services& services, const http::Request& request) {
  WOOLLY_TRY(Read read, read_common(services, request, kChatFields));
  read.head.is_chat = true;
  Conversation conversation;
  WOOLLY_TRY(conversation.messages, read_messages(read.body, {kRoles, kMessageFields}));
  if (!conversation.messages.empty()) {
    conversation.continues_last = get_string(conversation.messages.back(), "role") == "assistant";
    if (find(read.body, "think") != nullptr) conversation.extra["enable_thinking"] = false;
    WOOLLY_TRY(read.request.prompt, chat_tokens(*read.request.model, conversation));
  }
  WOOLLY_CHECK(apply_n_ctx(read));
  return asked_of(std::move(read));
}

void generate(const Services& services, std::shared_ptr<http::Exchange> exchange) {
  auto asked = read_generate(services, exchange->request());
  answer_or_unload(services, std::move(exchange), std::move(asked), false);
}

void chat(const Services& services, std::shared_ptr<http::Exchange> exchange) {
  auto asked = read_chat(services, exchange->request());
  answer_or_unload(services, std::move(exchange), std::move(asked), true);
}

void tags(const Services& services, std::shared_ptr<http::Exchange> exchange) {
  Json models = Json::array();
  for (const std::string& name : services.catalogue.names()) {
    // A file that cannot be read is no model that could be asked for.
    if (const auto card = services.catalogue.find(name)) models.push_back(tag_json(*card.value()));
  }
  respond(*exchange, dump(Json::object({{"models", std::move(models)}})));
}

void show(const Services& services, std::shared_ptr<http::Exchange> exchange) {
  static constexpr Field kFields[] = {
      {"model", FieldType::kString}, {"name", FieldType::kString}, {"verbose", FieldType::kBool}};
  const auto read = [&]() -> Result<std::string> {
    WOOLLY_TRY(const Body body, parse_object(exchange->request().body));
    WOOLLY_CHECK(check_fields(body, kFields));
    const std::string model = get_string(body, "model");
    const std::string name = model.empty() ? get_string(body, "name") : model;  // the older name of the field
    if (name.empty()) return field_error("", "model", "missing", "a string");
    WOOLLY_TRY(const auto card, find_model(services.catalogue, name));
    return dump(show_json(*card, get_bool(body, "verbose", false)));
  };
  respond(*exchange, Dialect::kOllama, read());
}

void ps(const Services& services, std::shared_ptr<http::Exchange> exchange) {
  Json models = Json::array();
  for (const serve::Scheduler::Resident& resident : services.scheduler.resident()) {
    if (const auto card = services.catalogue.find(resident.name)) models.push_back(ps_json(*card.value(), resident));
  }
  respond(*exchange, dump(Json::object({{"models", std::move(models)}})));
}

void version(const Services& services, std::shared_ptr<http::Exchange> exchange) {
  respond(*exchange, dump(Json::object({{"version", services.version}})));
}

}  // namespace woolly::server::ollama
