#include "os/cpu.h"

#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#endif

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <iterator>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace woolly::os {
namespace {

#if defined(__x86_64__) || defined(__i386__)

constexpr bool bit(std::uint32_t word, unsigned position) noexcept { return ((word >> position) & 1u) != 0; }

struct Registers {
  std::uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
};

/// All zero where the processor has no such leaf.
Registers cpuid(std::uint32_t leaf, std::uint32_t subleaf = 0) noexcept {
  Registers r;
  if (__get_cpuid_count(leaf, subleaf, &r.eax, &r.ebx, &r.ecx, &r.edx) == 0) return {};
  return r;
}

/// Which register files the operating system saves on a switch. Only where CPUID says OSXSAVE.
std::uint64_t xcr0() noexcept {
  std::uint32_t low = 0;
  std::uint32_t high = 0;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (static_cast<std::uint64_t>(high) << 32) | low;
}

std::string brand() {
  char text[48] = {};
  if (cpuid(0x80000000u).eax < 0x80000004u) return {};
  for (std::uint32_t i = 0; i < 3; ++i) {
    const Registers r = cpuid(0x80000002u + i);
    std::memcpy(text + 16 * i, &r, 16);
  }
  const std::string_view all(text, strnlen(text, sizeof text));
  const std::size_t first = all.find_first_not_of(' ');
  if (first == std::string_view::npos) return {};
  return std::string(all.substr(first, all.find_last_not_of(' ') + 1 - first));
}

/// Asks Linux for the tile registers' state, which it saves only for processes that do (from 5.16 on).
bool may_use_tiles() {
  constexpr long kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM, asm/prctl.h
  constexpr long kTileData = 18;               // XFEATURE_XTILEDATA
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

// Bit positions: Intel SDM volume 2A, CPUID, table 3-8; AMD APM volume 3, appendix E.
CpuFeatures detect() {
  CpuFeatures features;
  features.model_name = brand();
  const Registers vendor = cpuid(0);
  features.is_amd = vendor.ebx == 0x68747541 && vendor.edx == 0x69746E65 && vendor.ecx == 0x444D4163;  // "AuthenticAMD"
  const Registers leaf1 = cpuid(1);
  const bool fma = bit(leaf1.ecx, 12);
  const bool osxsave = bit(leaf1.ecx, 27);
  const bool avx = bit(leaf1.ecx, 28);
  const bool f16c = bit(leaf1.ecx, 29);
  if (!osxsave) return features;

  constexpr std::uint64_t kYmmState = 0x06;  // SSE and AVX
  constexpr std::uint64_t kZmmState = 0xE6;  // these and opmask, ZMM_Hi256, Hi16_ZMM
  const std::uint64_t saved = xcr0();
  if ((saved & kYmmState) != kYmmState) return features;

  const Registers leaf7 = cpuid(7);
  const Registers leaf7_1 = leaf7.eax >= 1 ? cpuid(7, 1) : Registers{};
  features.avx2 = avx && fma && f16c && bit(leaf7.ebx, 3) && bit(leaf7.ebx, 5) && bit(leaf7.ebx, 8);
  features.avx_vnni = features.avx2 && bit(leaf7_1.eax, 4);
  if ((saved & kZmmState) != kZmmState) return features;

  features.avx512 = features.avx2 && bit(leaf7.ebx, 16) && bit(leaf7.ebx, 17) && bit(leaf7.ebx, 28) &&
                    bit(leaf7.ebx, 30) && bit(leaf7.ebx, 31);
  features.avx512_vbmi = features.avx512 && bit(leaf7.ecx, 1);
  features.avx512_vnni = features.avx512 && bit(leaf7.ecx, 11);
  features.avx512_bf16 = features.avx512 && bit(leaf7_1.eax, 5);

  constexpr std::uint64_t kTileState = 0x60000;  // XTILECFG, XTILEDATA
  const bool has_tiles =
      features.avx512_vnni && bit(leaf7.edx, 24) && (saved & kTileState) == kTileState && may_use_tiles();
  features.amx_int8 = has_tiles && bit(leaf7.edx, 25);
  features.amx_bf16 = has_tiles && bit(leaf7.edx, 22);
  return features;
}

#else

CpuFeatures detect() { return {}; }

#endif

// -- cores and quota ------------------------------------------------------------------------------------------------

using CpuId = std::uint32_t;
constexpr CpuId kMaxCpus = 65536;  // Far above any kernel's CONFIG_NR_CPUS (8192); bounds what a strange file can ask.

/// The beginning of a file of /proc or /sys; empty where it cannot be read. (Their size is not known beforehand.)
std::string read_text(const std::filesystem::path& path) {
  constexpr std::size_t kLimit = 64 * 1024;
  std::string text(kLimit, '\0');
  std::ifstream file(path, std::ios::binary);
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(file.gcount()));
  return text;
}

std::string_view trim(std::string_view text) noexcept {
  constexpr std::string_view kSpace = " \t\r\n";
  const std::size_t first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) + 1 - first);
}

