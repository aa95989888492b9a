// The folder of models that are known by name: the name `a:b` is the file `a-b.gguf`.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "woolly/error.h"

namespace woolly::store {

/// Immutable; reads the folder anew on every call, so models may come and go.
class Store {
 public:
  /// `folder` need not exist; it then holds no models. An empty path stands for having no store.
  explicit Store(std::filesystem::path folder) : folder_(std::move(folder)) {}

  /// `$XDG_DATA_HOME/woolly/models`, or `~/.local/share/woolly/models` where the variable is unset or no absolute path
  /// (as the XDG Base Directory Specification asks). Where HOME is unset too there is no store.
  static Store from_environment();

  [[nodiscard]] const std::filesystem::path& folder() const noexcept { return folder_; }

  /// Names of the models here, sorted: the files' names without `.gguf`.
  [[nodiscard]] std::vector<std::string> names() const;

  /// The file that `model` means. What contains a '/', ends in ".gguf" or exists as a file is a path and comes back as
  /// it is; all else is a name. kNotFound says where was looked and which models are here, kInvalidArgument that
  /// `model` cannot be a name: allowed is `[A-Za-z0-9._-]+`, optionally with one ':' inside, and no "..".
  [[nodiscard]] Result<std::filesystem::path> resolve(std::string_view model) const;

 private:
  std::filesystem::path folder_;
};

}  // namespace woolly::store
