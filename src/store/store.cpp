#include "store/store.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdlib>
#include <system_error>
#include <utility>

namespace woolly::store {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kExtension = ".gguf";
constexpr std::string_view kDefaultModel = "smollm2:135m";

/// A path from the environment that may be relied on: absolute. The environment is read before threads exist.
fs::path absolute_from_environment(const char* variable) {
  const char* value = std::getenv(variable);
  const fs::path path = value != nullptr ? value : "";
  return path.is_absolute() ? path : fs::path();
}

bool is_name_part(std::string_view text) {
  const auto is_allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
           c == '-';
  };
  return !text.empty() && std::ranges::all_of(text, is_allowed);
}

/// `part` or `part:part`. Without "..", no name leaves the folder.
bool is_name(std::string_view text) {
  if (text.find("..") != std::string_view::npos) return false;
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos) return is_name_part(text);
  return is_name_part(text.substr(0, colon)) && is_name_part(text.substr(colon + 1));
}

std::string file_name(std::string_view name) {
  std::string file(name);
  std::ranges::replace(file, ':', '-');
  return file.append(kExtension);
}

}  // namespace

Store Store::from_environment() {
  if (const fs::path data = absolute_from_environment("XDG_DATA_HOME"); !data.empty()) {
    return Store(data / "woolly" / "models");
  }
  if (const fs::path home = absolute_from_environment("HOME"); !home.empty()) {
    return Store(home / ".local" / "share" / "woolly" / "models");
  }
  return Store(fs::path());
}

std::vector<std::string> Store::names() const {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator entry(folder_, error), end; !error && entry != end; entry.increment(error)) {
    std::error_code is_file_error;
    if (entry->path().extension() == kExtension && entry->is_regular_file(is_file_error)) {
      names.push_back(entry->path().stem().string());
    }
  }
  std::ranges::sort(names);
  return names;
}

Result<fs::path> Store::resolve(std::string_view model) const {
  const fs::path path(model);
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  const bool is_path = model.find('/') != std::string_view::npos || model.ends_with(kExtension);
  if (is_path || (fs::exists(status) && !fs::is_directory(status))) return path;
  if (!is_name(model)) {
    return Error{
        ErrorCode::kInvalidArgument,
        fmt::format("model \"{}\": no such file, and not a name: allowed are letters, digits, '.', '_' and '-', "
                    "with one ':' inside and no \"..\"",
                    model)};
  }
  if (folder_.empty()) {
    return Error{
        ErrorCode::kNotFound,
        fmt::format("model \"{}\": no such file, and no store: neither XDG_DATA_HOME nor HOME is an absolute path",
                    model)};
  }
  fs::path stored = folder_ / file_name(model);
  if (fs::exists(stored, error)) return stored;
  if (fs::is_directory(status)) return path;
  const std::vector<std::string> known = names();
  return Error{ErrorCode::kNotFound,
               fmt::format("model \"{}\": no such file, and no {}; the store has {}; scripts/demo fetches {}", model,
                           stored.string(), known.empty() ? "no models" : fmt::format("{}", fmt::join(known, ", ")),
                           kDefaultModel)};
}

}  // namespace woolly::store
