#include "chat/template.h"

#include <fmt/format.h>

#include <utility>

#include "chat/machine.h"
#include "chat/syntax.h"

namespace woolly::chat {

struct Template::Parts {
  Body body;
};

Template::Template(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Template::Template(Template&&) noexcept = default;
Template& Template::operator=(Template&&) noexcept = default;
Template::~Template() = default;

namespace {

constexpr std::string_view kContentsAlone =
    "{%- for message in messages -%}{{- '' if loop.first else '\\n' -}}{{- message.content -}}{%- endfor -%}";

std::vector<Span> spans_of(const Text& text) {
  std::vector<Span> spans;
  for (std::size_t begin = 0; begin < text.size();) {
    const char origin = text.origins()[begin];
    const std::size_t end = std::min(text.origins().find_first_not_of(origin, begin), text.size());
    spans.push_back({text.bytes().substr(begin, end - begin), origin == Text::kCallers});
    begin = end;
  }
  return spans;
}

}  // namespace

Result<Template> Template::parse(std::string_view text) {
  try {
    return Template(std::make_unique<Parts>(Parts{chat::parse(text.empty() ? kContentsAlone : text)}));
  } catch (const TemplateError& error) {
    return Error{ErrorCode::kInvalidFile, fmt::format("chat template, {}", error.message)};
  }
}

Result<std::vector<Span>> Template::render(const Conversation& conversation) const {
  try {
    std::map<std::string, Value, std::less<>> globals;
    for (const auto& [name, value] : conversation.extra.items()) globals.insert_or_assign(name, Value::from_json(value));
    globals.insert_or_assign("messages", Value::from_json(conversation.messages));
    globals.insert_or_assign("tools", Value::from_json(conversation.tools));
    globals.insert_or_assign("documents", Value());
    globals.insert_or_assign("add_generation_prompt", Value(conversation.add_generation_prompt));
    globals.insert_or_assign("bos_token", Value::own(conversation.bos_token));
    globals.insert_or_assign("eos_token", Value::own(conversation.eos_token));
    return spans_of(Machine(conversation.now, globals).render(parts_->body));
  } catch (const TemplateError& error) {
    return Error{ErrorCode::kInvalidArgument, fmt::format("chat template, {}", error.message)};
  }
}

}  // namespace woolly::chat
