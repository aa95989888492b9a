// The rows of the table of libraries, one a file.
#pragma once

#include "bench/blas/blas.h"

namespace woolly::bench {

extern const BlasLibrary kOpenBlas;
extern const BlasLibrary kOneDnn;

}  // namespace woolly::bench
