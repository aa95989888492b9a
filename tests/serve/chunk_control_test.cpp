#include "serve/chunk_control.h"

#include <gtest/gtest.h>

namespace woolly::test {
namespace {

using serve::ChunkControl;

TEST(ChunkControl, GivesWholeChunksWhereNobodyStreams) { EXPECT_EQ(ChunkControl(512).budget(0), 512U); }

TEST(ChunkControl, KeepsStepsShortBesideStreams) {
  // A step of streams takes 30 ms, a token of a prompt adds 2 ms.
  ChunkControl control(512);
  control.learn(0, 512, 1.0);
  for (int i = 0; i < 20; ++i) control.learn(2, 0, 0.030);
  double slowest = 0;
  for (int i = 0; i < 50; ++i) {
    const std::size_t n = control.budget(2);
    const double seconds = 0.030 + 0.002 * static_cast<double>(n);
    if (i > 30) slowest = std::max(slowest, seconds);
    control.learn(2, n, seconds);
  }
  EXPECT_LE(slowest, 0.030 * ChunkControl::kSlowest * 1.05);
  EXPECT_GE(slowest, 0.030 * ChunkControl::kSlowest * 0.85) << "nor shorter than need be";
}

TEST(ChunkControl, AlwaysGoesOnAndNeverPassesTheChunk) {
  ChunkControl control(16);
  EXPECT_EQ(control.budget(1), ChunkControl::kFewest);
  EXPECT_EQ(control.budget(12), 4U);
  EXPECT_EQ(control.budget(16), 0U);
  control.learn(1, 0, 0.010);
  control.learn(1, 8, 10.0);
  EXPECT_EQ(control.budget(1), ChunkControl::kFewest) << "however slow";
  for (int i = 0; i < 100; ++i) control.learn(1, 8, 0.0100001);
  EXPECT_EQ(control.budget(1), 15U) << "however quick";
}

}  // namespace
}  // namespace woolly::test
