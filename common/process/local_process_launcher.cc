#include "common/process/local_process_launcher.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <map>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "common/sync/mutex.h"
#include "common/time/clock.h"
#include "fmt/format.h"

extern char** environ;

namespace slipway {
namespace {

/// A file descriptor that closes with its owner.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Fd() {
    if (fd_ >= 0) close(fd_);
  }
  int get() const { return fd_; }
  bool ok() const { return fd_ >= 0; }

  /// The same above 2, where the child's dup2 cannot hit it; close-on-exec.
  void MoveAboveStandard() {
    if (fd_ < 0 || fd_ > 2) return;
    *this = Fd(fcntl(fd_, F_DUPFD_CLOEXEC, 3));
  }

 private:
  int fd_ = -1;
};

// glibc 2.36 has no wrappers that take what we need of these.
int PidfdOpen(pid_t pid) { return static_cast<int>(syscall(SYS_pidfd_open, pid, 0)); }
int PidfdSendSignal(int pidfd, int signal) {
  return static_cast<int>(syscall(SYS_pidfd_send_signal, pidfd, signal, nullptr, 0));
}

/// What the child says through the pipe when it does not get as far as the program.
struct ChildFailure {
  enum Step { kLimits, kFolder, kProgram, kStandard } step;
  int error;
};

/// All that the child needs, made before the fork: after it, in a process that had several
/// threads, only async-signal-safe calls are allowed, and malloc is none.
struct ChildPlan {
  explicit ChildPlan(const ProcessSpec& spec) : program(spec.program.c_str()) {
    argv.push_back(const_cast<char*>(spec.program.c_str()));
    for (const std::string& arg : spec.args) argv.push_back(const_cast<char*>(arg.c_str()));
    argv.push_back(nullptr);

    std::map<std::string, std::string> all;
    if (spec.inherit_env) {
      for (char** entry = environ; *entry != nullptr; ++entry) {
        const std::string_view text = *entry;
        const size_t equals = text.find('=');
        if (equals == std::string_view::npos) continue;
        all.emplace(text.substr(0, equals), text.substr(equals + 1));
      }
    }
    for (const auto& [key, value] : spec.env) all[key] = value;
    for (const auto& [key, value] : all) env_text.push_back(fmt::format("{}={}", key, value));
    for (std::string& entry : env_text) envp.push_back(entry.data());
    envp.push_back(nullptr);

    working_dir = spec.working_dir.empty() ? nullptr : spec.working_dir.c_str();
    if (spec.max_memory_bytes.has_value()) {
      memory = rlimit{*spec.max_memory_bytes, *spec.max_memory_bytes};
    }
    if (spec.max_open_files.has_value()) {
      open_files = rlimit{*spec.max_open_files, *spec.max_open_files};
    }
  }

  const char* program;
  std::vector<char*> argv;
  std::vector<std::string> env_text;
  std::vector<char*> envp;
  const char* working_dir;
  std::optional<rlimit> memory;
  std::optional<rlimit> open_files;
  int input = -1;
  int output = -1;  // -1: that of this process
  int failures = -1;
  pid_t parent = 0;
};

[[noreturn]] void Fail(const ChildPlan& plan, ChildFailure::Step step) {
  const ChildFailure failure{step, errno};
  [[maybe_unused]] const ssize_t written = write(plan.failures, &failure, sizeof failure);
  _exit(127);
}

void CloseOnExecAbove2() {
  if (syscall(SYS_close_range, 3u, ~0u, CLOSE_RANGE_CLOEXEC) == 0) return;
  // A kernel before 5.11.
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  const int end = static_cast<int>(std::min<rlim_t>(limit.rlim_cur, 1 << 20));
  for (int fd = 3; fd < end; ++fd) fcntl(fd, F_SETFD, FD_CLOEXEC);
}

