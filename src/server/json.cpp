#include "server/json.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

namespace woolly::server {
namespace {

/// Builds a value from what the parser meets. The parser keeps its own stack on the heap, so depth costs no stack here.
class Builder final : public nlohmann::json_sax<Json> {
 public:
  bool null() override { return add(nullptr); }
  bool boolean(bool value) override { return add(value); }
  bool number_integer(number_integer_t value) override { return add(value); }
  bool number_unsigned(number_unsigned_t value) override { return add(value); }
  bool number_float(number_float_t value, const string_t& /*text*/) override { return add(value); }
  bool string(string_t& value) override { return add(std::move(value)); }
  bool binary(binary_t& /*value*/) override { return refuse("binary"); }
  bool start_object(std::size_t /*size*/) override { return open(Json::object()); }
  bool start_array(std::size_t /*size*/) override { return open(Json::array()); }
  bool end_array() override {
    open_.pop_back();
    return true;
  }
  bool key(string_t& name) override {
    // Straight into the vector that the object is: looking for an equal key first would make long objects quadratic.
    members(*open_.back()).emplace_back(std::move(name), nullptr);
    return true;
  }
  bool end_object() override {
    std::vector<std::string_view> names;
    for (const auto& [name, value] : members(*open_.back())) names.push_back(name);
    open_.pop_back();
    std::ranges::sort(names);
    const auto twice = std::ranges::adjacent_find(names);
    return twice == names.end() || refuse(fmt::format("the key \"{}\" twice in one object", *twice));
  }
  bool parse_error(std::size_t position, const std::string& /*token*/, const Json::exception& error) override {
    // 406: a number that no double holds.
    return refuse(error.id == 406 ? fmt::format("a number out of range at byte {}", position)
                                  : fmt::format("no valid JSON at byte {}", position));
  }

  /// Only one of them counts after a parse.
  Body root;
  std::string reason;

 private:
  using Members = Json::object_t;
  static Members& members(Json& object) { return object.get_ref<Members&>(); }

  bool refuse(std::string text) {
    reason = std::move(text);
    return false;
  }

  Json& place(Json&& json) {
    if (open_.empty()) return root.Json::operator=(std::move(json));
    if (open_.back()->is_array()) {
      open_.back()->push_back(std::move(json));
      return open_.back()->back();
    }
    return members(*open_.back()).back().second = std::move(json);
  }
  bool add(Json json) {
    place(std::move(json));
    return true;
  }
  bool open(Json json) {
    if (open_.size() == kMaxDepth) return refuse(fmt::format("more than {} levels of nesting", kMaxDepth));
    // A parent grows again only after its child is closed, so the pointers stay good.
    open_.push_back(&place(std::move(json)));
    return true;
  }

  std::vector<Json*> open_;
};

/// Leaves nothing in a value, from its ends, so that no part of it that is destroyed has parts.
void dismantle(Json& value) noexcept {
  if (auto* array = value.get_ptr<Json::array_t*>()) {
    for (; !array->empty(); array->pop_back()) dismantle(array->back());
  } else if (auto* object = value.get_ptr<Json::object_t*>()) {
    for (; !object->empty(); object->pop_back()) dismantle(object->back().second);
  }
}

}  // namespace

Body::~Body() { dismantle(*this); }

Result<Body> parse_object(std::string_view text) {
  Builder builder;
  if (!Json::sax_parse(text, &builder)) {
    return Error{ErrorCode::kInvalidArgument, fmt::format("the body: {}, allowed is a JSON object", builder.reason)};
  }
  if (!builder.root.is_object()) {
    return Error{ErrorCode::kInvalidArgument,
                 fmt::format("the body: JSON of type {}, allowed is an object", builder.root.type_name())};
  }
  return std::move(builder.root);
}

std::string dump(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

const Json* find(const Json& object, std::string_view name) {
  const auto member = object.find(name);
  return member == object.end() || member->is_null() ? nullptr : &*member;
}

}  // namespace woolly::server
