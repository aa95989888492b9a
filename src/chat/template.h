// Chat templates: messages to text, of which it is known byte by byte who wrote it.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "woolly/error.h"

namespace woolly::chat {

/// A run of bytes: the template's own, or a caller's.
struct Span {
  std::string text;
  bool is_callers;
};

struct Conversation {
  nlohmann::ordered_json messages = nlohmann::ordered_json::array();  ///< Objects: role, content, ...
  nlohmann::ordered_json tools{};   ///< null: none.
  nlohmann::ordered_json extra = nlohmann::ordered_json::object();  ///< More variables, such as enable_thinking.
  bool add_generation_prompt = true;
  std::string bos_token{}, eos_token{};
  std::int64_t now = 0;  ///< Seconds since 1970, for strftime_now, which tells the time of UTC.
};

/// Immutable; any thread may render. Jinja as transformers sets it up (syntax.h), within limits: a template cannot run for
/// long, nor reach anything but what it is given.
class Template {
 public:
  /// An empty text stands for none: messages' contents, joined by a newline. kInvalidFile names the line that is no Jinja.
  static Result<Template> parse(std::string_view text);

  Template(Template&&) noexcept;
  Template& operator=(Template&&) noexcept;
  ~Template();

  /// kInvalidArgument where the template refuses the conversation (raise_exception), uses what is undefined, or passes a
  /// limit; the message names the line.
  [[nodiscard]] Result<std::vector<Span>> render(const Conversation& conversation) const;

 private:
  struct Parts;
  explicit Template(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace woolly::chat
