# cmake -DSOURCE_DIR=... -DVERSION=... -DOUTPUT=... -P commit.cmake
# Writes the function that tells which version this is, with the commit where git knows it: "0.1.0+4648a67", with
# ".dirty" behind it where files differ from the commit. Leaves the file alone where nothing changed.
execute_process(COMMAND git -C ${SOURCE_DIR} describe --always --dirty=.dirty --exclude=*
                OUTPUT_VARIABLE commit ERROR_QUIET OUTPUT_STRIP_TRAILING_WHITESPACE)
if(commit)
  string(PREPEND commit "+")
endif()
file(CONFIGURE OUTPUT ${OUTPUT} CONTENT [[
#include "cli/version.h"

namespace woolly::cli {
std::string version_number() { return "@VERSION@@commit@"; }
}  // namespace woolly::cli
]] @ONLY)
