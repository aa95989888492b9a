// What templates can call: filters, tests, methods, global functions. As Jinja 3.1 and Python define them.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <ctime>

#include "chat/machine.h"

namespace woolly::chat {
namespace {

bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r') || (c >= 0x1C && c <= 0x1F); }
char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }
char upper(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; }
bool is_letter(char c) { return lower(c) >= 'a' && lower(c) <= 'z'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// `text` with each byte changed; of letters beyond ASCII nothing changes.
Text mapped(const Text& text, char (*change)(char)) {
  Text out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = change(text.bytes()[i]);
    out.append({&c, 1}, text.origins()[i]);
  }
  return out;
}

Text capitalized(const Text& text) {
  if (text.empty()) return text;
  Text out = mapped(text.substr(0, 1), upper);
  out += mapped(text.substr(1), lower);
  return out;
}

Text titled(const Text& text) {
  Text out;
  bool starts = true;
  for (std::size_t i = 0; i < text.size(); ++i) {
    out += mapped(text.substr(i, 1), starts ? upper : lower);
    starts = !is_letter(text.bytes()[i]);
  }
  return out;
}

enum class Side : std::uint8_t { kBoth, kLeft, kRight };

/// Without the white space at its ends, or the characters of `what`.
Text stripped(const Text& text, Side side, const Value& what) {
  const Text* set = what.text();
  std::vector<std::string_view> characters;
  if (set != nullptr) {
    const auto begins = code_points(set->bytes());
    for (std::size_t i = 0; i + 1 < begins.size(); ++i) {
      characters.push_back(std::string_view(set->bytes()).substr(begins[i], begins[i + 1] - begins[i]));
    }
  }
  // The white space of Unicode that is longer than a byte.
  constexpr std::string_view kSpaces[] = {"\xC2\x85", "\xC2\xA0", "\xE1\x9A\x80", "\xE2\x80\x80", "\xE2\x80\x81", "\xE2\x80\x82",
                                          "\xE2\x80\x83", "\xE2\x80\x84", "\xE2\x80\x85", "\xE2\x80\x86", "\xE2\x80\x87",
                                          "\xE2\x80\x88", "\xE2\x80\x89", "\xE2\x80\x8A", "\xE2\x80\xA8", "\xE2\x80\xA9",
                                          "\xE2\x80\xAF", "\xE2\x81\x9F", "\xE3\x80\x80"};
  const auto goes = [&](std::string_view c) {
    if (set != nullptr) return std::ranges::find(characters, c) != characters.end();
    return c.size() == 1 ? is_space(c[0]) : std::ranges::find(kSpaces, c) != std::end(kSpaces);
  };
  const auto begins = code_points(text.bytes());
  const auto character = [&](std::size_t i) { return std::string_view(text.bytes()).substr(begins[i], begins[i + 1] - begins[i]); };
  std::size_t first = 0, last = begins.size() - 1;
  while (side != Side::kRight && first < last && goes(character(first))) ++first;
  while (side != Side::kLeft && last > first && goes(character(last - 1))) --last;
  return text.substr(begins[first], begins[last] - begins[first]);
}

const Text& text_of(const Value& value, std::string_view what) {
  if (value.text() == nullptr) fail(fmt::format("{} is {}, not a string", what, value.type_name()));
  return *value.text();
}

std::int64_t int_of(const Value& value, std::string_view what) {
  if (!value.is_int()) fail(fmt::format("{} is {}, not an int", what, value.type_name()));
  return value.to_int();
}

Value list_of(std::vector<Value> items) { return List{std::move(items), false}; }

Text replaced(Machine& machine, const Text& text, const Text& from, const Text& to, std::int64_t n_most) {
  Text out;
  std::size_t at = 0;
  if (from.empty()) {  // before each character and at the end
    const auto begins = code_points(text.bytes());
    for (std::size_t i = 0; i < begins.size(); ++i) {
      machine.step(to.size() + 1);
      if (n_most != 0) out += to;
      if (n_most > 0) --n_most;
      if (i + 1 < begins.size()) out += text.substr(begins[i], begins[i + 1] - begins[i]);
    }
    return out;
  }
  while (n_most != 0) {
    const std::size_t found = text.bytes().find(from.bytes(), at);
    if (found == std::string::npos) break;
    machine.step(to.size() + 1);
    if (out.size() + to.size() > Machine::kMaxOutput) fail("a string is too long");
    out += text.substr(at, found - at);
    out += to;
    at = found + from.size();
    if (n_most > 0) --n_most;
  }
  out += text.substr(at);
  return out;
}

Value split(Machine& machine, const Text& text, const Value& separator, std::int64_t n_most, bool from_right) {
  std::vector<Value> parts;
  const std::string& bytes = text.bytes();
  machine.touch(bytes.size());
  if (separator.is_none() || separator.is_undefined()) {
    std::vector<std::pair<std::size_t, std::size_t>> words;
    for (std::size_t i = 0; i < bytes.size();) {
      while (i < bytes.size() && is_space(bytes[i])) ++i;
      std::size_t end = i;
      while (end < bytes.size() && !is_space(bytes[end])) ++end;
      if (end > i) words.emplace_back(i, end);
      i = end;
    }
    const std::size_t n = words.size();
    const std::size_t most = n_most < 0 ? n : std::min<std::size_t>(n, static_cast<std::size_t>(n_most));
    if (from_right) {
      if (most < n) parts.emplace_back(stripped(text.substr(0, words[n - most - 1].second), Side::kLeft, {}));
      for (std::size_t i = n - most; i < n; ++i) parts.emplace_back(text.substr(words[i].first, words[i].second - words[i].first));
    } else {
      for (std::size_t i = 0; i < most; ++i) parts.emplace_back(text.substr(words[i].first, words[i].second - words[i].first));
      if (most < n) parts.emplace_back(stripped(text.substr(words[most].first), Side::kRight, {}));
    }
    return list_of(std::move(parts));
  }
  const std::string& by = text_of(separator, "the separator of a split").bytes();
  if (by.empty()) fail("the separator of a split is empty");
  std::vector<std::size_t> places;
  for (std::size_t at = bytes.find(by); at != std::string::npos; at = bytes.find(by, at + by.size())) places.push_back(at);
  if (from_right) {
    places.clear();
    for (std::size_t at = bytes.rfind(by); at != std::string::npos; at = at < by.size() ? std::string::npos : bytes.rfind(by, at - by.size())) {
      places.insert(places.begin(), at);
      if (n_most >= 0 && places.size() >= static_cast<std::size_t>(n_most)) break;
      machine.step(places.size());
    }
    if (n_most == 0) places.clear();
  } else if (n_most >= 0 && places.size() > static_cast<std::size_t>(n_most)) {
    places.resize(static_cast<std::size_t>(n_most));
  }
  std::size_t begin = 0;
  for (const std::size_t place : places) {
    parts.emplace_back(text.substr(begin, place - begin));
    begin = place + by.size();
  }
  parts.emplace_back(text.substr(begin));
  machine.step(parts.size());
  return list_of(std::move(parts));
}

Value splitlines(const Text& text, bool keeps_ends) {
  std::vector<Value> lines;
  const std::string& bytes = text.bytes();
  for (std::size_t begin = 0; begin < bytes.size();) {
    std::size_t end = begin;
    while (end < bytes.size() && bytes[end] != '\n' && bytes[end] != '\r') ++end;
    std::size_t next = end;
    if (next < bytes.size()) next += bytes[next] == '\r' && next + 1 < bytes.size() && bytes[next + 1] == '\n' ? 2U : 1U;
    lines.emplace_back(text.substr(begin, (keeps_ends ? next : end) - begin));
    begin = next;
  }
  return list_of(std::move(lines));
}

bool has_affix(const Text& text, const Value& affix, bool at_end) {
  if (const List* any = affix.list()) {
    return std::ranges::any_of(any->items, [&](const Value& each) { return has_affix(text, each, at_end); });
  }
  const std::string& bytes = text_of(affix, "what a string begins or ends with").bytes();
  return at_end ? text.bytes().ends_with(bytes) : text.bytes().starts_with(bytes);
}

std::int64_t find_in(const Text& text, const Value& what, bool from_right) {
  const std::string& bytes = text_of(what, "what is looked for").bytes();
  const std::size_t at = from_right ? text.bytes().rfind(bytes) : text.bytes().find(bytes);
  if (at == std::string::npos) return -1;
  return static_cast<std::int64_t>(code_points(std::string_view(text.bytes()).substr(0, at)).size()) - 1;
}

Value joined(Machine& machine, const std::vector<Value>& items, const Text& separator) {
  Text out;
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (i > 0) out += separator;
    const Text part = to_text(items[i]);
    machine.touch(separator.size() + part.size() + 32);
    out += part;
  }
  return out;
}

