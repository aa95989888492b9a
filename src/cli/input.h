// The text that a command works on: -p TEXT, -f FILE or standard input.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "woolly/error.h"

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace woolly::cli {

/// The bytes of a file, with the errors of TextInput::read.
Result<std::string> read_text_file(const std::string& path);

/// The next line of standard input, without its newline; none at its end. kInvalidArgument where it is not UTF-8.
Result<std::optional<std::string>> read_line();

/// Must stay where it is once its flags are declared.
class TextInput {
 public:
  /// Declares -p and -f, of which at most one may be given, and returns them.
  std::vector<CLI::Option*> declare(CLI::App& app);

  /// The bytes as they are: no newline is stripped or added. kInvalidArgument where they are not UTF-8, kNotFound or
  /// kIo where a file cannot be read; each names the source. Waits for standard input where neither flag was given, and
  /// says so first if that is a terminal.
  [[nodiscard]] Result<std::string> read() const;

 private:
  std::optional<std::string> text_;
  std::optional<std::string> file_;
};

}  // namespace woolly::cli
