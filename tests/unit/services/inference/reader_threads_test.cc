#include "services/inference/reader_threads.h"

#include <sched.h>

#include <optional>
#include <thread>

#include "gtest/gtest.h"

namespace slipway::worker {
namespace {

// Of the calling thread.
int Policy() { return ::sched_getscheduler(0); }

// On a thread of its own, as the policy of the test's is not to change.
template <class Test>
void OnAThread(Test test) {
  std::jthread thread(test);
}

TEST(ReaderThreadsTest, GiveWayExceptWhileSomeoneLetsThemGoFirst) {
  ReaderThreads readers;
  OnAThread([&] {
    readers.Join();
    EXPECT_EQ(Policy(), SCHED_BATCH);
    std::optional<ReaderThreads::GoFirst> one(readers);
    EXPECT_EQ(Policy(), SCHED_OTHER);
    std::optional<ReaderThreads::GoFirst> two(readers);
    one.reset();
    EXPECT_EQ(Policy(), SCHED_OTHER);
    readers.Join();
    EXPECT_EQ(Policy(), SCHED_OTHER);
    two.reset();
    EXPECT_EQ(Policy(), SCHED_BATCH);
  });
}

TEST(ReaderThreadsTest, OneThatJoinsDuringALoadGivesWayAfterIt) {
  ReaderThreads readers;
  std::optional<ReaderThreads::GoFirst> load(readers);
  OnAThread([&] {
    readers.Join();
    EXPECT_EQ(Policy(), SCHED_OTHER);
    load.reset();
    EXPECT_EQ(Policy(), SCHED_BATCH);
  });
}

}  // namespace
}  // namespace slipway::worker
