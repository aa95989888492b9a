#include "cli/program.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <iterator>

#include "support/shared.h"

namespace woolly::test {
namespace {

namespace fs = std::filesystem;

void redirect(int to, const fs::path& path, int flags) {
  const int file = open(path.c_str(), flags, 0600);
  if (file < 0 || dup2(file, to) < 0) _exit(126);
  close(file);
}

/// Remembered before a test changes the environment.
fs::path& users_store_path() {
  static fs::path path = [] {
    const char* data = std::getenv("XDG_DATA_HOME");
    const char* home = std::getenv("HOME");
    if (data != nullptr && *data == '/') return fs::path(data) / "woolly/models";
    return home != nullptr ? fs::path(home) / ".local/share/woolly/models" : fs::path();
  }();
  return path;
}

}  // namespace

Process::Process(const std::vector<std::string>& argv, const fs::path& in, const fs::path& out, const fs::path& err) {
  std::vector<char*> pointers;
  for (const std::string& argument : argv) pointers.push_back(const_cast<char*>(argument.c_str()));
  pointers.push_back(nullptr);
  id_ = fork();
  if (id_ != 0) return;
  redirect(0, in, O_RDONLY);
  redirect(1, out, O_WRONLY | O_CREAT | O_TRUNC);
  redirect(2, err, O_WRONLY | O_CREAT | O_TRUNC);
  execvp(pointers[0], pointers.data());
  _exit(127);
}

Process::~Process() { wait(); }

void Process::interrupt() const { kill(id_, SIGINT); }

void Process::terminate() const { kill(id_, SIGTERM); }

int Process::wait() {
  if (id_ <= 0) return status_;
  int status = 0;
  rusage usage{};
  wait4(id_, &status, 0, &usage);
  most_memory_ = static_cast<std::uint64_t>(usage.ru_maxrss) << 10U;
  id_ = 0;
  status_ = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  return status_;
}

CliTest::CliTest() : before_(fs::current_path()) {
  users_store_path();
  fs::current_path(folder_.path());
  const std::string path = fs::path(WOOLLY_PROGRAM).parent_path().string() + ":" + std::getenv("PATH");
  setenv("PATH", path.c_str(), 1);
  setenv("XDG_DATA_HOME", (folder_.path() / "data").c_str(), 1);
}

CliTest::~CliTest() { fs::current_path(before_); }

void CliTest::SetUp() {
  WOOLLY_NEEDS_SHARED("models/stories260K.gguf");
  const fs::path models = folder_.path() / "data/woolly/models";
  fs::create_directories(models);
  fs::copy_file(shared("models/stories260K.gguf"), models / "smollm2-135m.gguf");
}

fs::path CliTest::users_store() { return users_store_path(); }

Outcome CliTest::start_and_wait(const std::vector<std::string>& argv, std::string_view input) {
  write("stdin", input);
  Process process(argv, "stdin", "stdout", "stderr");
  const int status = process.wait();
  return {status, read_file("stdout"), read_file("stderr"), process.most_memory()};
}

Outcome CliTest::woolly(std::vector<std::string> arguments, std::string_view input) {
  arguments.insert(arguments.begin(), WOOLLY_PROGRAM);
  return start_and_wait(arguments, input);
}

Outcome CliTest::shell(const std::string& command) { return start_and_wait({"sh", "-c", command}, ""); }

std::string comma_list(const std::vector<int>& ids) {
  std::string list;
  for (const int id : ids) list.append(list.empty() ? "" : ",").append(std::to_string(id));
  return list;
}

std::string read_file(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file.is_open()) << path;
  return {std::istreambuf_iterator<char>(file), {}};
}

void expect_error(const Outcome& outcome, int status, const std::vector<std::string>& parts) {
  EXPECT_EQ(outcome.status, status) << outcome.err;
  EXPECT_EQ(outcome.out, "");
  EXPECT_TRUE(outcome.err.starts_with("woolly: error: ")) << outcome.err;
  EXPECT_EQ(std::ranges::find(outcome.err, '\n') - outcome.err.begin() + 1, std::ssize(outcome.err)) << outcome.err;
  for (const std::string& part : parts)
    EXPECT_NE(outcome.err.find(part), std::string::npos) << part << "\n" << outcome.err;
}

}  // namespace woolly::test
