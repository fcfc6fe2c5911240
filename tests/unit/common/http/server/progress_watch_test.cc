#include "common/http/server/progress_watch.h"

#include <gtest/gtest.h>

namespace slipway::http {
namespace {

constexpr int64_t kAllowed = 100;
constexpr uint64_t kEnough = ProgressWatch::kEnough;

TEST(ProgressWatchTest, StallsWhenNothingComesInTime) {
  ProgressWatch watch;
  EXPECT_FALSE(watch.HasStalled(1'000'000, kAllowed, 0)) << "nobody waits";
  watch.Begin(0, kAllowed, 0);
  EXPECT_FALSE(watch.HasStalled(99, kAllowed, 0));
  EXPECT_TRUE(watch.HasStalled(100, kAllowed, 0));
}

TEST(ProgressWatchTest, GoesOnWhileEnoughComes) {
  ProgressWatch watch;
  watch.Begin(0, kAllowed, 500);
  EXPECT_FALSE(watch.HasStalled(100, kAllowed, 500 + kEnough));
  EXPECT_FALSE(watch.HasStalled(199, kAllowed, 500 + kEnough));
  EXPECT_TRUE(watch.HasStalled(200, kAllowed, 500 + 2 * kEnough - 1));
}

TEST(ProgressWatchTest, GivesNoTimeForLittle) {
  ProgressWatch watch;
  uint64_t bytes = 0;
  for (int64_t now = 0; now < 90; now += 10) {
    watch.Begin(now, kAllowed, bytes);
    watch.End(now + 10, ++bytes);
  }
  watch.Begin(90, kAllowed, bytes);
  EXPECT_FALSE(watch.HasStalled(99, kAllowed, bytes));
  EXPECT_TRUE(watch.HasStalled(100, kAllowed, bytes));
}

TEST(ProgressWatchTest, CountsOnlyTheTimeOfWaiting) {
  ProgressWatch watch;
  watch.Begin(0, kAllowed, 0);
  watch.End(60, 1);
  watch.Begin(10'000, kAllowed, 1);
  EXPECT_FALSE(watch.HasStalled(10'039, kAllowed, 1));
  EXPECT_TRUE(watch.HasStalled(10'040, kAllowed, 1));
}

TEST(ProgressWatchTest, ForgetsAfterEnough) {
  ProgressWatch watch;
  watch.Begin(0, kAllowed, 0);
  watch.End(99, kEnough);
  watch.Begin(200, kAllowed, kEnough);
  EXPECT_FALSE(watch.HasStalled(299, kAllowed, kEnough));
}

TEST(ProgressWatchTest, AWaitUnderWayIsNotBegunAgain) {
  ProgressWatch watch;
  watch.Begin(0, kAllowed, 0);
  watch.Begin(50, kAllowed, 0);
  EXPECT_TRUE(watch.HasStalled(100, kAllowed, 0));
  watch.Reset();
  EXPECT_FALSE(watch.waiting());
}

}  // namespace
}  // namespace slipway::http