/// The child's side of the fork. Async-signal-safe calls only.
[[noreturn]] void RunChild(const ChildPlan& plan) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  // The parent may have ended before the line above took effect.
  if (getppid() != plan.parent) _exit(127);
  setpgid(0, 0);

  // The kernel's own call with its own struct, all zero for SIG_DFL: the C library's refuses the
  // two signals that it keeps to itself, and a parent may have left those ignored as well.
  const uint64_t standard[4] = {};
  for (int signal = 1; signal < NSIG; ++signal) {
    syscall(SYS_rt_sigaction, signal, standard, nullptr, sizeof(uint64_t));
  }
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);

  if (dup2(plan.input, 0) < 0) Fail(plan, ChildFailure::kStandard);
  if (plan.output >= 0 && (dup2(plan.output, 1) < 0 || dup2(plan.output, 2) < 0)) {
    Fail(plan, ChildFailure::kStandard);
  }
  CloseOnExecAbove2();
  if (plan.memory.has_value() && setrlimit(RLIMIT_AS, &*plan.memory) != 0) {
    Fail(plan, ChildFailure::kLimits);
  }
  if (plan.open_files.has_value() && setrlimit(RLIMIT_NOFILE, &*plan.open_files) != 0) {
    Fail(plan, ChildFailure::kLimits);
  }
  if (plan.working_dir != nullptr && chdir(plan.working_dir) != 0) {
    Fail(plan, ChildFailure::kFolder);
  }
  execve(plan.program, plan.argv.data(), plan.envp.data());
  Fail(plan, ChildFailure::kProgram);
}

absl::Status ToStatus(const ChildFailure& failure, const ProcessSpec& spec) {
  switch (failure.step) {
    case ChildFailure::kLimits:
      return FromErrno(failure.error, "cannot set the limits of", spec.program);
    case ChildFailure::kFolder:
      return FromErrno(failure.error, "cannot change to", spec.working_dir);
    case ChildFailure::kStandard:
      return FromErrno(failure.error, "cannot redirect the output of", spec.program);
    case ChildFailure::kProgram:
      break;
  }
  return FromErrno(failure.error, "cannot run", spec.program);
}

/// One child, from its start to after its end. Shared by its handle and the reaper.
struct Child {
  pid_t pid = 0;
  Fd pidfd;
  ProcessLauncher::OnExit on_exit;

  Mutex mutex;
  CondVar ended;
  // Set in the moment it is reaped: until then nobody else can have its number.
  std::optional<ProcessExit> exit GUARDED_BY(mutex);

  void KillGroup() EXCLUDES(mutex) {
    MutexLock lock(mutex);
    if (!exit.has_value()) kill(-pid, SIGKILL);
  }

  /// Called when the pidfd is readable: the process is dead but not yet reaped.
  ProcessExit Reap() EXCLUDES(mutex) {
    MutexLock lock(mutex);
    // What it left behind in its group goes with it; its number is still taken.
    kill(-pid, SIGKILL);
    siginfo_t info = {};
    ProcessExit result;
    if (waitid(P_PIDFD, static_cast<id_t>(pidfd.get()), &info, WEXITED) != 0) {
      result.code = 127;  // another part of this program has waited for it
    } else if (info.si_code == CLD_EXITED) {
      result.code = info.si_status;
    } else {
      result.signal = info.si_status;
    }
    exit = result;
    ended.SignalAll();
    return result;
  }
};

class LocalProcess final : public Process {
 public:
  explicit LocalProcess(std::shared_ptr<Child> child) : child_(std::move(child)) {}

  int64_t pid() const override { return child_->pid; }

  absl::Status Signal(int signal) override {
    MutexLock lock(child_->mutex);
    if (child_->exit.has_value()) return absl::OkStatus();
    if (PidfdSendSignal(child_->pidfd.get(), signal) != 0 && errno != ESRCH) {
      return FromErrno(errno, "cannot signal process", fmt::format("{}", child_->pid));
    }
    return absl::OkStatus();
  }