/// Takes the part up to `separator` off the front of `rest`.
std::string_view take_until(std::string_view& rest, char separator) noexcept {
  const std::size_t end = std::min(rest.find(separator), rest.size());
  const std::string_view part = rest.substr(0, end);
  rest.remove_prefix(std::min(end + 1, rest.size()));
  return part;
}

template <typename T>
std::optional<T> parse_number(std::string_view text) noexcept {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

/// "0-3,8,10-11" ascending and without repeats; empty where any of it is not such a list.
std::vector<CpuId> parse_cpu_list(std::string_view text) {
  std::vector<CpuId> cpus;
  for (std::string_view rest = trim(text); !rest.empty();) {
    const std::string_view range = take_until(rest, ',');
    const std::size_t dash = std::min(range.find('-'), range.size());
    const auto first = parse_number<CpuId>(range.substr(0, dash));
    const auto last = dash == range.size() ? first : parse_number<CpuId>(range.substr(dash + 1));
    if (!first || !last || *last < *first || *last >= kMaxCpus) return {};
    for (CpuId cpu = *first; cpu <= *last; ++cpu) cpus.push_back(cpu);
  }
  std::sort(cpus.begin(), cpus.end());
  cpus.erase(std::unique(cpus.begin(), cpus.end()), cpus.end());
  return cpus;
}

/// The affinity mask of this thread.
std::vector<CpuId> affinity() {
  std::vector<CpuId> cpus;
  for (std::size_t n_cpus = 1024; n_cpus <= kMaxCpus; n_cpus *= 2) {  // EINVAL: the kernel's mask is larger
    cpu_set_t* set = CPU_ALLOC(n_cpus);
    if (set == nullptr) break;
    const std::size_t bytes = CPU_ALLOC_SIZE(n_cpus);
    const bool done = sched_getaffinity(0, bytes, set) == 0;
    const bool is_too_small = !done && errno == EINVAL;
    for (CpuId cpu = 0; done && cpu < n_cpus; ++cpu) {
      if (CPU_ISSET_S(cpu, bytes, set)) cpus.push_back(cpu);
    }
    CPU_FREE(set);
    if (!is_too_small) break;
  }
  return cpus;
}

std::vector<CpuId> allowed_cpus(const std::filesystem::path& root) {
  if (root == "/") return affinity();
  if (auto cpus = parse_cpu_list(read_text(root / "affinity")); !cpus.empty()) return cpus;
  return parse_cpu_list(read_text(root / "sys/devices/system/cpu/online"));
}

/// Without the efficiency cores of Intel's processors that have both kinds: all threads wait for the slowest at a barrier.
std::vector<CpuId> performance_cpus(const std::filesystem::path& root, std::vector<CpuId> cpus) {
  const auto fast = parse_cpu_list(read_text(root / "sys/devices/cpu_core/cpus"));
  std::vector<CpuId> both;
  std::ranges::set_intersection(cpus, fast, std::back_inserter(both));
  return both.empty() ? cpus : both;
}

/// How many distinct cores `cpus` (ascending) lie on: a CPU counts unless an SMT sibling before it has counted.
std::size_t count_cores(const std::filesystem::path& root, const std::vector<CpuId>& cpus) {
  std::size_t n_cores = 0;
  for (const CpuId cpu : cpus) {
    const auto topology = root / "sys/devices/system/cpu" / ("cpu" + std::to_string(cpu)) / "topology";
    auto siblings = parse_cpu_list(read_text(topology / "core_cpus_list"));
    if (siblings.empty()) siblings = parse_cpu_list(read_text(topology / "thread_siblings_list"));  // before Linux 5.3
    const bool is_counted = std::any_of(siblings.begin(), siblings.end(), [&](CpuId sibling) {
      return sibling < cpu && std::binary_search(cpus.begin(), cpus.end(), sibling);
    });
    if (!is_counted) ++n_cores;
  }
  return n_cores;
}

constexpr double kNoQuota = std::numeric_limits<double>::infinity();

double quota_of(std::optional<std::int64_t> quota_us, std::optional<std::int64_t> period_us) noexcept {
  if (!quota_us || !period_us || *quota_us <= 0 || *period_us <= 0) return kNoQuota;
  return static_cast<double>(*quota_us) / static_cast<double>(*period_us);
}

/// cgroup v2: "150000 100000" or "max 100000".
double quota_v2(const std::filesystem::path& group) {
  const std::string text = read_text(group / "cpu.max");
  std::string_view rest = trim(text);
  const std::string_view quota = take_until(rest, ' ');
  return quota_of(parse_number<std::int64_t>(quota), parse_number<std::int64_t>(rest));
}

/// cgroup v1: two files; a quota of -1 is none.
double quota_v1(const std::filesystem::path& group) {
  const std::string quota = read_text(group / "cpu.cfs_quota_us");
  const std::string period = read_text(group / "cpu.cfs_period_us");
  return quota_of(parse_number<std::int64_t>(trim(quota)), parse_number<std::int64_t>(trim(period)));
}

/// The smallest quota of `group` and all groups above it up to `mount`, in CPUs. A group that is not there (a container
/// sees its own group as the mount, while /proc may name it by its path outside) is passed over.
template <typename QuotaOf>
double smallest_quota(const std::filesystem::path& mount, std::string_view group, QuotaOf quota_of_group) {
  double smallest = quota_of_group(mount);
  std::filesystem::path at = mount;
  while (!group.empty()) {
    const std::string_view name = take_until(group, '/');
    if (name.empty()) continue;
    if (name == "..") break;  // outside of our cgroup namespace: not visible
    at /= name;
    smallest = std::min(smallest, quota_of_group(at));
  }
  return smallest;
}

/// The CPU quota of this process in CPUs, or kNoQuota. The mount points are the conventional ones.
double cgroup_quota(const std::filesystem::path& root) {
  const std::filesystem::path mounts = root / "sys/fs/cgroup";
  const std::string memberships = read_text(root / "proc/self/cgroup");
  double smallest = kNoQuota;
  for (std::string_view lines = memberships; !lines.empty();) {  // "hierarchy:controller,controller:/group"
    std::string_view group = take_until(lines, '\n');
    const std::string_view hierarchy = take_until(group, ':');
    const std::string_view controllers = take_until(group, ':');
    if (hierarchy == "0" && controllers.empty()) {
      smallest = std::min(smallest, smallest_quota(mounts, group, quota_v2));
      smallest = std::min(smallest, smallest_quota(mounts / "unified", group, quota_v2));
    }
    for (std::string_view rest = controllers; !rest.empty();) {
      if (take_until(rest, ',') != "cpu") continue;
      smallest = std::min(smallest, smallest_quota(mounts / "cpu", group, quota_v1));
      smallest = std::min(smallest, smallest_quota(mounts / controllers, group, quota_v1));
    }
  }
  return smallest;
}

/// `n`, but no more than the quota rounded up, and at least 1.
std::size_t limit_to_quota(std::size_t n, double quota) noexcept {
  const double limited = std::min(static_cast<double>(n), quota);
  const auto floor = static_cast<std::size_t>(limited);
  const std::size_t ceil = static_cast<double>(floor) < limited ? floor + 1 : floor;
  return std::max<std::size_t>(ceil, 1);
}

}  // namespace

const CpuFeatures& cpu() {
  static const CpuFeatures features = detect();
  return features;
}

std::size_t default_thread_count(const std::filesystem::path& root) {
  return limit_to_quota(count_cores(root, performance_cpus(root, allowed_cpus(root))), cgroup_quota(root));
}

std::size_t max_running_threads(const std::filesystem::path& root) {
  return limit_to_quota(allowed_cpus(root).size(), cgroup_quota(root));
}

}  // namespace woolly::os
