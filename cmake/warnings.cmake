# Flags that every target of ours is compiled with.
add_library(woolly_flags INTERFACE)
target_compile_options(woolly_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wold-style-cast -Wnon-virtual-dtor
  -Wcast-qual -Wundef -Wimplicit-fallthrough
  # The order of floating-point operations is part of the contract (docs/adr/0001-canonical-sums.md).
  -ffp-contract=off)
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  target_compile_options(woolly_flags INTERFACE -Wextra-semi -Wcomma -Wnull-dereference)  # g++ 12 sees null where there is none
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # g++ 12 reports these where there is nothing, inside the standard library's strings and vectors.
  target_compile_options(woolly_flags INTERFACE -Wno-maybe-uninitialized -Wno-stringop-overflow -Wno-restrict)
endif()
if(WOOLLY_WERROR)
  target_compile_options(woolly_flags INTERFACE -Werror)
endif()
# The lowest processor that the program starts on; only kernels/<isa> gets more (cmake/kernels.cmake).
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  add_compile_options(-march=x86-64-v2)
endif()
