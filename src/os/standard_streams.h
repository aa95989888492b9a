// Descriptors 0, 1 and 2 of this process.
#pragma once

namespace woolly::os {

/// Opens those of standard input, output and error that the caller of this process left closed, so that no file that is
/// opened later takes their place: a model would be read as text, warnings would be written into a file of results.
/// Reading from one that was closed, or writing to it, goes on failing. To be called first in `main`.
void occupy_closed_standard_streams() noexcept;

/// Whether somebody can type at standard input.
[[nodiscard]] bool standard_input_is_terminal() noexcept;

/// Whether somebody reads standard error as it is written.
[[nodiscard]] bool standard_error_is_terminal() noexcept;

}  // namespace woolly::os