template <typename Predicate>
bool all_bytes(const Text& text, Predicate predicate) {
  return !text.empty() && std::ranges::all_of(text.bytes(), predicate);
}

using StringMethod = Value (*)(Machine&, const Text& of, const Arguments& arguments);
struct NamedStringMethod {
  std::string_view name;
  StringMethod call;
};
Value arg(const Arguments& arguments, std::size_t i, std::string_view name = {}, Value fallback = Value()) {
  return argument(arguments, i, name, std::move(fallback));
}

constexpr NamedStringMethod kStringMethods[] = {
    {"strip", [](Machine&, const Text& t, const Arguments& a) -> Value { return stripped(t, Side::kBoth, arg(a, 0)); }},
    {"lstrip", [](Machine&, const Text& t, const Arguments& a) -> Value { return stripped(t, Side::kLeft, arg(a, 0)); }},
    {"rstrip", [](Machine&, const Text& t, const Arguments& a) -> Value { return stripped(t, Side::kRight, arg(a, 0)); }},
    {"lower", [](Machine&, const Text& t, const Arguments&) -> Value { return mapped(t, lower); }},
    {"upper", [](Machine&, const Text& t, const Arguments&) -> Value { return mapped(t, upper); }},
    {"title", [](Machine&, const Text& t, const Arguments&) -> Value { return titled(t); }},
    {"capitalize", [](Machine&, const Text& t, const Arguments&) -> Value { return capitalized(t); }},
    {"startswith", [](Machine&, const Text& t, const Arguments& a) -> Value { return has_affix(t, arg(a, 0), false); }},
    {"endswith", [](Machine&, const Text& t, const Arguments& a) -> Value { return has_affix(t, arg(a, 0), true); }},
    {"removeprefix",
     [](Machine&, const Text& t, const Arguments& a) -> Value {
       return has_affix(t, arg(a, 0), false) ? t.substr(arg(a, 0).text()->size()) : t;
     }},
    {"removesuffix",
     [](Machine&, const Text& t, const Arguments& a) -> Value {
       return has_affix(t, arg(a, 0), true) ? t.substr(0, t.size() - arg(a, 0).text()->size()) : t;
     }},
    {"split",
     [](Machine& m, const Text& t, const Arguments& a) -> Value {
       return split(m, t, arg(a, 0, "sep"), int_of(arg(a, 1, "maxsplit", std::int64_t{-1}), "maxsplit"), false);
     }},
    {"rsplit",
     [](Machine& m, const Text& t, const Arguments& a) -> Value {
       return split(m, t, arg(a, 0, "sep"), int_of(arg(a, 1, "maxsplit", std::int64_t{-1}), "maxsplit"), true);
     }},
    {"splitlines", [](Machine&, const Text& t, const Arguments& a) -> Value { return splitlines(t, arg(a, 0, "keepends", false).is_true()); }},
    {"replace",
     [](Machine& m, const Text& t, const Arguments& a) -> Value {
       return replaced(m, t, text_of(arg(a, 0), "what is replaced"), text_of(arg(a, 1), "what replaces it"),
                       int_of(arg(a, 2, "count", std::int64_t{-1}), "count"));
     }},
    {"join", [](Machine& m, const Text& t, const Arguments& a) -> Value { return joined(m, m.items_of(arg(a, 0)), t); }},
    {"find", [](Machine&, const Text& t, const Arguments& a) -> Value { return find_in(t, arg(a, 0), false); }},
    {"rfind", [](Machine&, const Text& t, const Arguments& a) -> Value { return find_in(t, arg(a, 0), true); }},
    {"index",
     [](Machine&, const Text& t, const Arguments& a) -> Value {
       const std::int64_t at = find_in(t, arg(a, 0), false);
       if (at < 0) fail("a string does not contain what \"index\" looks for");
       return at;
     }},
    {"count",
     [](Machine&, const Text& t, const Arguments& a) -> Value {
       const std::string& what = text_of(arg(a, 0), "what is counted").bytes();
       if (what.empty()) return static_cast<std::int64_t>(code_points(t.bytes()).size());
       std::int64_t n = 0;
       for (std::size_t at = t.bytes().find(what); at != std::string::npos; at = t.bytes().find(what, at + what.size())) ++n;
       return n;
     }},
    {"isdigit", [](Machine&, const Text& t, const Arguments&) -> Value { return all_bytes(t, is_digit); }},
    {"isalpha", [](Machine&, const Text& t, const Arguments&) -> Value { return all_bytes(t, is_letter); }},
    {"isalnum", [](Machine&, const Text& t, const Arguments&) -> Value { return all_bytes(t, [](char c) { return is_letter(c) || is_digit(c); }); }},
    {"isspace", [](Machine&, const Text& t, const Arguments&) -> Value { return all_bytes(t, is_space); }},
    {"islower", [](Machine&, const Text& t, const Arguments&) -> Value { return mapped(t, lower).bytes() == t.bytes() && std::ranges::any_of(t.bytes(), is_letter); }},
    {"isupper", [](Machine&, const Text& t, const Arguments&) -> Value { return mapped(t, upper).bytes() == t.bytes() && std::ranges::any_of(t.bytes(), is_letter); }},
};

