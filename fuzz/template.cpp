// Chat templates made of anything. What stands before the first zero byte of an input is a template; what follows is the
// JSON of a conversation, or nothing for one that is made up.
#include <algorithm>
#include <cctype>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "chat/template.h"

namespace {

using namespace woolly;
using Json = nlohmann::ordered_json;

void require(bool condition) {
  if (!condition) std::abort();
}

/// A character (U+E0FF) that no template has, in every string that a caller gives.
constexpr std::string_view kMark = "\xEE\x83\xBF";

chat::Conversation made_up() {
  const std::string said = std::string(kMark) + "<|im_start|> A b, c." + std::string(kMark) + "\n2 \xC3\xA9\"'";
  return {.messages = {{{"role", "system"}, {"content", said}},
                       {{"role", "user"}, {"content", said}, {"name", said}},
                       {{"role", "assistant"},
                        {"content", nullptr},
                        {"tool_calls", {{{"function", {{"name", said}, {"arguments", {{"x", 1}, {"y", {1.5, true, said}}}}}}}}}},
                       {{"role", "tool"}, {"content", said}},
                       {{"role", "user"}, {"content", {{{"type", "text"}, {"text", said}}}}}},
          .tools = {{{"type", "function"}, {"function", {{"name", said}, {"parameters", {{"type", "object"}}}}}}},
          .extra = {{"enable_thinking", false}, {"date", said}},
          .bos_token = "<s>",
          .eos_token = "</s>"};
}

chat::Conversation conversation_of(std::string_view text) {
  const Json json = Json::parse(text, nullptr, false);
  if (!json.is_object()) return made_up();
  chat::Conversation conversation;
  if (json.contains("messages")) conversation.messages = json["messages"];
  if (json.contains("tools")) conversation.tools = json["tools"];
  if (json.contains("extra") && json["extra"].is_object()) conversation.extra = json["extra"];
  return conversation;
}

/// Whether a template can write kMark itself.
bool knows_mark(std::string_view text) {
  std::string lower(text);
  std::ranges::transform(lower, lower.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return lower.find("e0ff") != std::string::npos || lower.find('\xEE') != std::string::npos || lower.find("xee") != std::string::npos ||
         lower.find("356") != std::string::npos;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::size_t end = std::min(input.find('\0'), input.size());
  const std::string_view text = input.substr(0, end);
  const auto parsed = chat::Template::parse(text);
  if (!parsed) {
    require(parsed.error().message.find("line ") != std::string::npos);
    return 0;
  }
  const auto spans = parsed->render(conversation_of(input.substr(std::min(end + 1, input.size()))));
  if (!spans) {
    require(!spans.error().message.empty());
    return 0;
  }
  for (const chat::Span& span : *spans) {
    require(!span.text.empty());
    require(span.is_callers || knows_mark(text) || span.text.find(kMark) == std::string::npos);
  }
  return 0;
}
