// Being asked to end: Ctrl-C and SIGTERM, as a place in the program instead of an interruption.
#pragma once

namespace woolly::os {

/// From its construction on the two signals are held back, in this thread and in those that it starts afterwards: to be
/// made before any other. One at a time.
class Termination {
 public:
  Termination();
  /// As it was before.
  ~Termination();
  Termination(const Termination&) = delete;
  Termination& operator=(const Termination&) = delete;

  /// Returns when one of them has come. The next one ends the process at once.
  void wait();
};

}  // namespace woolly::os
