#include "services/training/event_bell.h"

#include <atomic>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace slipway::training {
namespace {

const JobName kJob{"acme", "j1"};
constexpr absl::Duration kShort = absl::Milliseconds(1);

TEST(EventBellTest, WakesEveryListenerOfTheJobAndNoOther) {
  EventBell bell;
  const auto first = bell.Listen(kJob);
  const auto second = bell.Listen(kJob);
  const auto other = bell.Listen({"acme", "j2"});
  bell.Ring(kJob, 1);
  EXPECT_TRUE(first->WaitBeyond(0, absl::InfiniteDuration()));
  EXPECT_TRUE(second->WaitBeyond(0, absl::InfiniteDuration()));
  EXPECT_FALSE(other->WaitBeyond(0, kShort));
}

TEST(EventBellTest, WaitsForNewerEventsThanThoseRead) {
  EventBell bell;
  const auto listener = bell.Listen(kJob);
  bell.Ring(kJob, 5);
  EXPECT_TRUE(listener->WaitBeyond(4, absl::InfiniteDuration()));
  EXPECT_FALSE(listener->WaitBeyond(5, kShort));
  bell.Ring(kJob, 3);  // came late
  EXPECT_FALSE(listener->WaitBeyond(5, kShort));
}

TEST(EventBellTest, ARingBetweenReadingAndWaitingIsNotMissed) {
  EventBell bell;
  constexpr int kEvents = 10'000;
  const auto listener = bell.Listen(kJob);
  std::atomic<int64_t> stored = 0;
  std::jthread writer([&] {
    for (int i = 1; i <= kEvents; ++i) {
      stored = i;
      bell.Ring(kJob, i);
    }
  });
  for (int64_t seen = stored; seen < kEvents; seen = stored) {
    ASSERT_TRUE(listener->WaitBeyond(seen, absl::Seconds(30))) << seen;
  }
}

TEST(EventBellTest, ClosingEndsAllWaits) {
  EventBell bell;
  const auto listener = bell.Listen(kJob);
  std::jthread closer([&] { bell.Close(); });
  EXPECT_FALSE(listener->WaitBeyond(0, absl::InfiniteDuration()));
  EXPECT_TRUE(bell.closed());
  EXPECT_FALSE(listener->WaitBeyond(0, absl::InfiniteDuration()));
}

}  // namespace
}  // namespace slipway::training
