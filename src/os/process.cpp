#include "os/process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>

#include "base/assert.h"

namespace woolly::os {
namespace {

constexpr std::size_t kMaxErrors = std::size_t{64} << 10U;

Error failed(const char* what, int error) {
  return {ErrorCode::kIo, fmt::format("{}: {}", what, std::strerror(error))};
}

/// A file without a name that a program writes to: with no pipe there is nothing to empty while it runs.
class Capture {
 public:
  static Result<Capture> create(const char* name) {
    Capture capture;
    capture.file_ = memfd_create(name, MFD_CLOEXEC);
    if (capture.file_ < 0) return failed("memfd_create", errno);
    return capture;
  }
  Capture(Capture&& other) noexcept : file_(std::exchange(other.file_, -1)) {}
  Capture& operator=(Capture&&) = delete;
  ~Capture() {
    if (file_ >= 0) close(file_);
  }

  [[nodiscard]] int file() const noexcept { return file_; }

  [[nodiscard]] Result<std::size_t> size() const {
    struct stat status = {};
    if (fstat(file_, &status) != 0) return failed("fstat", errno);
    return static_cast<std::size_t>(status.st_size);
  }

  /// The last `n` of its `size` bytes.
  [[nodiscard]] Result<std::string> read_end(std::size_t size, std::size_t n) const {
    std::string text(n, '\0');
    for (std::size_t at = 0; at < n;) {
      const ssize_t got = pread(file_, text.data() + at, n - at, static_cast<off_t>(size - n + at));
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) return failed("read", got == 0 ? EIO : errno);
      at += static_cast<std::size_t>(got);
    }
    return text;
  }

 private:
  Capture() = default;
  int file_ = -1;
};

/// Where the program's files go and what it inherits: the signals that this program ignores or catches are as usual.
class SpawnSetup {
 public:
  SpawnSetup(int output, int errors) {
    posix_spawn_file_actions_init(&actions_);
    posix_spawn_file_actions_addopen(&actions_, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions_, output, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions_, errors, STDERR_FILENO);
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGPIPE);
    sigaddset(&signals, SIGINT);
    posix_spawnattr_init(&attributes_);
    posix_spawnattr_setsigdefault(&attributes_, &signals);
    posix_spawnattr_setflags(&attributes_, POSIX_SPAWN_SETSIGDEF);
  }
  SpawnSetup(const SpawnSetup&) = delete;
  SpawnSetup& operator=(const SpawnSetup&) = delete;
  ~SpawnSetup() {
    posix_spawn_file_actions_destroy(&actions_);
    posix_spawnattr_destroy(&attributes_);
  }

  posix_spawn_file_actions_t actions_;
  posix_spawnattr_t attributes_;
};

Result<pid_t> start(const std::vector<std::string>& arguments, int output, int errors) {
  std::vector<std::string> words = arguments;  // posix_spawn wants them writable
  std::vector<char*> pointers;
  pointers.reserve(words.size() + 1);
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  const SpawnSetup setup(output, errors);
  pid_t id = 0;
  const int error = posix_spawnp(&id, pointers[0], &setup.actions_, &setup.attributes_, pointers.data(), environ);
  if (error == 0) return id;
  const ErrorCode code = error == ENOENT || error == ENOTDIR ? ErrorCode::kNotFound : ErrorCode::kIo;
  return Error{code, fmt::format("{}: cannot be run: {}", arguments[0], std::strerror(error))};
}

Result<int> wait_for(pid_t id) {
  int status = 0;
  while (waitpid(id, &status, 0) < 0) {
    if (errno != EINTR) return failed("waitpid", errno);
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

}  // namespace

Result<ProcessEnd> run_process(const std::vector<std::string>& arguments) {
  WOOLLY_ASSERT(!arguments.empty());
  WOOLLY_TRY(const Capture output, Capture::create("stdout"));
  WOOLLY_TRY(const Capture errors, Capture::create("stderr"));
  WOOLLY_TRY(const pid_t id, start(arguments, output.file(), errors.file()));
  ProcessEnd end;
  WOOLLY_TRY(end.status, wait_for(id));
  WOOLLY_TRY(const std::size_t n_output, output.size());
  if (n_output > kMaxProcessOutput) {
    return Error{ErrorCode::kLimitExceeded,
                 fmt::format("{}: wrote {} bytes, allowed are {}", arguments[0], n_output, kMaxProcessOutput)};
  }
  WOOLLY_TRY(end.output, output.read_end(n_output, n_output));
  WOOLLY_TRY(const std::size_t n_errors, errors.size());
  WOOLLY_TRY(end.errors, errors.read_end(n_errors, std::min(n_errors, kMaxErrors)));
  return end;
}

void raise_file_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);  // with fewer, connections wait
}

}  // namespace woolly::os
