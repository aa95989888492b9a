#include "chat/value.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

namespace woolly::chat {
namespace {

/// Of lists in lists, for what walks through them.
constexpr int kMaxDepth = 200;

void check_depth(int depth) {
  if (depth > kMaxDepth) fail(fmt::format("values are nested more than {} deep", kMaxDepth));
}

bool is_known_role(std::string_view role) {
  constexpr std::string_view kRoles[] = {"system", "user", "assistant", "tool", "developer", "function", "ipython"};
  return std::ranges::find(kRoles, role) != std::end(kRoles);
}

Value convert(const nlohmann::ordered_json& json, bool is_role, int depth) {
  check_depth(depth);
  switch (json.type()) {
    case nlohmann::ordered_json::value_t::boolean: return json.get<bool>();
    case nlohmann::ordered_json::value_t::number_integer: return json.get<std::int64_t>();
    case nlohmann::ordered_json::value_t::number_unsigned: {
      const auto number = json.get<std::uint64_t>();
      if (number > static_cast<std::uint64_t>(INT64_MAX)) return static_cast<double>(number);
      return static_cast<std::int64_t>(number);
    }
    case nlohmann::ordered_json::value_t::number_float: return json.get<double>();
    case nlohmann::ordered_json::value_t::string: {
      const auto& bytes = json.get_ref<const std::string&>();
      return Text(bytes, is_role && is_known_role(bytes) ? Text::kOwn : Text::kCallers);
    }
    case nlohmann::ordered_json::value_t::array: {
      List list;
      for (const auto& item : json) list.items.push_back(convert(item, false, depth + 1));
      return list;
    }
    case nlohmann::ordered_json::value_t::object: {
      Dict dict;
      for (const auto& [key, value] : json.items()) {
        dict.items.emplace_back(Text(key, Text::kCallers), convert(value, key == "role", depth + 1));
      }
      return dict;
    }
    default: return {};
  }
}

void append_json_string(const Text& text, Text& out) {
  out.append("\"", Text::kOwn);
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text.bytes()[i], origin = text.origins()[i];
    switch (c) {
      case '"': out.append("\\\"", origin); break;
      case '\\': out.append("\\\\", origin); break;
      case '\n': out.append("\\n", origin); break;
      case '\r': out.append("\\r", origin); break;
      case '\t': out.append("\\t", origin); break;
      case '\b': out.append("\\b", origin); break;
      case '\f': out.append("\\f", origin); break;
      default:
        if (static_cast<unsigned char>(c) < 0x20) {
          out.append(fmt::format("\\u{:04x}", static_cast<unsigned>(static_cast<unsigned char>(c))), origin);
        } else {
          out.append({&c, 1}, origin);
        }
    }
  }
  out.append("\"", Text::kOwn);
}

struct JsonWriter {
  std::int64_t indent;
  std::string_view item_separator, key_separator;
  bool sorts_keys;
  Text out{};

  void line(int depth) {
    if (indent < 0) return;
    out.append("\n" + std::string(static_cast<std::size_t>(indent * depth), ' '), Text::kOwn);
  }

