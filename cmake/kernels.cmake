# THE table of instruction sets, weakest first: name; compile flags; the set whose kernels of integers it takes, if not its
# own. The processor features that each needs stand in src/kernels/dispatch.cpp, one row a set. src/kernels/impl/*.cpp is
# compiled once for each row, and no other code of ours gets these flags.
set(WOOLLY_ISAS scalar)
set(WOOLLY_ISA_FLAGS_scalar "")
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  list(APPEND WOOLLY_ISAS avx2 avxvnni avxvnni_evex avx512 avx512_bf16 amx)
  set(WOOLLY_ISA_FLAGS_avx2 -march=x86-64-v3)
  set(WOOLLY_ISA_FLAGS_avxvnni -march=x86-64-v3 -mavxvnni)
  set(WOOLLY_ISA_FLAGS_avxvnni_evex -march=x86-64-v3 -mavx512vl -mavx512vnni)
  set(WOOLLY_ISA_FLAGS_avx512 -march=x86-64-v4 -mavx512vnni)
  set(WOOLLY_ISA_FLAGS_avx512_bf16 -march=x86-64-v4 -mavx512vnni -mavx512bf16)
  set(WOOLLY_ISA_INTEGERS_avx512_bf16 avx512)
  set(WOOLLY_ISA_FLAGS_amx -march=x86-64-v4 -mavx512vnni -mavx512bf16 -mamx-tile -mamx-int8 -mamx-bf16)
endif()

set(WOOLLY_KERNEL_SOURCES ${CMAKE_SOURCE_DIR}/src/kernels/impl/attention.cpp
                          ${CMAKE_SOURCE_DIR}/src/kernels/impl/matmul_float.cpp
                          ${CMAKE_SOURCE_DIR}/src/kernels/impl/recurrence.cpp
                          ${CMAKE_SOURCE_DIR}/src/kernels/impl/table.cpp)
set(WOOLLY_INTEGER_KERNEL_SOURCES ${CMAKE_SOURCE_DIR}/src/kernels/impl/matmul_32.cpp
                                  ${CMAKE_SOURCE_DIR}/src/kernels/impl/matmul_256.cpp
                                  ${CMAKE_SOURCE_DIR}/src/kernels/impl/matmul_flat.cpp)

# woolly_kernel_objects(<target> <isa>): the kernels of one instruction set as an object library.
function(woolly_kernel_objects target isa)
  string(TOUPPER ${isa} upper)
  set(integers ${WOOLLY_ISA_INTEGERS_${isa}})
  add_library(${target} OBJECT ${WOOLLY_KERNEL_SOURCES})
  if(NOT integers)
    set(integers ${isa})
    target_sources(${target} PRIVATE ${WOOLLY_INTEGER_KERNEL_SOURCES})
  endif()
  target_include_directories(${target} PRIVATE ${CMAKE_SOURCE_DIR}/src ${CMAKE_SOURCE_DIR}/include)
  target_link_libraries(${target} PRIVATE woolly_flags)
  # Kernels neither set errno nor look at floating-point flags, and nothing in them throws.
  target_compile_options(${target} PRIVATE ${WOOLLY_ISA_FLAGS_${isa}} -fno-math-errno -fno-trapping-math -fno-exceptions)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # The warning is in g++ 12's own intrinsics headers. Its vectorizer makes one fused fmaddsub of the two lines of a
    # rotation in spite of -ffp-contract=off.
    target_compile_options(${target} PRIVATE -Wno-uninitialized -fno-tree-vectorize)
  endif()
  target_compile_definitions(${target} PRIVATE WOOLLY_ISA=${isa} WOOLLY_INTEGER_ISA=${integers} WOOLLY_ISA_${upper}=1)
endfunction()