Value pairs_of(const Dict& dict) {
  std::vector<Value> items;
  for (const auto& [key, value] : dict.items) items.emplace_back(List{{key, value}, true});
  return list_of(std::move(items));
}

Value length_of(Machine& machine, const Value& value) {
  if (const Text* text = value.text()) return static_cast<std::int64_t>(code_points(text->bytes()).size()) - 1;
  if (value.dict() != nullptr) return static_cast<std::int64_t>(value.dict()->items.size());
  if (value.is_number() || value.is_none()) fail(fmt::format("{} has no length", value.type_name()));
  return static_cast<std::int64_t>(machine.items_of(value).size());
}

/// A value for each attribute of the path "a.b.0", or the value itself without one.
Value attribute_of(Machine& machine, const Value& value, const Value& path) {
  if (path.is_none() || path.is_undefined()) return value;
  if (path.is_int()) return machine.item(value, path);
  Value at = value;
  const std::string& names = text_of(path, "an attribute").bytes();
  for (std::size_t begin = 0; begin <= names.size();) {
    const std::size_t end = std::min(names.find('.', begin), names.size());
    const std::string name = names.substr(begin, end - begin);
    std::int64_t index = 0;
    const auto [last, failed] = std::from_chars(name.data(), name.data() + name.size(), index);
    const bool is_index = failed == std::errc() && last == name.data() + name.size() && !name.empty();
    at = machine.item(at, is_index ? Value(index) : Value::own(name));
    begin = end + 1;
  }
  return at;
}

/// What select, reject and their like keep by.
bool is_selected(Machine& machine, const Value& item, const Arguments& arguments, std::size_t first) {
  if (arguments.positional.size() <= first) return item.is_true();
  Arguments rest;
  rest.positional.assign(arguments.positional.begin() + static_cast<std::ptrdiff_t>(first) + 1, arguments.positional.end());
  return machine.apply_test(text_of(arguments.positional[first], "the name of a test").bytes(), item, rest);
}

Value selected(Machine& machine, const Value& in, const Arguments& arguments, bool by_attribute, bool wanted) {
  std::vector<Value> kept;
  for (const Value& item : machine.items_of(in)) {
    const Value subject = by_attribute ? attribute_of(machine, item, argument(arguments, 0, "attribute")) : item;
    if (is_selected(machine, subject, arguments, by_attribute ? 1 : 0) == wanted) kept.push_back(item);
  }
  return list_of(std::move(kept));
}

