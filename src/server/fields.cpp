#include "server/fields.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <utility>

namespace woolly::server {
namespace {

/// Every integer up to it is a double of its own.
constexpr double kMaxExact = 0x1p53;
/// More would be a table, not a list of words to stop at.
constexpr std::size_t kMaxStops = 64;

/// 5.0 is an integer too: some languages write every number with a point.
bool is_integer(const Json& value) {
  if (value.is_number_integer()) return true;
  if (!value.is_number_float()) return false;
  const auto number = value.get<double>();
  return std::abs(number) <= kMaxExact && std::trunc(number) == number;
}

bool has_type(const Json& value, FieldType type) {
  switch (type) {
    case FieldType::kBool:
      return value.is_boolean();
    case FieldType::kInteger:
      return is_integer(value);
    case FieldType::kNumber:
      return value.is_number();
    case FieldType::kString:
      return value.is_string();
    case FieldType::kArray:
      return value.is_array();
    case FieldType::kObject:
      return value.is_object();
    case FieldType::kNotSupported:
      return true;
  }
  return false;
}

std::string allowed(const Field& field) {
  const auto number = [&field](std::string_view noun) {
    return field.range.min == kAnyNumber.min && field.range.max == kAnyNumber.max
               ? std::string(noun)
               : fmt::format("{}, {}", noun, field.range.describe());
  };
  switch (field.type) {
    case FieldType::kBool:
      return "true or false";
    case FieldType::kInteger:
      return number("a whole number");
    case FieldType::kNumber:
      return number("a number");
    case FieldType::kString:
      return "a string";
    case FieldType::kArray:
      return "an array";
    case FieldType::kObject:
      return "an object";
    case FieldType::kNotSupported:
      break;
  }
  return field.harmless == "null" ? "to leave it out" : std::string(field.harmless);
}

bool asks_for_nothing(const Json& value, std::string_view harmless) {
  if (value.is_boolean()) return !value.get<bool>() || value == Json::parse(harmless);
  if (value.is_string() && value.get_ref<const std::string&>().empty()) return true;
  if (value.is_structured() && value.empty()) return true;
  return value == Json::parse(harmless);
}

Status check_field(const Json& value, const Field& field, std::string_view path) {
  if (field.type == FieldType::kNotSupported) {
    if (asks_for_nothing(value, field.harmless)) return {};
    return Error{ErrorCode::kInvalidArgument, fmt::format("{}{}: {}, which is not supported; allowed is {}", path,
                                                          field.name, describe(value), allowed(field))};
  }
  if (!has_type(value, field.type) || (value.is_number() && !field.range.contains(value.get<double>()))) {
    return field_error(path, field.name, describe(value), allowed(field));
  }
  return {};
}

std::uint64_t random_seed() {
  std::random_device device;
  return (std::uint64_t{device()} << 32U) | device();
}

}  // namespace

std::string describe(const Json& value) {
  if (value.is_number() || value.is_boolean()) return value.dump();
  if (value.is_array()) return value.empty() ? "an empty array" : "an array";
  if (value.is_object()) return "an object";
  return value.is_string() ? "a string" : "null";
}

std::string quote(std::string_view word) {
  constexpr std::size_t kMaxLength = 64;
  return word.size() <= kMaxLength ? fmt::format("\"{}\"", word) : fmt::format("\"{}...\"", word.substr(0, kMaxLength));
}

Error field_error(std::string_view path, std::string_view name, std::string_view found, std::string_view allowed) {
  return {ErrorCode::kInvalidArgument, fmt::format("{}{}: {}, allowed is {}", path, name, found, allowed)};
}

Status check_fields(const Json& object, std::span<const Field> fields, std::string_view path) {
  for (const Field& field : fields) {
    if (const Json* value = find(object, field.name)) {
      WOOLLY_CHECK(check_field(*value, field, path));
    } else if (field.is_required) {
      return field_error(path, field.name, "missing", allowed(field));
    }
  }
  return {};
}

bool get_bool(const Json& object, std::string_view name, bool otherwise) {
  const Json* value = find(object, name);
  return value != nullptr ? value->get<bool>() : otherwise;
}

std::string get_string(const Json& object, std::string_view name) {
  const Json* value = find(object, name);
  return value != nullptr ? value->get<std::string>() : std::string();
}

std::optional<std::int64_t> find_integer(const Json& object, std::string_view name) {
  const Json* value = find(object, name);
  if (value == nullptr) return std::nullopt;
  return value->get<std::int64_t>();
}

std::optional<double> find_number(const Json& object, std::string_view name) {
  const Json* value = find(object, name);
  if (value == nullptr) return std::nullopt;
  return value->get<double>();
}

Status read_sampling(const Json& object, SamplingOptions& options, std::string_view path) {
  for (const sample::Filter& filter : sample::all_filters()) {
    const Field field{filter.name, filter.is_integer() ? FieldType::kInteger : FieldType::kNumber, filter.range};
    WOOLLY_CHECK(check_fields(object, std::span(&field, 1), path));
    const std::optional<double> number = find_number(object, filter.name);
    if (!number) continue;
    // What counts is the value after rounding to the type of the option.
    const double value = filter.is_integer() ? *number : static_cast<double>(static_cast<float>(*number));
    if (!filter.range.contains(value)) {
      return field_error(path, filter.name, describe(*find(object, filter.name)), filter.range.describe());
    }
    filter.set(options, value);
  }
  WOOLLY_CHECK(check_fields(object, std::span(&kSeedField, 1), path));
  const Json* seed = find(object, kSeedField.name);
  if (seed == nullptr) {
    options.seed = random_seed();
  } else if (seed->is_number_unsigned()) {
    options.seed = seed->get<std::uint64_t>();
  } else {
    const auto number = seed->get<std::int64_t>();
    options.seed = number == -1 ? random_seed() : static_cast<std::uint64_t>(number);
  }
  return {};
}

Result<std::vector<std::string>> read_stops(const Json& object, std::string_view name, std::string_view path) {
  std::vector<std::string> stops;
  const Json* value = find(object, name);
  if (value == nullptr) return stops;
  const auto refuse = [&](std::string_view found) {
    return field_error(path, name, found,
                       fmt::format("a string, or an array of at most {} that are not empty", kMaxStops));
  };
  if (value->is_string()) {
    // An empty string is how some clients say that there is none.
    if (!value->get_ref<const std::string&>().empty()) stops.push_back(value->get<std::string>());
    return stops;
  }
  if (!value->is_array()) return refuse(describe(*value));
  if (value->size() > kMaxStops) return refuse(fmt::format("{} strings", value->size()));
  for (const Json& stop : *value) {
    if (!stop.is_string()) return refuse(fmt::format("an array with {}", describe(stop)));
    if (stop.get_ref<const std::string&>().empty()) return refuse("an array with an empty string");
    stops.push_back(stop.get<std::string>());
  }
  return stops;
}

}  // namespace woolly::server
