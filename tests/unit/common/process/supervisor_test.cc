#include "common/process/supervisor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <deque>
#include <filesystem>
#include <fstream>

#include "common/process/local_process_launcher.h"
#include "common/sync/mutex.h"
#include "tests/support/fake_clock.h"
#include "tests/support/temp_dir.h"

namespace slipway {
namespace {

using ::testing::ElementsAre;
using Kind = SupervisorEvent::Kind;

TEST(BackoffTest, DoublesUpToItsMaximum) {
  Backoff backoff({.first_backoff = absl::Milliseconds(200), .max_backoff = absl::Seconds(1)});
  EXPECT_EQ(backoff.Next(absl::ZeroDuration()), absl::Milliseconds(200));
  EXPECT_EQ(backoff.Next(absl::Seconds(1)), absl::Milliseconds(400));
  EXPECT_EQ(backoff.Next(absl::Seconds(1)), absl::Milliseconds(800));
  EXPECT_EQ(backoff.Next(absl::Seconds(1)), absl::Seconds(1));
  EXPECT_EQ(backoff.Next(absl::Seconds(29)), absl::Seconds(1));
}

TEST(BackoffTest, StartsAnewAfterALongLife) {
  Backoff backoff({.first_backoff = absl::Milliseconds(200), .healthy_after = absl::Seconds(30)});
  backoff.Next(absl::ZeroDuration());
  backoff.Next(absl::ZeroDuration());
  EXPECT_EQ(backoff.Next(absl::Seconds(30)), absl::Milliseconds(200));
  EXPECT_EQ(backoff.Next(absl::Seconds(1)), absl::Milliseconds(400));
}

class SupervisorTest : public ::testing::Test {
 protected:
  static ProcessSpec Shell(const std::string& script) {
    ProcessSpec spec;
    spec.program = "/bin/sh";
    spec.args = {"-c", script};
    return spec;
  }

  /// The next event; waits for it.
  SupervisorEvent Next() {
    MutexLock lock(mutex_);
    while (events_.empty()) arrived_.Wait(mutex_);
    SupervisorEvent event = events_.front();
    events_.pop_front();
    return event;
  }

  Supervisor::OnEvent Record() {
    return [this](const SupervisorEvent& event) {
      MutexLock lock(mutex_);
      events_.push_back(event);
      arrived_.Signal();
    };
  }

