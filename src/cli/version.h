// What `woolly --version` prints.
#pragma once

#include <string>

#include "woolly/error.h"

namespace woolly::cli {

/// As in CMakeLists.txt, and the commit where the build knows it: "0.1.0+4648a67", or "0.1.0+4648a67.dirty" of files that
/// differ from it. Written by cmake/commit.cmake at each build.
std::string version_number();

/// Version, compiler, build type and the kernel table that this machine runs on; the error where WOOLLY_ISA names none.
Result<std::string> version_text();

}  // namespace woolly::cli
