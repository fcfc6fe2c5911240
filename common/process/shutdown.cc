#include "common/process/shutdown.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "common/sync/mutex.h"
#include "common/time/clock.h"

namespace slipway {
namespace {

sigset_t StopSignals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  return set;
}

void Require(bool ok, const char* what) {
  if (ok) return;
  std::perror(what);
  std::abort();
}

}  // namespace

struct ShutdownSignal::State {
  Mutex mutex;
  // What asked first; empty while nothing has.
  std::string reason GUARDED_BY(mutex);
};

ShutdownSignal::ShutdownSignal() : state_(std::make_unique<State>()) {
  const sigset_t set = StopSignals();
  Require(pthread_sigmask(SIG_BLOCK, &set, nullptr) == 0, "pthread_sigmask");
  // A peer that hangs up is an error of one write, not the end of the program.
  std::signal(SIGPIPE, SIG_IGN);
  signal_fd_ = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  Require(signal_fd_ >= 0, "signalfd");
  event_fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  Require(event_fd_ >= 0, "eventfd");
}

ShutdownSignal::~ShutdownSignal() {
  close(signal_fd_);
  close(event_fd_);
}

std::string ShutdownSignal::Wait() {
  while (!Poll(/*timeout_ms=*/-1)) {
  }
  MutexLock lock(state_->mutex);
  return state_->reason;
}

bool ShutdownSignal::WaitFor(absl::Duration timeout) {
  const absl::Duration give_up = Clock::Real().Monotonic() + timeout;
  for (;;) {
    const absl::Duration left = std::max(give_up - Clock::Real().Monotonic(), absl::ZeroDuration());
    // Rounded up, so that a wait below a millisecond does not spin; an hour at most, since poll
    // counts in int.
    const int64_t ms = std::min<int64_t>(absl::ToInt64Milliseconds(left) + 1, 3'600'000);
    if (Poll(left == absl::ZeroDuration() ? 0 : static_cast<int>(ms))) return true;
    if (left == absl::ZeroDuration()) return false;
  }
}

void ShutdownSignal::Trigger(const std::string& reason) {
  {
    MutexLock lock(state_->mutex);
    if (state_->reason.empty()) state_->reason = reason.empty() ? "stopped" : reason;
  }
  const uint64_t one = 1;
  // Fails only where the counter is full, and then the wish is known.
  [[maybe_unused]] const ssize_t written = write(event_fd_, &one, sizeof one);
}

void ShutdownSignal::ExitOnNextSignal() {
  const sigset_t set = StopSignals();
  std::signal(SIGTERM, SIG_DFL);
  std::signal(SIGINT, SIG_DFL);
  Require(pthread_sigmask(SIG_UNBLOCK, &set, nullptr) == 0, "pthread_sigmask");
}

bool ShutdownSignal::Poll(int timeout_ms) {
  // The event is never read, so that it wakes every waiter, now and later.
  pollfd fds[] = {{signal_fd_, POLLIN, 0}, {event_fd_, POLLIN, 0}};
  if (poll(fds, 2, timeout_ms) <= 0) return false;
  signalfd_siginfo info;
  if (fds[0].revents != 0 && read(signal_fd_, &info, sizeof info) == sizeof info) {
    Trigger(info.ssi_signo == SIGINT ? "SIGINT" : "SIGTERM");
    return true;
  }
  return fds[1].revents != 0;
}

}  // namespace slipway
