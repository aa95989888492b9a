// JSON of requests and answers.
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "woolly/error.h"

namespace woolly::server {

/// Keeps the order of keys, which templates show.
using Json = nlohmann::ordered_json;

/// Deeper than schemas and messages go. What walks a value may recurse that far.
inline constexpr std::size_t kMaxDepth = 64;

/// What a client sent. Its destructor allocates nothing, unlike that of large arrays and objects, where a lack of memory
/// would end the process.
class Body : public Json {
 public:
  Body() = default;
  Body(Body&&) noexcept = default;
  Body& operator=(Body&&) noexcept = default;
  ~Body();
};

/// The object that `text` holds. kInvalidArgument for what is no JSON (a number beyond the range of a double and bad
/// UTF-8 included), is no object, is nested more than kMaxDepth deep, or names a key twice in one object.
/// Linear time but for sorting the keys of an object.
Result<Body> parse_object(std::string_view text);

/// In one line; bytes that are no UTF-8 become U+FFFD.
std::string dump(const Json& json);

/// The member of an object, or nullptr where there is none or it is null: clients write both for "not said".
const Json* find(const Json& object, std::string_view name);

}  // namespace woolly::server