  void write(const Value& value, int depth) {
    check_depth(depth);
    if (value.is_none()) return out.append("null", Text::kOwn);
    if (value.is<bool>()) return out.append(value.as<bool>() ? "true" : "false", Text::kOwn);
    if (value.is_int()) return out.append(std::to_string(value.to_int()), Text::kOwn);
    if (value.is<double>()) {
      const double number = value.as<double>();
      if (std::isnan(number)) return out.append("NaN", Text::kOwn);
      if (std::isinf(number)) return out.append(number > 0 ? "Infinity" : "-Infinity", Text::kOwn);
      return out.append(show_double(number), Text::kOwn);
    }
    if (value.text() != nullptr) return append_json_string(*value.text(), out);
    if (const List* list = value.list()) {
      if (list->items.empty()) return out.append("[]", Text::kOwn);
      out.append("[", Text::kOwn);
      for (std::size_t i = 0; i < list->items.size(); ++i) {
        if (i > 0) out.append(item_separator, Text::kOwn);
        line(depth + 1);
        write(list->items[i], depth + 1);
      }
      line(depth);
      return out.append("]", Text::kOwn);
    }
    if (const Dict* dict = value.dict()) {
      if (dict->items.empty()) return out.append("{}", Text::kOwn);
      auto items = dict->items;
      if (sorts_keys) std::ranges::sort(items, [](const auto& a, const auto& b) { return compare(a.first, b.first) < 0; });
      out.append("{", Text::kOwn);
      for (std::size_t i = 0; i < items.size(); ++i) {
        if (i > 0) out.append(item_separator, Text::kOwn);
        line(depth + 1);
        const Value& key = items[i].first;
        if (key.text() != nullptr) {
          append_json_string(*key.text(), out);
        } else {
          out.append("\"", Text::kOwn);
          write(key, depth + 1);
          out.append("\"", Text::kOwn);
        }
        out.append(key_separator, Text::kOwn);
        write(items[i].second, depth + 1);
      }
      line(depth);
      return out.append("}", Text::kOwn);
    }
    fail(fmt::format("{} cannot be written as JSON", value.type_name()));
  }
};

/// With the quotes and escapes that Python takes.
Text repr_of_text(const Text& text) {
  const bool has_single = text.bytes().find('\'') != std::string::npos;
  const bool has_double = text.bytes().find('"') != std::string::npos;
  const char quote = has_single && !has_double ? '"' : '\'';
  Text out;
  out.append({&quote, 1}, Text::kOwn);
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text.bytes()[i], origin = text.origins()[i];
    if (c == quote || c == '\\') {
      out.append("\\", origin);
      out.append({&c, 1}, origin);
    } else if (c == '\n') {
      out.append("\\n", origin);
    } else if (c == '\r') {
      out.append("\\r", origin);
    } else if (c == '\t') {
      out.append("\\t", origin);
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) {
      out.append(fmt::format("\\x{:02x}", static_cast<unsigned>(static_cast<unsigned char>(c))), origin);
    } else {
      out.append({&c, 1}, origin);
    }
  }
  out.append({&quote, 1}, Text::kOwn);
  return out;
}

}  // namespace

void fail(std::string message) { throw TemplateError{std::move(message)}; }

const Value* Dict::find(const Value& key) const {
  if (const Text* text = key.text()) return find(text->bytes());
  for (const auto& [other, value] : items) {
    if (other.text() == nullptr && equal(other, key)) return &value;
  }
  return nullptr;
}

const Value* Dict::find(std::string_view key) const {
  for (const auto& [other, value] : items) {
    if (other.text() != nullptr && other.text()->bytes() == key) return &value;
  }
  return nullptr;
}

void Dict::set(const Value& key, Value value) {
  if (const Value* found = find(key)) {
    *const_cast<Value*>(found) = std::move(value);
  } else {
    items.emplace_back(key, std::move(value));
  }
}

Value Value::from_json(const nlohmann::ordered_json& json) { return convert(json, false, 0); }

bool Value::is_true() const noexcept {
  if (is<bool>()) return as<bool>();
  if (is<std::int64_t>()) return as<std::int64_t>() != 0;
  if (is<double>()) return as<double>() != 0;
  if (text() != nullptr) return !text()->empty();
  if (list() != nullptr) return !list()->items.empty();
  if (dict() != nullptr) return dict()->is_namespace || !dict()->items.empty();
  return is<FunctionPtr>();
}

std::string_view Value::type_name() const noexcept {
  if (is_undefined()) return "an undefined value";
  if (is_none()) return "None";
  if (is<bool>()) return "a bool";
  if (is<std::int64_t>()) return "an int";
  if (is<double>()) return "a float";
  if (text() != nullptr) return "a string";
  if (list() != nullptr) return list()->is_tuple ? "a tuple" : "a list";
  if (dict() != nullptr) return dict()->is_namespace ? "a namespace" : "a dict";
  return "a function";
}

