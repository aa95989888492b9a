// This process's limits, and other programs: run and waited for, without a shell or a terminal.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "woolly/error.h"

namespace woolly::os {

/// How a program ended and what it wrote.
struct ProcessEnd {
  int status = 0;      ///< The exit status; minus the signal that ended it.
  std::string output;  ///< Standard output.
  std::string errors;  ///< Standard error, its last 64 KiB.
};

/// More output than this is an error: whoever asks for it wants to parse it.
inline constexpr std::size_t kMaxProcessOutput = std::size_t{16} << 20U;

/// Runs `arguments[0]`, looked up in PATH unless it has a slash, with the environment of this program and nothing to
/// read, and waits for its end; from any thread. kNotFound where there is no such program, kIo where it cannot be
/// started, kLimitExceeded for more than kMaxProcessOutput. A program that fails is no error here: see `status`.
Result<ProcessEnd> run_process(const std::vector<std::string>& arguments);

/// Lets this process open as many files and connections as it may let itself; those that start it are often told 1024.
void raise_file_limit();

}  // namespace woolly::os
