#include "os/termination.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>

namespace woolly::os {
namespace {

TEST(TerminationTest, Wait_ReturnsForEachOfTheSignals) {
  for (const int signal : {SIGINT, SIGTERM}) {
    Termination termination;
    ASSERT_EQ(kill(getpid(), signal), 0);
    termination.wait();
  }
}

TEST(TerminationTest, Wait_LetsTheNextOneEndTheProcess) {
  EXPECT_EXIT(
      {
        Termination termination;
        kill(getpid(), SIGTERM);
        termination.wait();
        kill(getpid(), SIGTERM);
        _exit(0);
      },
      testing::KilledBySignal(SIGTERM), "");
}

}  // namespace
}  // namespace woolly::os
