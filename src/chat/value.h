// The values of templates: as Python has them, as far as templates can see. Strings know which of their bytes a caller
// supplied.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "woolly/error.h"

namespace woolly::chat {

/// Bytes, and for each of them whether it is the template's own or a caller's.
class Text {
 public:
  static constexpr char kOwn = 0, kCallers = 1;

  Text() = default;
  explicit Text(std::string_view bytes, char origin = kOwn) : bytes_(bytes), origins_(bytes.size(), origin) {}

  [[nodiscard]] const std::string& bytes() const noexcept { return bytes_; }
  [[nodiscard]] const std::string& origins() const noexcept { return origins_; }
  [[nodiscard]] std::size_t size() const noexcept { return bytes_.size(); }
  [[nodiscard]] bool empty() const noexcept { return bytes_.empty(); }

  Text& operator+=(const Text& other) {
    bytes_ += other.bytes_;
    origins_ += other.origins_;
    return *this;
  }
  void append(std::string_view bytes, char origin) {
    bytes_ += bytes;
    origins_.append(bytes.size(), origin);
  }
  [[nodiscard]] Text substr(std::size_t at, std::size_t n = std::string::npos) const {
    Text part;
    part.bytes_ = bytes_.substr(at, n);
    part.origins_ = origins_.substr(at, n);
    return part;
  }

 private:
  std::string bytes_, origins_;
};

class Value;
struct Undefined {
  std::string name;
};
struct None {};
struct List {
  std::vector<Value> items;
  bool is_tuple = false;
};
struct Dict {
  std::vector<std::pair<Value, Value>> items;  ///< In the order of insertion.
  bool is_namespace = false;

  [[nodiscard]] const Value* find(const Value& key) const;
  [[nodiscard]] const Value* find(std::string_view key) const;
  void set(const Value& key, Value value);
};

struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
};

class Machine;
/// Something that can be called.
struct Function {
  std::function<Value(Machine&, const Arguments&)> call;
};

using TextPtr = std::shared_ptr<const Text>;
using ListPtr = std::shared_ptr<List>;
using DictPtr = std::shared_ptr<Dict>;
using FunctionPtr = std::shared_ptr<const Function>;

/// Copies are cheap: strings and containers are shared, and nothing changes them but a namespace's `set`.
class Value {
 public:
  using Any = std::variant<Undefined, None, bool, std::int64_t, double, TextPtr, ListPtr, DictPtr, FunctionPtr>;

  Value() : any_(None{}) {}
  Value(Undefined undefined) : any_(std::move(undefined)) {}  // NOLINT: implicit by design, like those below
  Value(bool value) : any_(value) {}                          // NOLINT
  Value(std::int64_t value) : any_(value) {}                  // NOLINT
  Value(double value) : any_(value) {}                        // NOLINT
  Value(Text text) : any_(std::make_shared<const Text>(std::move(text))) {}  // NOLINT
  Value(List list) : any_(std::make_shared<List>(std::move(list))) {}        // NOLINT
  Value(ListPtr list) : any_(std::move(list)) {}                             // NOLINT
  Value(Dict dict) : any_(std::make_shared<Dict>(std::move(dict))) {}        // NOLINT
  Value(DictPtr dict) : any_(std::move(dict)) {}                             // NOLINT
  Value(FunctionPtr function) : any_(std::move(function)) {}                 // NOLINT
  static Value own(std::string_view bytes) { return Text(bytes); }
  /// Strings are a caller's, but for those of `role`, which are known and part of control tokens in some templates.
  static Value from_json(const nlohmann::ordered_json& json);

  [[nodiscard]] const Any& any() const noexcept { return any_; }
  template <typename T>
  [[nodiscard]] bool is() const noexcept {
    return std::holds_alternative<T>(any_);
  }
  template <typename T>
  [[nodiscard]] const T& as() const {
    return *std::get_if<T>(&any_);
  }
  [[nodiscard]] const Text* text() const noexcept {
    const auto* text = std::get_if<TextPtr>(&any_);
    return text == nullptr ? nullptr : text->get();
  }
  [[nodiscard]] List* list() const noexcept {
    const auto* list = std::get_if<ListPtr>(&any_);
    return list == nullptr ? nullptr : list->get();
  }
  [[nodiscard]] Dict* dict() const noexcept {
    const auto* dict = std::get_if<DictPtr>(&any_);
    return dict == nullptr ? nullptr : dict->get();
  }
  [[nodiscard]] bool is_undefined() const noexcept { return is<Undefined>(); }
  [[nodiscard]] bool is_none() const noexcept { return is<None>(); }
  [[nodiscard]] bool is_int() const noexcept { return is<std::int64_t>() || is<bool>(); }
  [[nodiscard]] bool is_number() const noexcept { return is_int() || is<double>(); }
  [[nodiscard]] std::int64_t to_int() const noexcept { return is<bool>() ? as<bool>() : as<std::int64_t>(); }
  [[nodiscard]] double to_double() const noexcept { return is<double>() ? as<double>() : static_cast<double>(to_int()); }

  [[nodiscard]] bool is_true() const noexcept;
  [[nodiscard]] std::string_view type_name() const noexcept;

 private:
  Any any_;
};

/// What went wrong in a template; never leaves src/chat.
struct TemplateError {
  std::string message;
};
[[noreturn]] void fail(std::string message);

bool equal(const Value& a, const Value& b, int depth = 0);
/// -1, 0 or 1; fails where Python has no order.
int compare(const Value& a, const Value& b, int depth = 0);

/// As str() and repr() give it.
Text to_text(const Value& value);
Text to_repr(const Value& value, int depth = 0);
/// As Python writes a float.
std::string show_double(double value);

/// As json.dumps without ASCII escapes; `indent` below 0: on one line.
Text to_json(const Value& value, std::int64_t indent, std::string_view item_separator, std::string_view key_separator,
             bool sorts_keys);

/// Code points of UTF-8 text: where each begins, and the end.
std::vector<std::size_t> code_points(std::string_view bytes);

}  // namespace woolly::chat
