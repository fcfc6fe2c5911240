#include "common/sync/repeating_thread.h"

#include <atomic>
#include <latch>
#include <memory>

#include "gtest/gtest.h"

namespace slipway {
namespace {

using First = RepeatingThread::First;

TEST(RepeatingThreadTest, BeginsAtOnceWhereItIsToldSo) {
  std::latch worked(1);
  RepeatingThread thread;
  thread.Start(absl::InfiniteDuration(), First::kAtOnce, [&] { worked.count_down(); });
  worked.wait();
}

TEST(RepeatingThreadTest, GoesOnAfterEachInterval) {
  std::latch worked(3);
  std::atomic<int> turns = 0;
  RepeatingThread thread;
  thread.Start(absl::Milliseconds(1), First::kAfterInterval, [&] {
    if (++turns <= 3) worked.count_down();
  });
  worked.wait();
}

TEST(RepeatingThreadTest, AWakeDoesNotWaitForTheInterval) {
  std::latch worked(1);
  RepeatingThread thread;
  thread.Start(absl::InfiniteDuration(), First::kAfterInterval, [&] { worked.count_down(); });
  thread.Wake();
  worked.wait();
}

TEST(RepeatingThreadTest, AWakeDuringATurnBringsAnother) {
  std::latch first(1);
  std::latch woken(1);
  std::latch second(1);
  std::atomic<int> turns = 0;
  RepeatingThread thread;
  thread.Start(absl::InfiniteDuration(), First::kAtOnce, [&] {
    if (++turns == 1) {
      first.count_down();
      woken.wait();
    } else {
      second.count_down();
    }
  });
  first.wait();
  thread.Wake();
  woken.count_down();
  second.wait();
}

TEST(RepeatingThreadTest, ItsEndWaitsForTheTurnUnderWayWhichCanSeeIt) {
  std::latch begun(1);
  std::atomic<bool> ended = false;
  auto thread = std::make_unique<RepeatingThread>();
  thread->Start(absl::InfiniteDuration(), First::kAtOnce, [&, thread = thread.get()] {
    begun.count_down();
    while (!thread->stopping()) std::this_thread::yield();
    ended = true;
  });
  begun.wait();
  thread.reset();
  EXPECT_TRUE(ended);
}

TEST(RepeatingThreadTest, MayNeverBeStarted) { EXPECT_FALSE(RepeatingThread().stopping()); }

}  // namespace
}  // namespace slipway
