// Runs the built program as a user does: a process with arguments, standard input and what it prints.
#pragma once

#include <gtest/gtest.h>
#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "support/temp_dir.h"

namespace woolly::test {

struct Outcome {
  int status = -1;  ///< The exit status; minus the signal that ended it.
  std::string out;
  std::string err;
  std::uint64_t most_memory = 0;  ///< That it had at once, in bytes; not less than this process had when it started it.
};

/// A program that has been started. Waits for its end when it goes.
class Process {
 public:
  /// `argv[0]` is looked up in PATH. `out` and `err` are files that it writes to.
  Process(const std::vector<std::string>& argv, const std::filesystem::path& in, const std::filesystem::path& out,
          const std::filesystem::path& err);
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  [[nodiscard]] pid_t id() const { return id_; }
  void interrupt() const;
  void terminate() const;
  /// As Outcome::status.
  int wait();
  /// As Outcome::most_memory, once it has ended.
  [[nodiscard]] std::uint64_t most_memory() const { return most_memory_; }

 private:
  pid_t id_;
  int status_ = 0;
  std::uint64_t most_memory_ = 0;
};

/// A test in a temporary folder, which is the working directory. `woolly` is the built program, and the store holds
/// stories260K under the name of the default model.
class CliTest : public testing::Test {
 protected:
  CliTest();
  ~CliTest() override;

  /// Skips the test where the reference files are missing; to be called first.
  void SetUp() override;

  Outcome woolly(std::vector<std::string> arguments, std::string_view input = "");
  Outcome shell(const std::string& command);

  /// Writes a file in the working directory.
  void write(const std::string& name, std::string_view bytes) const { folder_.write(name, bytes); }
  /// Where models lay before this test moved the store; empty where there was no such place.
  [[nodiscard]] static std::filesystem::path users_store();

 private:
  Outcome start_and_wait(const std::vector<std::string>& argv, std::string_view input);

  std::filesystem::path before_;
  TempDir folder_;
};

/// As --tokens takes them.
std::string comma_list(const std::vector<int>& ids);

std::string read_file(const std::filesystem::path& path);

/// The name of the default model, which in these tests is stories260K.
inline constexpr const char* kModel = "smollm2:135m";

/// Expects a single line on standard error that says "woolly: error: " and all of `parts`, and nothing else printed.
void expect_error(const Outcome& outcome, int status, const std::vector<std::string>& parts);

}  // namespace woolly::test