Value sort_key(Machine& machine, const Value& item, const Value& attribute, bool is_case_sensitive) {
  Value key = attribute_of(machine, item, attribute);
  if (!is_case_sensitive && key.text() != nullptr) return mapped(*key.text(), lower);
  return key;
}

Value sorted(Machine& machine, std::vector<Value> items, const Value& attribute, bool is_case_sensitive, bool is_reverse) {
  struct Keyed {
    Value key;
    std::size_t place;
  };
  std::vector<Keyed> keyed;
  for (const Value& item : items) keyed.push_back({sort_key(machine, item, attribute, is_case_sensitive), keyed.size()});
  machine.step(keyed.size() * 20);
  std::ranges::sort(keyed, [&](const Keyed& a, const Keyed& b) {  // of equals the first stays first, in reverse too
    const int order = is_reverse ? compare(b.key, a.key) : compare(a.key, b.key);
    return order != 0 ? order < 0 : a.place < b.place;
  });
  std::vector<Value> in_order;
  for (const Keyed& each : keyed) in_order.push_back(items[each.place]);
  return list_of(std::move(in_order));
}

Value rounded(double value, std::int64_t precision, const std::string& how) {
  const double scale = std::pow(10.0, static_cast<double>(precision));
  const double scaled = value * scale;
  if (how == "ceil") return std::ceil(scaled) / scale;
  if (how == "floor") return std::floor(scaled) / scale;
  return std::nearbyint(scaled) / scale;
}

Value to_int(const Value& value, const Value& fallback) {
  if (value.is_int()) return value.to_int();
  if (value.is<double>() && std::isfinite(value.as<double>()) && std::abs(value.as<double>()) < 9e18) return static_cast<std::int64_t>(value.as<double>());
  if (const Text* text = value.text()) {
    const std::string bytes = stripped(*text, Side::kBoth, {}).bytes();
    std::int64_t number = 0;
    const char* begin = bytes.data() + (bytes.starts_with('+') ? 1 : 0);
    const auto [end, failed] = std::from_chars(begin, bytes.data() + bytes.size(), number);
    if (failed == std::errc() && end == bytes.data() + bytes.size()) return number;
    double real = 0;
    const auto parsed = std::from_chars(begin, bytes.data() + bytes.size(), real);
    if (parsed.ec == std::errc() && parsed.ptr == bytes.data() + bytes.size() && std::abs(real) < 9e18) return static_cast<std::int64_t>(real);
  }
  return fallback;
}

Text indented(const Text& text, const Text& by, bool first, bool blank) {
  Text out;
  const Value lines = splitlines(text, true);
  bool is_first = true;
  for (const Value& line : lines.list()->items) {
    const bool is_blank = stripped(*line.text(), Side::kBoth, {}).empty();
    if ((is_first ? first : true) && (blank || !is_blank)) out += by;
    out += *line.text();
    is_first = false;
  }
  return out;
}

Text escaped(const Text& text) {
  Text out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text.bytes()[i], origin = text.origins()[i];
    switch (c) {
      case '&': out.append("&amp;", origin); break;
      case '<': out.append("&lt;", origin); break;
      case '>': out.append("&gt;", origin); break;
      case '"': out.append("&#34;", origin); break;
      case '\'': out.append("&#39;", origin); break;
      default: out.append({&c, 1}, origin);
    }
  }
  return out;
}

Value extreme(Machine& machine, const Value& in, const Arguments& a, bool wants_largest) {
  const Value attribute = argument(a, 1, "attribute", Value());
  Value best = Undefined{"the extreme of nothing"}, best_key;
  for (const Value& item : machine.items_of(in)) {
    Value key = sort_key(machine, item, attribute, false);
    if (best.is_undefined() || (wants_largest ? compare(key, best_key) > 0 : compare(key, best_key) < 0)) {
      best = item;
      best_key = std::move(key);
    }
  }
  return best;
}

struct NamedFilter {
  std::string_view name;
  Filter call;
};

Value json_filter(Machine& machine, const Value& in, const Arguments& a) {
  const Value indent = argument(a, 1, "indent", argument(a, 99, "indent", Value()));
  const bool has_indent = indent.is_int();
  std::string item_separator = has_indent ? "," : ", ", key_separator = ": ";
  if (const List* separators = argument(a, 2, "separators", Value()).list()) {
    if (separators->items.size() != 2) fail("separators are not two");
    item_separator = text_of(separators->items[0], "a separator").bytes();
    key_separator = text_of(separators->items[1], "a separator").bytes();
  }
  if (has_indent && (indent.to_int() < 0 || indent.to_int() > 100)) fail("an indent is not within 0 and 100");
  Text json = to_json(in, has_indent ? indent.to_int() : -1, item_separator, key_separator,
                      argument(a, 3, "sort_keys", false).is_true());
  machine.touch(json.size());
  return json;
}

