#include "services/cli/time_range.h"

#include "absl/time/time.h"
#include "common/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace slipway::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;

TEST(TimeRangeTest, TakesADayAMomentAndHowLongAgo) {
  Query query;
  ASSERT_TRUE(
      (TimeRange{.since = "2026-01-31", .until = "2026-02-01T12:00:00+02:00"}.AddTo(query).ok()));
  EXPECT_THAT(query, ElementsAre(Pair("startTime", "2026-01-31T00:00:00+00:00"),
                                 Pair("endTime", "2026-02-01T10:00:00+00:00")));
  query.clear();
  ASSERT_TRUE((TimeRange{.since = "24h", .until = ""}.AddTo(query).ok()));
  absl::Time start;
  ASSERT_EQ(query.size(), 1u);
  ASSERT_TRUE(absl::ParseTime(absl::RFC3339_full, query[0].second, &start, nullptr));
  EXPECT_LE(start, Clock::Real().Now() - absl::Hours(24));
  EXPECT_GT(start, Clock::Real().Now() - absl::Hours(48));
}

TEST(TimeRangeTest, RefusesWhatIsNoTime) {
  Query query;
  EXPECT_EQ(FieldOf((TimeRange{.since = "yesterday", .until = ""}.AddTo(query))), "--since");
  EXPECT_EQ(FieldOf((TimeRange{.since = "", .until = "-3h"}.AddTo(query))), "--until");
  ASSERT_TRUE(TimeRange().AddTo(query).ok());
  EXPECT_TRUE(query.empty());
}

}  // namespace
}  // namespace slipway::cli
