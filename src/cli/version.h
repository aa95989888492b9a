// What `woolly --version` prints.
#pragma once

#include <string>

#include "woolly/error.h"

namespace woolly::cli {

/// As in CMakeLists.txt.
std::string version_number();

/// Version, compiler, build type and the kernel table that this machine runs on; the error where WOOLLY_ISA names none.
Result<std::string> version_text();

}  // namespace woolly::cli
