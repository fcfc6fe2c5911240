#include "services/controller/local_worker_pool.h"

#include <csignal>

#include "common/runtime_settings/torchscript.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/fake_clock.h"

namespace slipway::controller {
namespace {

using ::testing::ElementsAre;

// Processes that run until the test ends them.
class FakeLauncher final : public ProcessLauncher {
 public:
  class FakeProcess final : public Process {
   public:
    FakeProcess(FakeLauncher& launcher, int64_t pid) : launcher_(launcher), pid_(pid) {}
    int64_t pid() const override { return pid_; }
    absl::Status Signal(int signal) override {
      launcher_.log.push_back(signal == SIGTERM ? "terminate" : "signal");
      if (launcher_.heeds_signals) launcher_.End(pid_, {0, signal});
      return absl::OkStatus();
    }
    void Kill() override {
      launcher_.log.push_back("kill");
      launcher_.End(pid_, {0, SIGKILL});
    }
    absl::StatusOr<ProcessExit> Wait(absl::Duration) override {
      if (!launcher_.exits.contains(pid_)) return ProcessExit{};
      return absl::DeadlineExceededError("still runs");
    }

   private:
    FakeLauncher& launcher_;
    const int64_t pid_;
  };

  absl::StatusOr<std::unique_ptr<Process>> Launch(const ProcessSpec& spec,
                                                  OnExit on_exit) override {
    programs.push_back(spec.program);
    if (!fault.ok()) return fault;
    exits[++last_pid] = std::move(on_exit);
    return std::make_unique<FakeProcess>(*this, last_pid);
  }

  void End(int64_t pid, ProcessExit how) {
    const auto process = exits.find(pid);
    if (process == exits.end()) return;
    const OnExit on_exit = std::move(process->second);
    exits.erase(process);
    on_exit(how);
  }

  absl::Status fault;
  bool heeds_signals = true;
  int64_t last_pid = 0;
  std::map<int64_t, OnExit> exits;
  std::vector<std::string> programs;
  std::vector<std::string> log;
};

class LocalWorkerPoolTest : public testing::Test {
 protected:
  LocalWorkerPool::Options Options() {
    return {.name = "default",
            .workers = 2,
            .isolated_workers = 1,
            .spec =
                [](int index, const std::string& owner) {
                  ProcessSpec spec;
                  spec.program = "worker" + std::to_string(index) + owner;
                  return spec;
                },
            .address = [](int index) { return "unix:" + std::to_string(index); }};
  }
  WorkerProcess First() { return pool_.Workers()[0]; }

