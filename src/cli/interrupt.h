// Ctrl-C as a flag.
#pragma once

namespace woolly::cli {

/// While it lives, the first Ctrl-C only sets a flag, so that work can end cleanly; the next one ends the program at
/// once. One at a time.
class Interrupt {
 public:
  Interrupt();
  ~Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

  [[nodiscard]] bool is_raised() const noexcept;
};

}  // namespace woolly::cli
