#include "common/process/shutdown.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <thread>

namespace slipway {
namespace {

// Each in a process of its own: signals belong to the process.
template <class Body>
void InOwnProcess(const Body& body, int expected_code) {
  EXPECT_EXIT(
      {
        body();
        std::_Exit(0);
      },
      ::testing::ExitedWithCode(expected_code), "");
}

#define CHECK_OR_EXIT(condition) \
  if (!(condition)) std::_Exit(__LINE__ % 100 + 100)

TEST(ShutdownSignalDeathTest, WaitsForEachStopSignalInAnyThread) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  InOwnProcess(
      [] {
        ShutdownSignal shutdown;
        CHECK_OR_EXIT(!shutdown.WaitFor(absl::Milliseconds(1)));
        std::jthread([] { kill(getpid(), SIGTERM); }).join();
        CHECK_OR_EXIT(shutdown.Wait() == "SIGTERM");
        CHECK_OR_EXIT(shutdown.Wait() == "SIGTERM");
        CHECK_OR_EXIT(shutdown.WaitFor(absl::ZeroDuration()));
      },
      0);
  InOwnProcess(
      [] {
        ShutdownSignal shutdown;
        kill(getpid(), SIGINT);
        CHECK_OR_EXIT(shutdown.Wait() == "SIGINT");
      },
      0);
}

TEST(ShutdownSignalDeathTest, MayBeAskedFromInsideAndWakesEveryWaiter) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  InOwnProcess(
      [] {
        ShutdownSignal shutdown;
        std::jthread other([&] { CHECK_OR_EXIT(shutdown.Wait() == "the store is gone"); });
        shutdown.Trigger("the store is gone");
        shutdown.Trigger("a later reason");
        CHECK_OR_EXIT(shutdown.Wait() == "the store is gone");
        other.join();
      },
      0);
}

TEST(ShutdownSignalDeathTest, ASecondCtrlCEndsTheProgramAtOnceWhenWished) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        ShutdownSignal shutdown;
        kill(getpid(), SIGINT);
        shutdown.Wait();
        shutdown.ExitOnNextSignal();
        kill(getpid(), SIGINT);
        pause();
      },
      ::testing::KilledBySignal(SIGINT), "");
}

}  // namespace
}  // namespace slipway
