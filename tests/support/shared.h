// The reference files that are not part of the product: models, goldens, tokenizers, corpora.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <string>

namespace woolly::test {

/// A path below the folder of reference files, `WOOLLY_SHARED` (default ../shared beside the checkout).
inline std::filesystem::path shared(const std::string& path) {
  const char* root = std::getenv("WOOLLY_SHARED");
  return std::filesystem::path(root != nullptr ? root : WOOLLY_SOURCE_DIR "/../shared") / path;
}

}  // namespace woolly::test

/// Skips the test, and says so, where the reference file is not there; in CI that is a failure.
#define WOOLLY_NEEDS_SHARED(path)                                                                  \
  do {                                                                                             \
    if (!std::filesystem::exists(::woolly::test::shared(path))) {                                  \
      if (std::getenv("CI") != nullptr) FAIL() << "missing in CI: " << ::woolly::test::shared(path); \
      GTEST_SKIP() << "no " << ::woolly::test::shared(path) << "; set WOOLLY_SHARED";              \
    }                                                                                              \
  } while (false)