constexpr NamedFilter kFilters[] = {
    {"abs", [](Machine&, const Value& v, const Arguments&) -> Value {
       if (!v.is_number()) fail(fmt::format("{} has no absolute value", v.type_name()));
       if (v.is<double>()) return std::abs(v.as<double>());
       return v.to_int() < 0 && v.to_int() != INT64_MIN ? -v.to_int() : v.to_int();
     }},
    {"attr", [](Machine& m, const Value& v, const Arguments& a) -> Value { return m.attribute(v, text_of(arg(a, 0, "name"), "an attribute").bytes()); }},
    {"batch", [](Machine& m, const Value& v, const Arguments& a) -> Value {
       const std::int64_t n = int_of(arg(a, 0, "linecount"), "the size of a batch");
       if (n < 1) fail("a batch of less than 1");
       std::vector<Value> batches, batch;
       const Value fill = arg(a, 1, "fill_with");
       for (const Value& item : m.items_of(v)) {
         batch.push_back(item);
         if (batch.size() == static_cast<std::size_t>(n)) batches.push_back(list_of(std::exchange(batch, {})));
       }
       if (!batch.empty()) {
         while (!fill.is_none() && batch.size() < static_cast<std::size_t>(n)) {
           m.step();
           batch.push_back(fill);
         }
         batches.push_back(list_of(std::move(batch)));
       }
       return list_of(std::move(batches));
     }},
    {"capitalize", [](Machine&, const Value& v, const Arguments&) -> Value { return capitalized(to_text(v)); }},
    {"count", [](Machine& m, const Value& v, const Arguments&) { return length_of(m, v); }},
    {"d", [](Machine&, const Value& v, const Arguments& a) -> Value {
       return v.is_undefined() || (arg(a, 1, "boolean", false).is_true() && !v.is_true()) ? arg(a, 0, "default_value", Text()) : v;
     }},
    {"default", [](Machine&, const Value& v, const Arguments& a) -> Value {
       return v.is_undefined() || (arg(a, 1, "boolean", false).is_true() && !v.is_true()) ? arg(a, 0, "default_value", Text()) : v;
     }},
    {"dictsort", [](Machine& m, const Value& v, const Arguments& a) -> Value {
       if (v.dict() == nullptr) fail(fmt::format("{} is no dict to sort", v.type_name()));
       const bool by_value = arg(a, 1, "by", Value::own("key")).text() != nullptr && arg(a, 1, "by", Value::own("key")).text()->bytes() == "value";
       return sorted(m, pairs_of(*v.dict()).list()->items, Value(std::int64_t{by_value ? 1 : 0}), arg(a, 0, "case_sensitive", false).is_true(),
                     arg(a, 2, "reverse", false).is_true());
     }},
    {"e", [](Machine&, const Value& v, const Arguments&) -> Value { return escaped(to_text(v)); }},
    {"escape", [](Machine&, const Value& v, const Arguments&) -> Value { return escaped(to_text(v)); }},
    {"first", [](Machine& m, const Value& v, const Arguments&) -> Value {
       const auto items = m.items_of(v);
       return items.empty() ? Value(Undefined{"the first item of nothing"}) : items.front();
     }},
    {"float", [](Machine&, const Value& v, const Arguments& a) -> Value {
       if (v.is_number()) return v.to_double();
       if (const Text* text = v.text()) {
         const std::string bytes = stripped(*text, Side::kBoth, {}).bytes();
         double number = 0;
         const auto [end, failed] = std::from_chars(bytes.data(), bytes.data() + bytes.size(), number);
         if (failed == std::errc() && end == bytes.data() + bytes.size()) return number;
       }
       return arg(a, 0, "default", 0.0);
     }},
    {"groupby", [](Machine& m, const Value& v, const Arguments& a) -> Value {
       const Value attribute = arg(a, 0, "attribute");
       std::vector<Value> groups;
       for (const Value& item : sorted(m, m.items_of(v), attribute, false, false).list()->items) {
         Value key = attribute_of(m, item, attribute);
         if (groups.empty() || !equal(groups.back().list()->items[0], key)) groups.emplace_back(List{{key, list_of({})}, true});
         groups.back().list()->items[1].list()->items.push_back(item);
       }
       return list_of(std::move(groups));
     }},
    {"indent", [](Machine& m, const Value& v, const Arguments& a) -> Value {
       const Value width = arg(a, 0, "width", std::int64_t{4});
       Text by;
       if (width.is_int()) {
         if (width.to_int() < 0 || width.to_int() > 1000) fail("an indent is not within 0 and 1000");
         by = Text(std::string(static_cast<std::size_t>(width.to_int()), ' '));
       } else {
         by = text_of(width, "an indent");
       }
       const Text text = to_text(v);
       m.touch(text.size() * (1 + by.size()));
       return indented(text, by, arg(a, 1, "first", false).is_true(), arg(a, 2, "blank", false).is_true());
     }},
    {"int", [](Machine&, const Value& v, const Arguments& a) -> Value { return to_int(v, arg(a, 0, "default", std::int64_t{0})); }},
    {"items", [](Machine&, const Value& v, const Arguments&) -> Value {
       if (v.is_undefined()) return list_of({});
       if (v.dict() == nullptr) fail(fmt::format("{} has no items", v.type_name()));
       return pairs_of(*v.dict());
     }},
    {"join", [](Machine& m, const Value& v, const Arguments& a) -> Value {
       std::vector<Value> items = m.items_of(v);
       const Value attribute = arg(a, 1, "attribute");
       for (Value& item : items) item = attribute_of(m, item, attribute);
       return joined(m, items, to_text(arg(a, 0, "d", Text())));
     }},
    {"last", [](Machine& m, const Value& v, const Arguments&) -> Value {
       const auto items = m.items_of(v);
       return items.empty() ? Value(Undefined{"the last item of nothing"}) : items.back();
     }},
    {"length", [](Machine& m, const Value& v, const Arguments&) { return length_of(m, v); }},
    {"list", [](Machine& m, const Value& v, const Arguments&) { return list_of(m.items_of(v)); }},
    {"lower", [](Machine&, const Value& v, const Arguments&) -> Value { return mapped(to_text(v), lower); }},
    {"map", [](Machine& m, const Value& v, const Arguments& a) -> Value {
       std::vector<Value> items = m.items_of(v);
       const Value attribute = argument(a, 99, "attribute");
       for (Value& item : items) {
         if (!attribute.is_undefined()) {
           item = attribute_of(m, item, attribute);
           if (item.is_undefined()) item = argument(a, 99, "default", item);
           continue;
         }
         if (a.positional.empty()) fail("\"map\" has neither a filter nor an attribute");
         Arguments rest;
         rest.positional.assign(a.positional.begin() + 1, a.positional.end());
         rest.named = a.named;
         item = m.apply_filter(text_of(a.positional[0], "the name of a filter").bytes(), item, rest);
       }
       return list_of(std::move(items));
     }},
    {"max", [](Machine& m, const Value& v, const Arguments& a) { return extreme(m, v, a, true); }},
    {"min", [](Machine& m, const Value& v, const Arguments& a) { return extreme(m, v, a, false); }},
    {"reject", [](Machine& m, const Value& v, const Arguments& a) { return selected(m, v, a, false, false); }},
    {"rejectattr", [](Machine& m, const Value& v, const Arguments& a) { return selected(m, v, a, true, false); }},
    {"replace", [](Machine& m, const Value& v, const Arguments& a) -> Value {
       const Value count = arg(a, 2, "count");
       return replaced(m, to_text(v), to_text(arg(a, 0, "old")), to_text(arg(a, 1, "new")), count.is_int() ? count.to_int() : -1);
     }},
    {"reverse", [](Machine& m, const Value& v, const Arguments&) -> Value {
       std::vector<Value> items = m.items_of(v);
       std::ranges::reverse(items);
       return v.text() == nullptr ? list_of(std::move(items)) : joined(m, items, {});
     }},
    {"round", [](Machine&, const Value& v, const Arguments& a) -> Value {
       if (!v.is_number()) fail(fmt::format("{} cannot be rounded", v.type_name()));
       const Value how = arg(a, 1, "method", Value::own("common"));
       return rounded(v.to_double(), int_of(arg(a, 0, "precision", std::int64_t{0}), "the precision"), to_text(how).bytes());
     }},
    {"safe", [](Machine&, const Value& v, const Arguments&) -> Value { return to_text(v); }},
    {"select", [](Machine& m, const Value& v, const Arguments& a) { return selected(m, v, a, false, true); }},
    {"selectattr", [](Machine& m, const Value& v, const Arguments& a) { return selected(m, v, a, true, true); }},
    {"sort", [](Machine& m, const Value& v, const Arguments& a) {
       return sorted(m, m.items_of(v), arg(a, 2, "attribute"), arg(a, 1, "case_sensitive", false).is_true(), arg(a, 0, "reverse", false).is_true());
     }},
    {"string", [](Machine&, const Value& v, const Arguments&) -> Value { return to_text(v); }},
    {"sum", [](Machine& m, const Value& v, const Arguments& a) -> Value {
       Value total = arg(a, 1, "start", std::int64_t{0});
       for (const Value& item : m.items_of(v)) {
         const Value part = attribute_of(m, item, arg(a, 0, "attribute"));
         if (!part.is_number() || !total.is_number()) fail(fmt::format("{} cannot be summed", part.type_name()));
         std::int64_t whole = 0;
         if (part.is_int() && total.is_int()) {
           if (__builtin_add_overflow(total.to_int(), part.to_int(), &whole)) fail("a sum is too large");
           total = whole;
         } else {
           total = total.to_double() + part.to_double();
         }
       }
       return total;
     }},
    {"title", [](Machine&, const Value& v, const Arguments&) -> Value { return titled(to_text(v)); }},
    {"tojson", json_filter},
    {"trim", [](Machine&, const Value& v, const Arguments& a) -> Value { return stripped(to_text(v), Side::kBoth, arg(a, 0, "chars")); }},
    {"truncate", [](Machine&, const Value& v, const Arguments& a) -> Value {
       const Text text = to_text(v), end = to_text(arg(a, 2, "end", Value::own("...")));
       const auto begins = code_points(text.bytes());
       const std::int64_t n = int_of(arg(a, 0, "length", std::int64_t{255}), "a length"), leeway = int_of(arg(a, 3, "leeway", std::int64_t{5}), "a leeway");
       const auto n_end = static_cast<std::int64_t>(code_points(end.bytes()).size()) - 1;
       if (n < n_end) fail("a text is truncated to less than its end");
       if (static_cast<std::int64_t>(begins.size()) - 1 <= n + leeway) return text;
       Text out = text.substr(0, begins[static_cast<std::size_t>(n - n_end)]);
       if (!arg(a, 1, "killwords", false).is_true()) {
         const std::size_t space = out.bytes().rfind(' ');
         if (space != std::string::npos) out = out.substr(0, space);
       }
       out += end;
       return out;
     }},
    {"unique", [](Machine& m, const Value& v, const Arguments& a) -> Value {
       std::vector<Value> kept, keys;
       for (const Value& item : m.items_of(v)) {
         Value key = sort_key(m, item, arg(a, 1, "attribute"), arg(a, 0, "case_sensitive", false).is_true());
         m.step(keys.size());
         if (std::ranges::any_of(keys, [&](const Value& other) { return equal(other, key); })) continue;
         keys.push_back(std::move(key));
         kept.push_back(item);
       }
       return list_of(std::move(kept));
     }},
    {"upper", [](Machine&, const Value& v, const Arguments&) -> Value { return mapped(to_text(v), upper); }},
    {"wordcount", [](Machine& m, const Value& v, const Arguments&) -> Value {
       return static_cast<std::int64_t>(split(m, to_text(v), Value(), -1, false).list()->items.size());
     }},
};

