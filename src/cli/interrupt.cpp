#include "cli/interrupt.h"

#include <csignal>

namespace woolly::cli {
namespace {

// A signal handler reaches nothing else.
volatile std::sig_atomic_t is_interrupted = 0;

void on_interrupt(int) {
  is_interrupted = 1;
  std::signal(SIGINT, SIG_DFL);
}

}  // namespace

Interrupt::Interrupt() {
  is_interrupted = 0;
  std::signal(SIGINT, on_interrupt);
}

Interrupt::~Interrupt() { std::signal(SIGINT, SIG_DFL); }

bool Interrupt::is_raised() const noexcept { return is_interrupted != 0; }

}  // namespace woolly::cli