bool equal(const Value& a, const Value& b, int depth) {
  check_depth(depth);
  if (a.is_number() && b.is_number()) {
    return a.is_int() && b.is_int() ? a.to_int() == b.to_int() : a.to_double() == b.to_double();
  }
  if (a.is_none() || b.is_none()) return a.is_none() && b.is_none();
  if (a.is_undefined() || b.is_undefined()) return a.is_undefined() && b.is_undefined();
  if (a.text() != nullptr && b.text() != nullptr) return a.text()->bytes() == b.text()->bytes();
  if (a.list() != nullptr && b.list() != nullptr) {
    return a.list()->is_tuple == b.list()->is_tuple &&
           std::ranges::equal(a.list()->items, b.list()->items,
                              [&](const Value& x, const Value& y) { return equal(x, y, depth + 1); });
  }
  if (a.dict() != nullptr && b.dict() != nullptr) {
    if (a.dict() == b.dict()) return true;
    if (a.dict()->items.size() != b.dict()->items.size()) return false;
    return std::ranges::all_of(a.dict()->items, [&](const auto& item) {
      const Value* other = b.dict()->find(item.first);
      return other != nullptr && equal(item.second, *other, depth + 1);
    });
  }
  return a.is<FunctionPtr>() && b.is<FunctionPtr>() && a.as<FunctionPtr>() == b.as<FunctionPtr>();
}

int compare(const Value& a, const Value& b, int depth) {
  check_depth(depth);
  const auto order = [](const auto& x, const auto& y) { return x < y ? -1 : y < x ? 1 : 0; };
  if (a.is_int() && b.is_int()) return order(a.to_int(), b.to_int());
  if (a.is_number() && b.is_number()) return order(a.to_double(), b.to_double());
  if (a.text() != nullptr && b.text() != nullptr) return order(a.text()->bytes(), b.text()->bytes());
  if (a.list() != nullptr && b.list() != nullptr) {
    const auto &x = a.list()->items, &y = b.list()->items;
    for (std::size_t i = 0; i < std::min(x.size(), y.size()); ++i) {
      if (!equal(x[i], y[i], depth + 1)) return compare(x[i], y[i], depth + 1);
    }
    return order(x.size(), y.size());
  }
  fail(fmt::format("{} and {} have no order", a.type_name(), b.type_name()));
}

std::string show_double(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  char buffer[64];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::scientific).ptr;
  const std::string text(buffer, end);  // d.ddde[+-]dd: the shortest that reads back as the same
  const std::size_t e = text.find('e');
  const int exponent = std::stoi(text.substr(e + 1));
  if (exponent < -4 || exponent >= 16) return text;
  const auto fixed_end = std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::fixed).ptr;
  std::string fixed(buffer, fixed_end);
  if (fixed.find('.') == std::string::npos) fixed += ".0";
  return fixed;
}

Text to_text(const Value& value) {
  if (value.is_undefined()) return {};
  if (value.text() != nullptr) return *value.text();
  return to_repr(value);
}

Text to_repr(const Value& value, int depth) {
  check_depth(depth);
  if (value.is_undefined()) return Text("Undefined");
  if (value.is_none()) return Text("None");
  if (value.is<bool>()) return Text(value.as<bool>() ? "True" : "False");
  if (value.is_int()) return Text(std::to_string(value.to_int()));
  if (value.is<double>()) return Text(show_double(value.as<double>()));
  if (value.text() != nullptr) return repr_of_text(*value.text());
  if (const List* list = value.list()) {
    Text out(list->is_tuple ? "(" : "[");
    for (std::size_t i = 0; i < list->items.size(); ++i) {
      if (i > 0) out.append(", ", Text::kOwn);
      out += to_repr(list->items[i], depth + 1);
    }
    if (list->is_tuple && list->items.size() == 1) out.append(",", Text::kOwn);
    out.append(list->is_tuple ? ")" : "]", Text::kOwn);
    return out;
  }
  if (const Dict* dict = value.dict()) {
    Text out("{");
    for (std::size_t i = 0; i < dict->items.size(); ++i) {
      if (i > 0) out.append(", ", Text::kOwn);
      out += to_repr(dict->items[i].first, depth + 1);
      out.append(": ", Text::kOwn);
      out += to_repr(dict->items[i].second, depth + 1);
    }
    out.append("}", Text::kOwn);
    return out;
  }
  fail("a function cannot be printed");
}

Text to_json(const Value& value, std::int64_t indent, std::string_view item_separator, std::string_view key_separator,
             bool sorts_keys) {
  JsonWriter writer{indent, item_separator, key_separator, sorts_keys};
  writer.write(value, 0);
  return std::move(writer.out);
}

std::vector<std::size_t> code_points(std::string_view bytes) {
  std::vector<std::size_t> begins;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if ((static_cast<unsigned char>(bytes[i]) & 0xC0U) != 0x80U) begins.push_back(i);
  }
  begins.push_back(bytes.size());
  return begins;
}

}  // namespace woolly::chat