struct NamedTest {
  std::string_view name;
  Test call;
};

bool by_order(const Value& a, const Arguments& arguments, bool (*holds)(int)) { return holds(compare(a, arg(arguments, 0))); }

constexpr NamedTest kTests[] = {
    {"boolean", [](Machine&, const Value& v, const Arguments&) { return v.is<bool>(); }},
    {"callable", [](Machine&, const Value& v, const Arguments&) { return v.is<FunctionPtr>(); }},
    {"defined", [](Machine&, const Value& v, const Arguments&) { return !v.is_undefined(); }},
    {"divisibleby", [](Machine&, const Value& v, const Arguments& a) {
       const std::int64_t by = int_of(arg(a, 0, "num"), "a divisor"), n = int_of(v, "a number");
       if (by == 0) fail("division by zero");
       return by == -1 || n % by == 0;
     }},
    {"eq", [](Machine&, const Value& v, const Arguments& a) { return equal(v, arg(a, 0)); }},
    {"equalto", [](Machine&, const Value& v, const Arguments& a) { return equal(v, arg(a, 0)); }},
    {"even", [](Machine&, const Value& v, const Arguments&) { return int_of(v, "a number") % 2 == 0; }},
    {"false", [](Machine&, const Value& v, const Arguments&) { return v.is<bool>() && !v.as<bool>(); }},
    {"filter", [](Machine&, const Value& v, const Arguments&) { return v.text() != nullptr && find_filter(v.text()->bytes()) != nullptr; }},
    {"float", [](Machine&, const Value& v, const Arguments&) { return v.is<double>(); }},
    {"ge", [](Machine&, const Value& v, const Arguments& a) { return by_order(v, a, [](int o) { return o >= 0; }); }},
    {"greaterthan", [](Machine&, const Value& v, const Arguments& a) { return by_order(v, a, [](int o) { return o > 0; }); }},
    {"gt", [](Machine&, const Value& v, const Arguments& a) { return by_order(v, a, [](int o) { return o > 0; }); }},
    {"in", [](Machine& m, const Value& v, const Arguments& a) {
       const Value in = arg(a, 0);
       if (in.text() != nullptr && v.text() != nullptr) return in.text()->bytes().find(v.text()->bytes()) != std::string::npos;
       return std::ranges::any_of(m.items_of(in), [&](const Value& item) { return equal(item, v); });
     }},
    {"integer", [](Machine&, const Value& v, const Arguments&) { return v.is<std::int64_t>(); }},
    {"iterable", [](Machine&, const Value& v, const Arguments&) { return v.text() != nullptr || v.list() != nullptr || v.dict() != nullptr || v.is_undefined(); }},
    {"le", [](Machine&, const Value& v, const Arguments& a) { return by_order(v, a, [](int o) { return o <= 0; }); }},
    {"lessthan", [](Machine&, const Value& v, const Arguments& a) { return by_order(v, a, [](int o) { return o < 0; }); }},
    {"lower", [](Machine&, const Value& v, const Arguments&) { return to_text(v).bytes() == mapped(to_text(v), lower).bytes(); }},
    {"lt", [](Machine&, const Value& v, const Arguments& a) { return by_order(v, a, [](int o) { return o < 0; }); }},
    {"mapping", [](Machine&, const Value& v, const Arguments&) { return v.dict() != nullptr && !v.dict()->is_namespace; }},
    {"ne", [](Machine&, const Value& v, const Arguments& a) { return !equal(v, arg(a, 0)); }},
    {"none", [](Machine&, const Value& v, const Arguments&) { return v.is_none(); }},
    {"number", [](Machine&, const Value& v, const Arguments&) { return v.is_number(); }},
    {"odd", [](Machine&, const Value& v, const Arguments&) { return int_of(v, "a number") % 2 != 0; }},
    {"sameas", [](Machine&, const Value& v, const Arguments& a) { return v.type_name() == arg(a, 0).type_name() && equal(v, arg(a, 0)); }},
    {"sequence", [](Machine&, const Value& v, const Arguments&) { return v.text() != nullptr || v.list() != nullptr || (v.dict() != nullptr && !v.dict()->is_namespace) || v.is_undefined(); }},
    {"string", [](Machine&, const Value& v, const Arguments&) { return v.text() != nullptr; }},
    {"test", [](Machine&, const Value& v, const Arguments&) { return v.text() != nullptr && find_test(v.text()->bytes()) != nullptr; }},
    {"true", [](Machine&, const Value& v, const Arguments&) { return v.is<bool>() && v.as<bool>(); }},
    {"undefined", [](Machine&, const Value& v, const Arguments&) { return v.is_undefined(); }},
    {"upper", [](Machine&, const Value& v, const Arguments&) { return to_text(v).bytes() == mapped(to_text(v), upper).bytes(); }},
};

