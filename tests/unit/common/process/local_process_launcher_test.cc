#include "common/process/local_process_launcher.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <fstream>
#include <future>
#include <sstream>
#include <thread>

#include "tests/support/temp_dir.h"

namespace slipway {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class LocalProcessLauncherTest : public ::testing::Test {
 protected:
  static ProcessSpec Shell(const std::string& script) {
    ProcessSpec spec;
    spec.program = "/bin/sh";
    spec.args = {"-c", script};
    return spec;
  }

  ProcessSpec Logged(const std::string& script) const {
    ProcessSpec spec = Shell(script);
    spec.log_file = log_;
    return spec;
  }

  ProcessExit Run(const ProcessSpec& spec) {
    auto process = launcher_.Launch(spec);
    EXPECT_TRUE(process.ok()) << process.status();
    return *(*process)->Wait(absl::Seconds(30));
  }

  std::string Log() const {
    std::ifstream file(log_);
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
  }

  TempDir dir_;
  const std::string log_ = dir_ / "log";
  LocalProcessLauncher launcher_;
};

/// Holds on to a process that is no child of ours, whatever happens to its number.
class Stranger {
 public:
  explicit Stranger(pid_t pid) : fd_(static_cast<int>(syscall(SYS_pidfd_open, pid, 0))) {}
  ~Stranger() { close(fd_); }
  bool exists() const { return fd_ >= 0; }
  /// True when it ends within half a minute.
  bool Ends() const {
    pollfd poll_fd{fd_, POLLIN, 0};
    return fd_ < 0 || poll(&poll_fd, 1, 30'000) == 1;
  }

 private:
  const int fd_;
};

TEST_F(LocalProcessLauncherTest, TellsHowAProcessEnded) {
  EXPECT_EQ(Run(Shell("exit 0")).ToString(), "exited with code 0");
  EXPECT_EQ(Run(Shell("exit 3")).ToString(), "exited with code 3");
  EXPECT_EQ(Run(Shell("kill -SEGV $$")).ToString(), "was killed by SIGSEGV");
}

TEST_F(LocalProcessLauncherTest, GivesArgumentsEnvironmentAndFolder) {
  ProcessSpec spec = Logged("echo \"$1|$2|$ADDED|$INHERITED|$(pwd)\"");
  setenv("INHERITED", "ours", 1);
  spec.args.insert(spec.args.end(), {"name", "a b", "c'd"});
  spec.env = {{"ADDED", "x=y z"}};
  spec.working_dir = dir_.path();
  EXPECT_TRUE(Run(spec).ok());
  EXPECT_EQ(Log(), "a b|c'd|x=y z|ours|" + dir_.path().string() + "\n");
}

TEST_F(LocalProcessLauncherTest, GivesOnlyTheNamedEnvironmentWhenAsked) {
  ProcessSpec spec;
  spec.program = "/usr/bin/env";
  spec.env = {{"ONLY", "this"}};
  spec.inherit_env = false;
  spec.log_file = log_;
  EXPECT_TRUE(Run(spec).ok());
  EXPECT_EQ(Log(), "ONLY=this\n");
}

TEST_F(LocalProcessLauncherTest, AppendsBothOutputsToALogThatOnlyItsOwnerReads) {
  EXPECT_TRUE(Run(Logged("echo one")).ok());
  EXPECT_TRUE(Run(Logged("echo two >&2")).ok());
  EXPECT_EQ(Log(), "one\ntwo\n");
  struct stat info {};
  ASSERT_EQ(stat(log_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
}

TEST_F(LocalProcessLauncherTest, TheChildHasNoFileOfOursAndReadsNothing) {
  const int ours = open("/dev/null", O_RDONLY);  // not close-on-exec
  ASSERT_GE(ours, 3);
  ProcessSpec spec;
  spec.program = "/bin/ls";
  spec.args = {"/proc/self/fd"};
  spec.log_file = log_;
  EXPECT_TRUE(Run(spec).ok());
  close(ours);
  EXPECT_EQ(Log(), "0\n1\n2\n3\n") << "3 is the folder that ls reads";
  EXPECT_TRUE(Run(Shell("! read line")).ok());
}

TEST_F(LocalProcessLauncherTest, TheChildStartsWithDefaultSignalsThatNothingBlocks) {
  sigset_t blocked;
  sigset_t before;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &blocked, &before);
  const auto old = std::signal(SIGPIPE, SIG_IGN);
  // As a parent can leave it, and as the C library's own functions cannot make it.
  constexpr int kCancel = 32;
  const uint64_t ignored[4] = {reinterpret_cast<uintptr_t>(SIG_IGN)};
  uint64_t cancel[4];
  ::syscall(SYS_rt_sigaction, kCancel, ignored, cancel, sizeof(uint64_t));
  EXPECT_TRUE(Run(Logged("grep -E 'Sig(Blk|Ign)' /proc/self/status")).ok());
  ::syscall(SYS_rt_sigaction, kCancel, cancel, nullptr, sizeof(uint64_t));
  std::signal(SIGPIPE, old);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  EXPECT_EQ(Log(), "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
}

TEST_F(LocalProcessLauncherTest, SaysWhyAProgramCannotBeRun) {
  ProcessSpec spec;
  spec.program = "/no/such/program";
  absl::Status status = launcher_.Launch(spec).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()), HasSubstr("/no/such/program"));

  spec.program = dir_.path();
  EXPECT_EQ(launcher_.Launch(spec).status().code(), absl::StatusCode::kPermissionDenied);

  spec = Shell("exit 0");
  spec.working_dir = dir_ / "absent";
  status = launcher_.Launch(spec).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()), HasSubstr("absent"));