  void Kill() override { child_->KillGroup(); }

  absl::StatusOr<ProcessExit> Wait(absl::Duration timeout) override {
    const absl::Duration give_up = Clock::Real().Monotonic() + timeout;
    MutexLock lock(child_->mutex);
    while (!child_->exit.has_value()) {
      if (timeout == absl::InfiniteDuration()) {
        child_->ended.Wait(child_->mutex);
        continue;
      }
      const absl::Duration left = give_up - Clock::Real().Monotonic();
      if (left <= absl::ZeroDuration()) {
        return absl::DeadlineExceededError(fmt::format("process {} still runs after {}",
                                                       child_->pid, absl::FormatDuration(timeout)));
      }
      child_->ended.WaitFor(child_->mutex, absl::ToChronoNanoseconds(left));
    }
    return *child_->exit;
  }

 private:
  const std::shared_ptr<Child> child_;
};

/// Forks and execs. On the spawning thread only.
absl::StatusOr<std::shared_ptr<Child>> Spawn(const ProcessSpec& spec) {
  ChildPlan plan(spec);
  Fd input(open("/dev/null", O_RDONLY | O_CLOEXEC));
  if (!input.ok()) return FromErrno(errno, "cannot open", "/dev/null");
  input.MoveAboveStandard();
  Fd output;
  if (!spec.log_file.empty()) {
    output = Fd(open(spec.log_file.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600));
    if (!output.ok()) return FromErrno(errno, "cannot open the log", spec.log_file);
    output.MoveAboveStandard();
  }
  int pipe_fds[2];
  if (pipe2(pipe_fds, O_CLOEXEC) != 0) return FromErrno(errno, "cannot start", spec.program);
  Fd failures_read(pipe_fds[0]);
  Fd failures_write(pipe_fds[1]);
  failures_write.MoveAboveStandard();

  plan.input = input.get();
  plan.output = output.get();
  plan.failures = failures_write.get();
  plan.parent = getpid();
  const pid_t pid = fork();
  if (pid == 0) RunChild(plan);
  if (pid < 0) {
    return absl::ResourceExhaustedError(FromErrno(errno, "cannot start", spec.program).message());
  }
  setpgid(pid, pid);  // as the child does: whoever comes first
  failures_write = Fd();

  auto child = std::make_shared<Child>();
  child->pid = pid;
  child->pidfd = Fd(PidfdOpen(pid));
  ChildFailure failure{};
  ssize_t got;
  do {
    got = read(failures_read.get(), &failure, sizeof failure);
  } while (got < 0 && errno == EINTR);
  if (got == 0 && child->pidfd.ok()) return child;

  const int error = errno;
  kill(pid, SIGKILL);
  while (waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
  if (got == sizeof failure) return ToStatus(failure, spec);
  return FromErrno(error, "cannot follow the process of", spec.program);
}

}  // namespace

class LocalProcessLauncher::Impl {
 public:
  Impl()
      : epoll_(epoll_create1(EPOLL_CLOEXEC)),
        wake_(eventfd(0, EFD_CLOEXEC)),
        reaper_([this] { ReapLoop(); }),
        spawner_([this] { SpawnLoop(); }) {}

  ~Impl() {
    std::vector<std::shared_ptr<Child>> left;
    {
      MutexLock lock(mutex_);
      stopping_ = true;
      for (const auto& [fd, child] : children_) left.push_back(child);
      changed_.SignalAll();
    }
    for (const auto& child : left) child->KillGroup();
    {
      // The spawning thread stays until all are gone, so that each ends in one way only.
      MutexLock lock(mutex_);
      while (!children_.empty() || !requests_.empty() || spawning_) changed_.Wait(mutex_);
      stopped_ = true;
      changed_.SignalAll();
    }
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = write(wake_.get(), &one, sizeof one);
  }