Value function(std::function<Value(Machine&, const Arguments&)> call) {
  return std::make_shared<const Function>(Function{std::move(call)});
}

Value range(Machine& machine, const Arguments& a) {
  std::int64_t begin = 0, end = int_of(arg(a, 0), "the end of a range"), step = 1;
  if (a.positional.size() > 1) {
    begin = end;
    end = int_of(a.positional[1], "the end of a range");
  }
  if (a.positional.size() > 2) step = int_of(a.positional[2], "the step of a range");
  if (step == 0) fail("a range has the step 0");
  std::vector<Value> items;
  for (std::int64_t i = begin; step > 0 ? i < end : i > end;) {
    machine.step();
    if (items.size() == 100'000) fail("a range has more than 100000 items");  // as Jinja's sandbox
    items.emplace_back(i);
    if (__builtin_add_overflow(i, step, &i)) break;
  }
  return list_of(std::move(items));
}

Value named_dict(const Arguments& arguments, bool is_namespace) {
  Dict dict;
  if (!arguments.positional.empty()) {
    const Dict* from = arguments.positional[0].dict();
    if (from == nullptr) fail("a dict is made of something that is none");
    dict.items = from->items;
  }
  for (const auto& [name, value] : arguments.named) dict.set(Value::own(name), value);
  dict.is_namespace = is_namespace;
  return dict;
}

Value strftime_now(Machine& machine, const Arguments& arguments) {
  const std::string format = text_of(arg(arguments, 0, "format"), "the format of a time").bytes();
  const auto seconds = static_cast<std::time_t>(machine.now());
  std::tm time{};
  gmtime_r(&seconds, &time);
  if (format.size() > 200) fail("the format of a time is too long");
  char buffer[1024];
  return Value::own({buffer, std::strftime(buffer, sizeof buffer, format.c_str(), &time)});
}

}  // namespace