  TempDir dir_;
  FakeClock clock_;
  Mutex mutex_;
  CondVar arrived_;
  std::deque<SupervisorEvent> events_ GUARDED_BY(mutex_);
  LocalProcessLauncher launcher_;
};

TEST_F(SupervisorTest, StartsAChildAgainWithGrowingWaitsThatALongLifeResets) {
  Supervisor supervisor(launcher_, clock_, {}, Record());
  ASSERT_TRUE(supervisor.Start("registry", Shell("exec sleep 1000")).ok());
  SupervisorEvent started = Next();
  EXPECT_EQ(started.kind, Kind::kStarted);
  EXPECT_EQ(supervisor.Children().at(0).pid, started.pid);

  // Lives of 0, 1 and 31 seconds.
  const absl::Duration lives[] = {absl::ZeroDuration(), absl::Seconds(1), absl::Seconds(31)};
  const absl::Duration waits[] = {absl::Milliseconds(200), absl::Milliseconds(400),
                                  absl::Milliseconds(200)};
  for (int i = 0; i < 3; ++i) {
    clock_.Advance(lives[i]);
    ASSERT_EQ(kill(static_cast<pid_t>(started.pid), SIGKILL), 0);
    const SupervisorEvent exited = Next();
    EXPECT_EQ(exited.kind, Kind::kExited);
    EXPECT_EQ(exited.exit->signal, SIGKILL);
    EXPECT_EQ(exited.restart_in, waits[i]);
    EXPECT_EQ(supervisor.Children().at(0).pid, 0);
    clock_.Advance(waits[i]);
    const int64_t old = started.pid;
    started = Next();
    EXPECT_EQ(started.kind, Kind::kStarted);
    EXPECT_NE(started.pid, old);
    EXPECT_EQ(supervisor.Children().at(0).restarts, i + 1);
  }
}

TEST_F(SupervisorTest, DoesNotStartAgainBeforeTheWaitIsOver) {
  Supervisor supervisor(launcher_, clock_, {}, Record());
  ASSERT_TRUE(supervisor.Start("crashing", Shell("exit 4")).ok());
  EXPECT_EQ(Next().kind, Kind::kStarted);
  const SupervisorEvent exited = Next();
  EXPECT_EQ(exited.exit->code, 4);
  clock_.Advance(exited.restart_in - absl::Nanoseconds(1));
  {
    // Several turns of the supervisor's own wait.
    MutexLock lock(mutex_);
    EXPECT_FALSE(arrived_.WaitFor(mutex_, std::chrono::milliseconds(100)));
    EXPECT_TRUE(events_.empty());
  }
  clock_.Advance(absl::Nanoseconds(1));
  EXPECT_EQ(Next().kind, Kind::kStarted);
}

TEST_F(SupervisorTest, TriesOnWhenAProgramIsGoneForAWhile) {
  const std::string program = dir_ / "program";
  std::filesystem::copy("/bin/true", program);
  ProcessSpec spec;
  spec.program = program;
  Supervisor supervisor(launcher_, clock_, {}, Record());
  ASSERT_TRUE(supervisor.Start("upgraded", spec).ok());
  EXPECT_EQ(Next().kind, Kind::kStarted);
  EXPECT_EQ(Next().kind, Kind::kExited);
  std::filesystem::remove(program);
  clock_.Advance(absl::Seconds(1));
  const SupervisorEvent failed = Next();
  EXPECT_EQ(failed.kind, Kind::kStartFailed);
  EXPECT_EQ(failed.error.code(), absl::StatusCode::kNotFound);
  std::filesystem::copy("/bin/true", program);
  clock_.Advance(absl::Seconds(1));
  EXPECT_EQ(Next().kind, Kind::kStarted);
}

TEST_F(SupervisorTest, AFirstStartThatFailsIsTheCallersToSee) {
  ProcessSpec spec;
  spec.program = "/no/such/program";
  Supervisor supervisor(launcher_, clock_, {}, Record());
  EXPECT_EQ(supervisor.Start("wrong", spec).code(), absl::StatusCode::kNotFound);
  EXPECT_TRUE(supervisor.Children().empty());
  ASSERT_TRUE(supervisor.Start("right", Shell("exec sleep 1000")).ok());
  EXPECT_EQ(supervisor.Start("right", Shell("exit 0")).code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(supervisor.Stop("unknown").code(), absl::StatusCode::kNotFound);
}

TEST_F(SupervisorTest, StopsInReverseOrderEachBeforeTheNextAndStartsNoneAgain) {
  const std::string log = dir_ / "log";
  Supervisor supervisor(launcher_, clock_, {}, Record());
  for (const char* name : {"one", "two", "three"}) {
    ProcessSpec spec = Shell(std::string("trap 'echo ") + name +
                             "; exit 0' TERM; echo ready >&2; while :; do sleep 1 & wait; done");
    spec.log_file = log;
    ASSERT_TRUE(supervisor.Start(name, spec).ok());
    EXPECT_EQ(Next().kind, Kind::kStarted);
  }
  const auto lines = [&] {
    std::vector<std::string> found;
    std::ifstream file(log);
    for (std::string line; std::getline(file, line);) found.push_back(line);
    return found;
  };
  while (lines().size() < 3) {
    MutexLock lock(mutex_);
    arrived_.WaitFor(mutex_, std::chrono::milliseconds(5));
  }
  supervisor.StopAll();
  EXPECT_THAT(lines(), ElementsAre("ready", "ready", "ready", "three", "two", "one"));
  EXPECT_TRUE(supervisor.Children().empty());
  MutexLock lock(mutex_);
  EXPECT_TRUE(events_.empty()) << "a stop is no exit to recover from";
}

TEST_F(SupervisorTest, KillsAChildThatIgnoresSigtermAfterTheGrace) {
  const std::string log = dir_ / "log";
  Supervisor supervisor(launcher_, clock_, {.stop_grace = absl::Milliseconds(50)}, Record());
  ProcessSpec spec = Shell("trap '' TERM; echo ready; while :; do sleep 1; done");
  spec.log_file = log;
  ASSERT_TRUE(supervisor.Start("stubborn", spec).ok());
  while (std::filesystem::file_size(log) == 0) {
    MutexLock lock(mutex_);
    arrived_.WaitFor(mutex_, std::chrono::milliseconds(5));
  }
  const auto pid = static_cast<pid_t>(supervisor.Children().at(0).pid);
  EXPECT_TRUE(supervisor.Stop("stubborn").ok());
  EXPECT_EQ(kill(pid, 0), -1) << "it still runs";
}

}  // namespace
}  // namespace slipway
