#include "os/cpu.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <map>
#include <set>
#include <sstream>
#include <string>

namespace woolly::os {
namespace {

/// The files of /proc, /sys and the affinity mask of a machine, in a temporary folder.
class Machine {
 public:
  explicit Machine(const std::map<std::string, std::string>& files) {
    std::string name = (std::filesystem::temp_directory_path() / "woolly-cpu-XXXXXX").string();
    EXPECT_NE(mkdtemp(name.data()), nullptr);
    root_ = name;
    for (const auto& [path, text] : files) {
      std::filesystem::create_directories((root_ / path).parent_path());
      std::ofstream(root_ / path) << text;
    }
  }
  ~Machine() { std::filesystem::remove_all(root_); }
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;

  [[nodiscard]] const std::filesystem::path& root() const { return root_; }

 private:
  std::filesystem::path root_;
};

std::size_t threads(const std::map<std::string, std::string>& files) {
  return default_thread_count(Machine(files).root());
}

const std::string kOnline = "sys/devices/system/cpu/online";
const std::string kMembership = "proc/self/cgroup";

std::string topology(int cpu, const std::string& file) {
  return "sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/" + file;
}

/// Four cores of two threads; the siblings are CPU n and n + 4.
std::map<std::string, std::string> laptop() {
  std::map<std::string, std::string> files{{kOnline, "0-7\n"}};
  for (int cpu = 0; cpu < 8; ++cpu) {
    files[topology(cpu, "core_cpus_list")] = std::to_string(cpu % 4) + "," + std::to_string(cpu % 4 + 4) + "\n";
  }
  return files;
}

TEST(DefaultThreadCount, CountsTheCoresOfAVirtualMachine) {
  EXPECT_EQ(threads({{kOnline, "0-1\n"},
                     {topology(0, "thread_siblings_list"), "0\n"},
                     {topology(1, "thread_siblings_list"), "1\n"},
                     {kMembership, "0::/\n"}}),
            2u);
}

TEST(DefaultThreadCount, CountsSmtSiblingsOnce) {
  EXPECT_EQ(threads(laptop()), 4u);
  EXPECT_EQ(max_running_threads(Machine(laptop()).root()), 8u);
}

/// Eight performance cores of two threads and sixteen efficiency cores, as of 2023.
std::map<std::string, std::string> hybrid() {
  std::map<std::string, std::string> files{{kOnline, "0-31\n"},
                                           {"sys/devices/cpu_core/cpus", "0-15\n"},
                                           {"sys/devices/cpu_atom/cpus", "16-31\n"}};
  for (int cpu = 0; cpu < 32; ++cpu) {
    const int first = cpu / 2 * 2;
    files[topology(cpu, "core_cpus_list")] =
        cpu < 16 ? std::to_string(first) + "-" + std::to_string(first + 1) : std::to_string(cpu);
  }
  return files;
}

TEST(DefaultThreadCount, LeavesEfficiencyCoresOutUnlessThereAreNoOthers) {
  EXPECT_EQ(threads(hybrid()), 8u);
  auto files = hybrid();
  files["affinity"] = "14-19";
  EXPECT_EQ(threads(files), 1u);
  files["affinity"] = "16-19";
  EXPECT_EQ(threads(files), 4u);
}

TEST(DefaultThreadCount, CountsTheCoresOfTwoSockets) {
  std::map<std::string, std::string> files{{kOnline, "0-191\n"}, {kMembership, "0::/\n"}};
  for (int cpu = 0; cpu < 192; ++cpu) {  // 48 cores of two threads in each; the siblings are CPU n and n + 96
    files[topology(cpu, "core_cpus_list")] = std::to_string(cpu % 96) + "," + std::to_string(cpu % 96 + 96) + "\n";
  }
  EXPECT_EQ(threads(files), 96u);
  EXPECT_EQ(max_running_threads(Machine(files).root()), 192u);
  files["affinity"] = "0-47,96-143";  // one socket
  EXPECT_EQ(threads(files), 48u);
}

TEST(DefaultThreadCount, ReadsTheOlderNameOfTheSiblings) {
  EXPECT_EQ(threads({{kOnline, "0-1"},
                     {topology(0, "thread_siblings_list"), "0-1"},
                     {topology(1, "thread_siblings_list"), "0-1"}}),
            1u);
}

TEST(DefaultThreadCount, CountsOnlyCoresOfTheAffinityMask) {
  auto files = laptop();
  files["affinity"] = "1-2,5";  // 1 and 5 share a core
  EXPECT_EQ(threads(files), 2u);
  files["affinity"] = "4,6";  // the second threads of two cores
  EXPECT_EQ(threads(files), 2u);
}

TEST(DefaultThreadCount, RoundsAQuotaOfOneAndAHalfUp) {
  EXPECT_EQ(threads({{kOnline, "0-15"},
                     {kMembership, "0::/kubepods/pod7/app\n"},
                     {"sys/fs/cgroup/kubepods/pod7/app/cpu.max", "max 100000\n"},
                     {"sys/fs/cgroup/kubepods/pod7/cpu.max", "150000 100000\n"},
                     {"sys/fs/cgroup/kubepods/cpu.max", "1200000 100000\n"}}),
            2u);
}

TEST(DefaultThreadCount, ReadsTheQuotaWhereTheContainerIsTheMount) {
  EXPECT_EQ(threads({{kOnline, "0-15"}, {kMembership, "0::/\n"}, {"sys/fs/cgroup/cpu.max", "400000 100000\n"}}), 4u);
  // Without a cgroup namespace /proc names the group by its path outside of the container.
  EXPECT_EQ(
      threads({{kOnline, "0-15"}, {kMembership, "0::/docker/0123\n"}, {"sys/fs/cgroup/cpu.max", "400000 100000\n"}}),
      4u);
  EXPECT_EQ(threads({{kOnline, "0-15"}, {kMembership, "0::/../x\n"}, {"sys/fs/cgroup/cpu.max", "400000 100000"}}), 4u);
}

TEST(DefaultThreadCount, IsAtLeastOneForASmallQuota) {
  EXPECT_EQ(threads({{kOnline, "0-3"}, {kMembership, "0::/a"}, {"sys/fs/cgroup/a/cpu.max", "5000 100000"}}), 1u);
}

TEST(DefaultThreadCount, IgnoresAQuotaAboveTheCores) {
  EXPECT_EQ(threads({{kOnline, "0-3"}, {kMembership, "0::/a"}, {"sys/fs/cgroup/a/cpu.max", "6400000 100000"}}), 4u);
}

TEST(DefaultThreadCount, ReadsAVersionOneQuota) {
  std::map<std::string, std::string> files{{kOnline, "0-7"},
                                           {kMembership, "5:memory:/m\n4:cpu,cpuacct:/docker/42\n1:name=systemd:/s\n"},
                                           {"sys/fs/cgroup/cpu,cpuacct/docker/42/cpu.cfs_quota_us", "250000\n"},
                                           {"sys/fs/cgroup/cpu,cpuacct/docker/42/cpu.cfs_period_us", "100000\n"}};
  EXPECT_EQ(threads(files), 3u);
  files["sys/fs/cgroup/cpu,cpuacct/docker/42/cpu.cfs_quota_us"] = "-1\n";
  EXPECT_EQ(threads(files), 8u);
  files["sys/fs/cgroup/cpu/cpu.cfs_quota_us"] = "100000\n";  // the usual link beside the combined name
  files["sys/fs/cgroup/cpu/cpu.cfs_period_us"] = "50000\n";
  EXPECT_EQ(threads(files), 2u);
}

TEST(DefaultThreadCount, IsOneWhereNothingCanBeRead) {
  EXPECT_EQ(threads({}), 1u);
  EXPECT_EQ(default_thread_count("/nonexistent/machine"), 1u);
}

TEST(DefaultThreadCount, SurvivesGarbage) {
  for (const char* garbage :
       {"", "\n", "x", "-", "0-", "-3", "3-1", "0-99999999999999999999", "0-4000000000", ",,,", "0;1", "1 2 3", "max",
        "max max", "100000us", "-1 100000", "100000 0", "nan inf", "::::"}) {
    SCOPED_TRACE(garbage);
    // As the list of CPUs, no core is known.
    EXPECT_EQ(threads({{kOnline, garbage}}), 1u);
    // As anything else, it does not limit.
    EXPECT_EQ(threads({{"affinity", "0-1"},
                       {topology(0, "core_cpus_list"), garbage},
                       {topology(1, "core_cpus_list"), garbage},
                       {kMembership, "0::/a\n2:cpu:/b\n"},
                       {"sys/fs/cgroup/a/cpu.max", garbage},
                       {"sys/fs/cgroup/cpu/b/cpu.cfs_quota_us", garbage},
                       {"sys/fs/cgroup/cpu/b/cpu.cfs_period_us", garbage}}),
              2u);
    EXPECT_EQ(threads({{"affinity", "0-1"}, {kMembership, garbage}}), 2u);
  }
}

TEST(DefaultThreadCount, SurvivesFoldersInPlaceOfFiles) {
  EXPECT_EQ(threads({{"affinity", "0-1"}, {kMembership + "/x", ""}, {topology(1, "core_cpus_list/x"), ""}}), 2u);
}

TEST(DefaultThreadCount, FollowsTheAffinityMaskOfThisThread) {
  cpu_set_t before;
  ASSERT_EQ(sched_getaffinity(0, sizeof before, &before), 0);
  std::size_t first = 0;
  while (!CPU_ISSET(first, &before)) ++first;
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(first, &one);
  ASSERT_EQ(sched_setaffinity(0, sizeof one, &one), 0);
  const std::size_t n_threads = default_thread_count();
  ASSERT_EQ(sched_setaffinity(0, sizeof before, &before), 0);
  EXPECT_EQ(n_threads, 1u);
  EXPECT_LE(default_thread_count(), max_running_threads());
}

/// The kernel's own list of features is an independent witness.
TEST(Cpu, AgreesWithTheKernel) {
  std::ifstream file("/proc/cpuinfo");
  std::set<std::string> flags;
  std::string model_name;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("model name")) model_name = line.substr(line.find(": ") + 2);
    if (!line.starts_with("flags")) continue;
    std::istringstream words(line.substr(line.find(':') + 1));
    for (std::string word; words >> word;) flags.insert(word);
    break;
  }
  if (!flags.contains("sse2")) GTEST_SKIP() << "no x86 flags in /proc/cpuinfo";
  const auto has = [&](std::initializer_list<const char*> names) {
    for (const char* name : names) {
      if (!flags.contains(name)) return false;
    }
    return true;
  };
  const bool avx2 = has({"avx", "avx2", "fma", "f16c", "bmi1", "bmi2"});
  const bool avx512 = avx2 && has({"avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512cd"});
  EXPECT_EQ(cpu().avx2, avx2);
  EXPECT_EQ(cpu().avx_vnni, avx2 && has({"avx_vnni"}));
  EXPECT_EQ(cpu().avx512, avx512);
  EXPECT_EQ(cpu().avx512_vnni, avx512 && has({"avx512_vnni"}));
  EXPECT_EQ(cpu().avx512_vbmi, avx512 && has({"avx512vbmi"}));
  EXPECT_EQ(cpu().avx512_bf16, avx512 && has({"avx512_bf16"}));
  EXPECT_EQ(cpu().amx_int8, cpu().avx512_vnni && has({"amx_tile", "amx_int8"}));
  EXPECT_EQ(cpu().amx_bf16, cpu().avx512_vnni && has({"amx_tile", "amx_bf16"}));
  EXPECT_EQ(cpu().model_name, model_name.substr(0, model_name.find_last_not_of(' ') + 1));
}

}  // namespace
}  // namespace woolly::os
