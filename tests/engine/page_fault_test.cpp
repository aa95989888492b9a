// No page is touched for the first time on the token path. Not part of sanitizer builds, whose shadow memory has pages
// of its own.
#include <sys/prctl.h>
#include <sys/resource.h>

#include <algorithm>

#include "engine/support.h"
#include "support/temp_dir.h"
#include "support/tiny_model.h"

namespace woolly::test {
namespace {

/// Of all threads of this process, without reading from a disk.
long page_faults() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_minflt;
}

/// With small pages, so that every first touch of memory shows. The system takes pages away now and then (to merge or to
/// move them), so the best of several rounds counts; each of them enters a block of the cache.
TEST(PageFaults, NoneOnTheTokenPath) {
  constexpr int kRounds = 5, kTokens = 64;
  ASSERT_EQ(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0), 0);
  const TempDir dir;
  const auto engine = make_engine(table_names().back(), 2);
  const auto model = Model::load(*engine, dir.write("tiny.gguf", TinyModel{}.build().build()));
  ASSERT_TRUE(model) << model.error().message;
  const auto session = make_session(*model);
  const auto append = [&](int n) {
    for (int i = 0; i < n; ++i) {
      const TokenId token{i};
      ASSERT_TRUE(session->append({&token, 1}));
    }
  };
  append(32);
  long fewest = page_faults();
  ASSERT_GT(fewest, 0);
  for (int round = 0; round < kRounds; ++round) {
    const long before = page_faults();
    append(kTokens);
    fewest = std::min(fewest, page_faults() - before);
  }
  EXPECT_EQ(fewest, 0);
}

}  // namespace
}  // namespace woolly::test
