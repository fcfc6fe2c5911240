#include "common/sync/mutex.h"

#include <chrono>
#include <deque>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace slipway {
namespace {

using std::chrono::nanoseconds;
using std::chrono::seconds;

struct Counter {
  Mutex mutex;
  int count GUARDED_BY(mutex) = 0;
};

TEST(MutexTest, LetsOneThreadInAtATime) {
  Counter counter;
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < 10'000; ++i) {
          MutexLock lock(counter.mutex);
          ++counter.count;
        }
      });
    }
  }
  MutexLock lock(counter.mutex);
  EXPECT_EQ(counter.count, 40'000);
}

// Whether another thread gets it now.
bool CanBeTakenElsewhere(Mutex& mutex) {
  bool taken = false;
  std::jthread([&] {
    if (!mutex.TryLock()) return;
    taken = true;
    mutex.Unlock();
  }).join();
  return taken;
}

TEST(MutexTest, TryLockTakesAFreeMutexOnly) {
  Mutex mutex;
  {
    MutexLock lock(mutex);
    EXPECT_FALSE(CanBeTakenElsewhere(mutex));
  }
  const bool taken = mutex.TryLock();
  EXPECT_TRUE(taken);
  if (taken) mutex.Unlock();
}

// A queue between two threads, as they are built all over the platform.
struct Channel {
  Mutex mutex;
  CondVar changed;
  std::deque<int> items GUARDED_BY(mutex);

  void Put(int item) {
    MutexLock lock(mutex);
    items.push_back(item);
    changed.Signal();
  }
  int Take() {
    MutexLock lock(mutex);
    while (items.empty()) changed.Wait(mutex);
    const int item = items.front();
    items.pop_front();
    return item;
  }
};

TEST(CondVarTest, HandsEverythingFromOneThreadToAnother) {
  Channel channel;
  std::jthread producer([&] {
    for (int i = 0; i < 10'000; ++i) channel.Put(i);
  });
  for (int i = 0; i < 10'000; ++i) ASSERT_EQ(channel.Take(), i);
}

TEST(CondVarTest, SignalAllWakesEveryone) {
  Mutex mutex;
  CondVar changed;
  bool open = false;
  int passed = 0;
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&] {
        MutexLock lock(mutex);
        while (!open) changed.Wait(mutex);
        ++passed;
      });
    }
    MutexLock lock(mutex);
    open = true;
    changed.SignalAll();
  }
  EXPECT_EQ(passed, 4);
}

TEST(CondVarTest, WaitForGivesUpWhenItsTimeIsOver) {
  Mutex mutex;
  CondVar changed;
  MutexLock lock(mutex);
  // A wake may be spurious, a time-out may not be missing.
  bool woken = true;
  for (int i = 0; i < 100 && woken; ++i) woken = changed.WaitFor(mutex, nanoseconds(1));
  EXPECT_FALSE(woken);
  EXPECT_FALSE(changed.WaitFor(mutex, seconds(-1)));
}

TEST(CondVarTest, WaitForHoldsTheMutexAgainAfterwards) {
  Mutex mutex;
  CondVar changed;
  MutexLock lock(mutex);
  changed.WaitFor(mutex, nanoseconds(1));
  EXPECT_FALSE(CanBeTakenElsewhere(mutex));
}

// "For ever" must not overflow into the past, which would make a waiting loop a spinning one.
TEST(CondVarTest, WaitForTheLongestTimeWaits) {
  Mutex mutex;
  CondVar changed;
  bool open = false;
  bool timed_out = false;
  std::jthread waiter([&] {
    MutexLock lock(mutex);
    while (!open) timed_out |= !changed.WaitFor(mutex, nanoseconds::max());
  });
  {
    MutexLock lock(mutex);
    // The waiter may or may not have begun to wait; both are fine.
    changed.WaitFor(mutex, std::chrono::milliseconds(20));
    open = true;
    changed.SignalAll();
  }
  waiter.join();
  EXPECT_FALSE(timed_out);
}

}  // namespace
}  // namespace slipway
