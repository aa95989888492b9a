#include "cli/version.h"

#include <fmt/format.h>

#include <memory>

#include "woolly/model.h"

namespace woolly::cli {
namespace {

#if defined(__clang__)
constexpr const char* kCompiler = "clang " __clang_version__;
#else
constexpr const char* kCompiler = "g++ " __VERSION__;
#endif

}  // namespace

Result<std::string> version_text() {
  WOOLLY_TRY(const std::unique_ptr<Engine> engine, Engine::create({.n_threads = 1}));
  return fmt::format("woolly {} ({}, {}, {} kernels)\n", version_number(), kCompiler, WOOLLY_BUILD_TYPE, engine->isa());
}

}  // namespace woolly::cli
