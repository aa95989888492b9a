// What the processor and the machine offer; found once at start.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>

namespace woolly::os {

/// Features that the processor has and the operating system saves (CPUID and XGETBV).
struct CpuFeatures {
  bool avx2 = false;  ///< With FMA, F16C and BMI2, as every processor with AVX2 that matters has.
  bool avx_vnni = false;
  bool avx512 = false;  ///< F, BW, DQ, VL and CD: x86-64-v4.
  bool avx512_vnni = false;
  bool avx512_vbmi = false;
  bool avx512_bf16 = false;
  bool amx_int8 = false;  ///< With AVX-512 VNNI; the system has agreed to save the tile registers of this process.
  bool amx_bf16 = false;  ///< Likewise.
  bool is_amd = false;    ///< Made by AMD.
  std::string model_name;  ///< As the processor calls itself; may be empty.
};

/// Detected on the first call; any thread.
const CpuFeatures& cpu();

/// How many threads inference should use: the cores in the affinity mask, SMT siblings counted once, of processors with two
/// kinds of cores those that are made for speed (if the mask has any), no more than the CPU quota of the cgroup and of those above it, rounded up (v1 and v2), at least 1. What cannot be read does not
/// limit. `root` stands for "/" so that tests can show other machines; there a file `root`/affinity, a list such as
/// "0-3,8", or else the CPUs that are online, stand for the affinity mask.
std::size_t default_thread_count(const std::filesystem::path& root = "/");

/// How many threads can run at the same moment: as above, but SMT siblings each count.
std::size_t max_running_threads(const std::filesystem::path& root = "/");

}  // namespace woolly::os