  FakeClock clock_;
  FakeLauncher launcher_;
  int changes_ = 0;
  LocalWorkerPool pool_{Options(), launcher_, clock_, [this] { ++changes_; }};
};

TEST_F(LocalWorkerPoolTest, StartsOnlyWhatDoesNotRun) {
  EXPECT_FALSE(First().running);
  pool_.Start(0, "");
  pool_.Start(0, "");
  pool_.Start(1, "");
  EXPECT_THAT(launcher_.programs, ElementsAre("worker0", "worker1"));
  EXPECT_TRUE(First().running);
  EXPECT_EQ(First().address, "unix:0");
}

TEST_F(LocalWorkerPoolTest, TellsHowAWorkerEndedAndCountsStartsThatDidNotLast) {
  pool_.Start(0, "");
  const int64_t incarnation = First().incarnation;
  clock_.Advance(absl::Seconds(1));
  launcher_.End(1, {3, 0});
  EXPECT_FALSE(First().running);
  EXPECT_EQ(First().down_reason, "exited with code 3");
  EXPECT_EQ(First().failed_starts, 1);
  EXPECT_EQ(changes_, 1);
  clock_.Advance(absl::Seconds(5));
  EXPECT_EQ(First().since, absl::Seconds(5));

  pool_.Start(0, "");
  EXPECT_NE(First().incarnation, incarnation);
  launcher_.End(2, {3, 0});
  EXPECT_EQ(First().failed_starts, 2);
}

TEST_F(LocalWorkerPoolTest, WhyAWorkerWentDownIsKnownUntilItHasLasted) {
  pool_.Start(0, "");
  launcher_.End(1, {kHungModelExit, 0});
  EXPECT_EQ(First().down_reason, "a model ran for longer than it may");
  pool_.Start(0, "");
  EXPECT_EQ(First().down_reason, "a model ran for longer than it may");
  clock_.Advance(absl::Seconds(30));
  EXPECT_EQ(First().down_reason, "");
}

TEST_F(LocalWorkerPoolTest, AWorkerThatLivedLongStartsItsCountAnew) {
  for (int64_t pid = 1; pid <= 3; ++pid) {
    pool_.Start(0, "");
    launcher_.End(pid, {1, 0});
  }
  EXPECT_EQ(First().failed_starts, 3);
  pool_.Start(0, "");
  clock_.Advance(absl::Seconds(30));
  launcher_.End(4, {1, 0});
  EXPECT_EQ(First().failed_starts, 1);
}

TEST_F(LocalWorkerPoolTest, AProgramThatCannotBeStartedIsAFailedStart) {
  launcher_.fault = absl::NotFoundError("slipway-worker is not there");
  pool_.Start(0, "");
  EXPECT_FALSE(First().running);
  EXPECT_EQ(First().failed_starts, 1);
  EXPECT_EQ(First().down_reason, "slipway-worker is not there");
}

TEST_F(LocalWorkerPoolTest, AStoppedWorkerKeepsTheReason) {
  pool_.Start(0, "");
  pool_.Stop(0, "it has not answered for 90 s");
  EXPECT_FALSE(First().running);
  EXPECT_EQ(First().down_reason, "it was stopped: it has not answered for 90 s");
  EXPECT_EQ(First().failed_starts, 1);
}

TEST_F(LocalWorkerPoolTest, ARetiredWorkerEndsByItselfAndHasNotFailed) {
  pool_.Start(2, "acme");
  EXPECT_THAT(launcher_.programs, ElementsAre("worker2acme"));
  EXPECT_EQ(pool_.Workers()[2].owner, "acme");
  pool_.Retire(2);
  pool_.Retire(2);
  EXPECT_THAT(launcher_.log, ElementsAre("terminate"));
  EXPECT_FALSE(pool_.Workers()[2].running);
  EXPECT_EQ(pool_.Workers()[2].failed_starts, 0);
  EXPECT_EQ(pool_.Workers()[2].down_reason, "");
}

TEST_F(LocalWorkerPoolTest, FailedStartsForOneOwnerAreNotAnothers) {
  pool_.Start(2, "acme");
  launcher_.End(1, {0, SIGSEGV});
  EXPECT_EQ(pool_.Workers()[2].failed_starts, 1);
  EXPECT_EQ(pool_.Workers()[2].owner, "acme");
  pool_.Start(2, "globex");
  EXPECT_EQ(pool_.Workers()[2].down_reason, "");
  launcher_.End(2, {0, SIGSEGV});
  EXPECT_EQ(pool_.Workers()[2].failed_starts, 1);
}

TEST_F(LocalWorkerPoolTest, ShutdownAsksFirstAndThenKills) {
  pool_.Start(0, "");
  pool_.Shutdown(absl::Seconds(5));
  EXPECT_THAT(launcher_.log, ElementsAre("terminate"));
  EXPECT_FALSE(First().running);
  pool_.Start(0, "");
  EXPECT_FALSE(First().running);
}

TEST_F(LocalWorkerPoolTest, ShutdownKillsWhatDoesNotListen) {
  launcher_.heeds_signals = false;
  pool_.Start(0, "");
  pool_.Shutdown(absl::ZeroDuration());
  EXPECT_THAT(launcher_.log, ElementsAre("terminate", "kill"));
}

}  // namespace
}  // namespace slipway::controller