  absl::StatusOr<std::unique_ptr<Process>> Launch(const ProcessSpec& spec, OnExit on_exit)
      EXCLUDES(mutex_) {
    Request request{spec, std::move(on_exit), std::nullopt};
    MutexLock lock(mutex_);
    if (stopping_) return absl::UnavailableError("the process launcher is stopping");
    requests_.push_back(&request);
    changed_.SignalAll();
    while (!request.result.has_value()) changed_.Wait(mutex_);
    RETURN_IF_ERROR(request.result->status());
    return std::make_unique<LocalProcess>(**std::move(request.result));
  }

 private:
  struct Request {
    const ProcessSpec& spec;
    OnExit on_exit;
    std::optional<absl::StatusOr<std::shared_ptr<Child>>> result;
  };

  void SpawnLoop() EXCLUDES(mutex_) {
    for (;;) {
      Request* request = nullptr;
      {
        MutexLock lock(mutex_);
        while (requests_.empty() && !stopped_) changed_.Wait(mutex_);
        if (requests_.empty()) return;
        request = requests_.front();
        requests_.pop_front();
        spawning_ = true;
      }
      absl::StatusOr<std::shared_ptr<Child>> child = Spawn(request->spec);
      MutexLock lock(mutex_);
      spawning_ = false;
      if (child.ok()) {
        (*child)->on_exit = std::move(request->on_exit);
        Follow(*child);
        if (stopping_) (*child)->KillGroup();
      }
      request->result = std::move(child);
      changed_.SignalAll();
    }
  }

  void Follow(const std::shared_ptr<Child>& child) REQUIRES(mutex_) {
    const int fd = child->pidfd.get();
    children_[fd] = child;
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = fd;
    epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event);
  }

  void ReapLoop() EXCLUDES(mutex_) {
    epoll_event wake{};
    wake.events = EPOLLIN;
    wake.data.fd = wake_.get();
    epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, wake_.get(), &wake);
    for (;;) {
      epoll_event event{};
      if (epoll_wait(epoll_.get(), &event, 1, /*timeout=*/-1) <= 0) continue;
      if (event.data.fd == wake_.get()) return;
      std::shared_ptr<Child> child;
      {
        MutexLock lock(mutex_);
        child = children_.at(event.data.fd);
      }
      epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, child->pidfd.get(), nullptr);
      const ProcessExit exit = child->Reap();
      if (child->on_exit) std::exchange(child->on_exit, nullptr)(exit);
      MutexLock lock(mutex_);
      children_.erase(event.data.fd);
      changed_.SignalAll();
    }
  }

  const Fd epoll_;
  const Fd wake_;
  // Taken before a Child's.
  Mutex mutex_;
  CondVar changed_;
  std::deque<Request*> requests_ GUARDED_BY(mutex_);
  std::map<int, std::shared_ptr<Child>> children_ GUARDED_BY(mutex_);  // by pidfd
  bool spawning_ GUARDED_BY(mutex_) = false;
  bool stopping_ GUARDED_BY(mutex_) = false;
  bool stopped_ GUARDED_BY(mutex_) = false;
  std::jthread reaper_;
  std::jthread spawner_;
};

LocalProcessLauncher::LocalProcessLauncher() : impl_(std::make_unique<Impl>()) {}
LocalProcessLauncher::~LocalProcessLauncher() = default;

absl::StatusOr<std::unique_ptr<Process>> LocalProcessLauncher::Launch(const ProcessSpec& spec,
                                                                      OnExit on_exit) {
  return impl_->Launch(spec, std::move(on_exit));
}

absl::StatusOr<std::string> SiblingProgram(const std::string& name) {
  std::error_code error;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error) return FromErrno(error.value(), "cannot read", "/proc/self/exe");
  const std::string path = (self.parent_path() / name).string();
  if (access(path.c_str(), X_OK) != 0) return FromErrno(errno, "cannot run", path);
  return path;
}

}  // namespace slipway