  spec = Shell("exit 0");
  spec.log_file = dir_ / "absent/log";
  EXPECT_EQ(launcher_.Launch(spec).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(LocalProcessLauncherTest, HoldsTheChildToItsLimits) {
  ProcessSpec spec = Logged("ulimit -n; ulimit -v");
  spec.max_open_files = 33;
  spec.max_memory_bytes = 1u << 30;
  EXPECT_TRUE(Run(spec).ok());
  EXPECT_EQ(Log(), "33\n1048576\n");
}

TEST_F(LocalProcessLauncherTest, WaitsNoLongerThanAskedAndMayBeAskedAgain) {
  auto process = launcher_.Launch(Shell("sleep 1000"));
  EXPECT_EQ((*process)->Wait(absl::Milliseconds(1)).status().code(),
            absl::StatusCode::kDeadlineExceeded);
  EXPECT_TRUE((*process)->Signal(SIGTERM).ok());
  EXPECT_EQ((*process)->Wait(absl::Seconds(30))->signal, SIGTERM);
  EXPECT_EQ((*process)->Wait()->signal, SIGTERM);
  EXPECT_TRUE((*process)->Signal(SIGTERM).ok()) << "it has ended already";
  (*process)->Kill();
}

TEST_F(LocalProcessLauncherTest, CallsBackOnceWhenTheProcessEndsAndTheCallbackMayLaunch) {
  std::promise<int> second;
  auto process = launcher_.Launch(Shell("exit 1"), [&](const ProcessExit& first_exit) {
    auto next = launcher_.Launch(Shell("exit 2"), [&, code = first_exit.code](const auto& exit) {
      second.set_value(10 * code + exit.code);
    });
    EXPECT_TRUE(next.ok()) << next.status();
  });
  ASSERT_TRUE(process.ok());
  EXPECT_EQ(second.get_future().get(), 12);
}

TEST_F(LocalProcessLauncherTest, KillTakesWhatTheProcessStarted) {
  // The grandchild ignores SIGTERM, so that only the group's SIGKILL ends it.
  auto process =
      launcher_.Launch(Logged("sh -c 'trap \"\" TERM; echo $$; while :; do sleep 1; done' & wait"));
  while (Log().find('\n') == std::string::npos) {
    ASSERT_FALSE((*process)->Wait(absl::Milliseconds(5)).ok());
  }
  const Stranger grandchild(std::stoi(Log()));
  ASSERT_TRUE(grandchild.exists());
  (*process)->Kill();
  EXPECT_EQ((*process)->Wait(absl::Seconds(30))->signal, SIGKILL);
  EXPECT_TRUE(grandchild.Ends());
}

TEST_F(LocalProcessLauncherTest, WhatAProcessLeavesInItsGroupGoesWithIt) {
  EXPECT_TRUE(Run(Logged("sleep 1000 & echo $!")).ok());
  EXPECT_TRUE(Stranger(std::stoi(Log())).Ends());
}

// PR_SET_PDEATHSIG fires when the THREAD that forked ends.
TEST_F(LocalProcessLauncherTest, AChildOutlivesTheThreadThatAskedForIt) {
  std::unique_ptr<Process> process;
  std::jthread([&] { process = *launcher_.Launch(Shell("kill -STOP $$; exit 7")); }).join();
  while (!process->Wait(absl::Milliseconds(1)).ok()) {
    ASSERT_TRUE(process->Signal(SIGCONT).ok());
  }
  EXPECT_EQ(process->Wait()->ToString(), "exited with code 7");
}

TEST_F(LocalProcessLauncherTest, ChildrenGoWithAParentThatIsKilled) {
  ProcessSpec spec;
  spec.program = SLIPWAY_TEST_BIN_DIR "/process_parent";
  spec.log_file = log_;
  auto parent = launcher_.Launch(spec);
  ASSERT_TRUE(parent.ok()) << parent.status();
  while (Log().find('\n') == std::string::npos) {
    ASSERT_FALSE((*parent)->Wait(absl::Milliseconds(5)).ok());
  }
  const Stranger child(std::stoi(Log()));
  ASSERT_TRUE(child.exists());
  ASSERT_TRUE((*parent)->Signal(SIGKILL).ok());
  EXPECT_TRUE(child.Ends());
}

TEST_F(LocalProcessLauncherTest, ChildrenGoWithTheLauncher) {
  std::unique_ptr<Process> process;
  std::promise<ProcessExit> told;
  {
    LocalProcessLauncher launcher;
    process = *launcher.Launch(Shell("trap '' TERM; while :; do sleep 1; done"),
                               [&](const ProcessExit& exit) { told.set_value(exit); });
  }
  EXPECT_EQ(process->Wait(absl::ZeroDuration())->signal, SIGKILL);
  EXPECT_EQ(told.get_future().get().signal, SIGKILL);
}

TEST_F(LocalProcessLauncherTest, ManyThreadsMayLaunch) {
  std::vector<std::jthread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&, i] {
      for (int round = 0; round < 5; ++round) {
        auto process = launcher_.Launch(Shell("exit " + std::to_string(i)));
        ASSERT_TRUE(process.ok()) << process.status();
        EXPECT_EQ((*process)->Wait(absl::Seconds(60))->code, i);
      }
    });
  }
}

TEST(SiblingProgramTest, FindsAProgramBesideThisOneOnly) {
  const auto found = SiblingProgram("process_parent");
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_THAT(*found, ::testing::EndsWith("/process_parent"));
  EXPECT_EQ(SiblingProgram("no-such-sibling").status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace slipway
