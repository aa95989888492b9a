#include "os/standard_streams.h"

#include <fcntl.h>
#include <unistd.h>

namespace woolly::os {

void occupy_closed_standard_streams() noexcept {
  for (int stream = STDIN_FILENO; stream <= STDERR_FILENO; ++stream) {
    if (::fcntl(stream, F_GETFD) >= 0) continue;
    // The lowest free descriptor is taken, which is this one. Opened the wrong way round, it refuses what would be
    // asked of it (EBADF), as a closed one does.
    static_cast<void>(::open("/dev/null", stream == STDIN_FILENO ? O_WRONLY : O_RDONLY));
  }
}

bool standard_input_is_terminal() noexcept { return ::isatty(STDIN_FILENO) != 0; }

bool standard_error_is_terminal() noexcept { return ::isatty(STDERR_FILENO) != 0; }

}  // namespace woolly::os
