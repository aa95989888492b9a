// The fields of requests as tables: what each may hold is declared once, checked in one place, and then read without
// further ado.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sample/filters.h"
#include "server/json.h"
#include "woolly/error.h"
#include "woolly/options.h"

namespace woolly::server {

enum class FieldType : std::uint8_t {
  kBool,
  kInteger,
  kNumber,
  kString,
  kArray,
  kObject,
  /// Would change the answer and is not supported: only values that ask for nothing are allowed, which are null,
  /// false, what is empty, and `harmless`.
  kNotSupported,
};

inline constexpr sample::Range kAnyNumber{-std::numeric_limits<double>::infinity(),
                                          std::numeric_limits<double>::infinity()};

/// One field of an object.
struct Field {
  std::string_view name;
  FieldType type;
  sample::Range range = kAnyNumber;  ///< Of a number.
  bool is_required = false;
  std::string_view harmless{};  ///< As JSON.
};

/// A field that is not supported.
constexpr Field not_supported(std::string_view name, std::string_view harmless = "null") {
  return {name, FieldType::kNotSupported, kAnyNumber, false, harmless};
}

/// Whatever integer it is, it is a seed: signed and unsigned ones of 64 bits.
inline constexpr Field kSeedField{"seed", FieldType::kInteger, {-0x1p63, 0x1p64}};

/// kInvalidArgument for the first field that holds what its row does not allow: names field, value and what is allowed.
/// Members without a row are ignored. `path` stands before the names in messages: "options.".
Status check_fields(const Json& object, std::span<const Field> fields, std::string_view path = "");

/// The error of a field: "temperature: -1, allowed is at least 0".
Error field_error(std::string_view path, std::string_view name, std::string_view found, std::string_view allowed);

/// What an error says of a value: a number or a boolean as it is, of all else only the type, as text is private.
std::string describe(const Json& value);

/// A word of the client's in quotes, cut where it is no word.
std::string quote(std::string_view word);

/// For members that check_fields has let through.
bool get_bool(const Json& object, std::string_view name, bool otherwise);
std::string get_string(const Json& object, std::string_view name);  ///< Empty where there is none.
std::optional<std::int64_t> find_integer(const Json& object, std::string_view name);
std::optional<double> find_number(const Json& object, std::string_view name);

/// Sets what `object` says of sampling: each row of sample::all_filters() by its name, and "seed" (-1, as not saying
/// any, draws one). The values of `options` stand for what is not said. kInvalidArgument as check_fields.
Status read_sampling(const Json& object, SamplingOptions& options, std::string_view path = "");

/// Stop strings: one, or an array of at most 64 that are not empty. kInvalidArgument as check_fields.
Result<std::vector<std::string>> read_stops(const Json& object, std::string_view name, std::string_view path = "");

}  // namespace woolly::server
