// Standard output and standard error, for all commands.
#pragma once

#include <string>
#include <string_view>

#include "woolly/error.h"

namespace woolly::cli {

/// Writes `text` to standard output and flushes. kIo where that fails, but success where the reader has gone (a broken
/// pipe): see `output_is_closed`. SIGPIPE must be ignored.
Status write_output(std::string_view text);

/// Whether the reader of standard output has gone: nothing more needs to be made for it.
bool output_is_closed() noexcept;

/// One line on standard error: "woolly: error: ...", "woolly: warning: ...".
void print_error(std::string_view message);
void print_warning(std::string_view message);

/// `text` with everything that could move a cursor or break a line made visible: backslash, control characters and
/// bytes that are not UTF-8 as \\, \n, \r, \t or \xNN. What comes from files passes through here before it is shown.
std::string escaped(std::string_view text);

/// As `escaped`, but leaves backslashes alone: for messages, where the exact text need not be won back.
std::string one_line(std::string_view text);

}  // namespace woolly::cli
