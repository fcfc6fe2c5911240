#include "common/time/clock.h"

#include "gtest/gtest.h"
#include "tests/support/fake_clock.h"

namespace slipway {
namespace {

TEST(RealClockTest, ShowsTheTimeOfDay) {
  EXPECT_GT(Clock::Real().Now(), absl::FromCivil(absl::CivilDay(2020, 1, 1), absl::UTCTimeZone()));
  EXPECT_LT(Clock::Real().Now(), absl::InfiniteFuture());
}

TEST(RealClockTest, MonotonicNeverGoesBack) {
  absl::Duration last = Clock::Real().Monotonic();
  for (int i = 0; i < 100'000; ++i) {
    const absl::Duration next = Clock::Real().Monotonic();
    ASSERT_GE(next, last);
    last = next;
  }
}

TEST(RealClockTest, SleepsAtLeastAsLongAsAsked) {
  const absl::Duration start = Clock::Real().Monotonic();
  Clock::Real().SleepFor(absl::Milliseconds(2));
  EXPECT_GE(Clock::Real().Monotonic() - start, absl::Milliseconds(2));
}

TEST(RealClockTest, DoesNotSleepForATimeThatIsNone) {
  Clock::Real().SleepFor(absl::ZeroDuration());
  Clock::Real().SleepFor(-absl::Hours(1));
}

TEST(FakeClockTest, MovesBothClocksTogetherAndOnlyWhenTold) {
  const FakeClock clock(absl::FromUnixSeconds(100));
  EXPECT_EQ(clock.Now(), absl::FromUnixSeconds(100));
  const absl::Duration start = clock.Monotonic();
  clock.Advance(absl::Seconds(5));
  EXPECT_EQ(clock.Now(), absl::FromUnixSeconds(105));
  EXPECT_EQ(clock.Monotonic() - start, absl::Seconds(5));
  clock.SleepFor(absl::Hours(1));
  EXPECT_EQ(clock.Now(), absl::FromUnixSeconds(3705));
}

}  // namespace
}  // namespace slipway