Filter find_filter(std::string_view name) {
  const auto found = std::ranges::find(kFilters, name, &NamedFilter::name);
  return found == std::end(kFilters) ? nullptr : found->call;
}

Test find_test(std::string_view name) {
  constexpr std::pair<std::string_view, std::string_view> kSigns[] = {{"==", "eq"}, {"!=", "ne"}, {"<", "lt"},
                                                                      {"<=", "le"}, {">", "gt"}, {">=", "ge"}};
  for (const auto& [sign, word] : kSigns) {
    if (sign == name) name = word;
  }
  const auto found = std::ranges::find(kTests, name, &NamedTest::name);
  return found == std::end(kTests) ? nullptr : found->call;
}

Value method(const Value& of, const std::string& name) {
  if (const auto* text = std::get_if<TextPtr>(&of.any())) {
    const auto found = std::ranges::find(kStringMethods, name, &NamedStringMethod::name);
    if (found == std::end(kStringMethods)) return Undefined{name};
    return function([of = *text, call = found->call](Machine& machine, const Arguments& arguments) {
      machine.touch(of->size());
      return call(machine, *of, arguments);
    });
  }
  // The methods that change lists and dicts are refused by Jinja's sandbox too.
  if (of.list() != nullptr && (name == "index" || name == "count")) {
    return function([of, is_index = name == "index"](Machine& machine, const Arguments& arguments) -> Value {
      std::int64_t n = 0;
      const auto items = machine.items_of(of);
      for (std::size_t i = 0; i < items.size(); ++i) {
        if (!equal(items[i], arg(arguments, 0))) continue;
        if (is_index) return static_cast<std::int64_t>(i);
        ++n;
      }
      if (is_index) fail("a list does not contain what \"index\" looks for");
      return n;
    });
  }
  const Dict* dict = of.dict();
  if (dict == nullptr) return Undefined{name};
  if (name == "items") return function([of](Machine&, const Arguments&) { return pairs_of(*of.dict()); });
  if (name == "keys" || name == "values") {
    return function([of, wants_keys = name == "keys"](Machine& machine, const Arguments&) {
      std::vector<Value> items;
      for (const auto& [key, value] : of.dict()->items) items.push_back(wants_keys ? key : value);
      machine.step(items.size());
      return list_of(std::move(items));
    });
  }
  if (name == "get") {
    return function([of](Machine&, const Arguments& arguments) -> Value {
      const Value* found = of.dict()->find(arg(arguments, 0));
      return found != nullptr ? *found : arg(arguments, 1);
    });
  }
  if (name == "copy") return function([of](Machine&, const Arguments&) -> Value { return Dict(*of.dict()); });
  return Undefined{name};
}

void add_global_functions(Scope& scope) {
  const auto add = [&](std::string_view name, std::function<Value(Machine&, const Arguments&)> call) {
    scope.names.insert_or_assign(std::string(name), function(std::move(call)));
  };
  add("range", range);
  add("dict", [](Machine&, const Arguments& a) { return named_dict(a, false); });
  add("namespace", [](Machine&, const Arguments& a) { return named_dict(a, true); });
  add("raise_exception", [](Machine&, const Arguments& a) -> Value { fail(to_text(arg(a, 0, "message")).bytes()); });
  add("strftime_now", strftime_now);
  add("cycler", [](Machine&, const Arguments& a) -> Value {
    if (a.positional.empty()) fail("a cycler needs a value");
    auto at = std::make_shared<std::size_t>(0);
    Dict cycler;
    cycler.is_namespace = true;
    cycler.set(Value::own("next"), function([items = a.positional, at](Machine&, const Arguments&) {
                 return items[(*at)++ % items.size()];
               }));
    cycler.set(Value::own("reset"), function([at](Machine&, const Arguments&) -> Value {
                 *at = 0;
                 return {};
               }));
    return cycler;
  });
  add("joiner", [](Machine&, const Arguments& a) -> Value {
    auto is_used = std::make_shared<bool>(false);
    return function([separator = arg(a, 0, "sep", Value::own(", ")), is_used](Machine&, const Arguments&) -> Value {
      return std::exchange(*is_used, true) ? separator : Value::own("");
    });
  });
}

}  // namespace woolly::chat
