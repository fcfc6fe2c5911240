#include "services/gateway/limits/shared_meter.h"

#include <map>
#include <optional>
#include <string>

#include "gtest/gtest.h"
#include "slipway/gateway/v1/limit_state.pb.h"

namespace slipway::gateway {
namespace {

const absl::Time kNoon =
    absl::FromUnixSeconds(1'700'000'000) - absl::Seconds(1'700'000'000 % 86400) + absl::Hours(12);

// One limit and those who share it.
struct Shared {
  Quantity quantity = Quantity::kRequests;
  int64_t limit = 1000;
  int replicas = 3;
  v1::MeterState state = {};
  absl::Time now = kNoon;
  std::map<std::string, int64_t> reports = {};

  std::optional<LeaseAnswer> TryAsk(const std::string& replica, int64_t used, int64_t want,
                                    std::optional<int64_t> ledger = std::nullopt,
                                    int64_t held = 0) {
    LeaseRequest request;
    request.quantity = quantity;
    request.limit = limit;
    request.report = ++reports[replica];
    request.used = used;
    request.held = held;
    request.want = want;
    return Share(state, replica, request, replicas, now, ledger);
  }
  LeaseAnswer Ask(const std::string& replica, int64_t used, int64_t want, int64_t held = 0) {
    return TryAsk(replica, used, want, std::nullopt, held).value();
  }
};

TEST(SharedMeterTest, LeavesAloneWhatOthersMayTakeOnCredit) {
  Shared shared;
  const LeaseAnswer answer = shared.Ask("a", 0, 5000);
  EXPECT_EQ(CreditOf(1000, 3), 200);
  EXPECT_EQ(answer.granted, 600);
  EXPECT_EQ(answer.left, 400);
  // All that three could have taken at once.
  EXPECT_LE(answer.granted + 2 * CreditOf(1000, 3), 1000);
}

TEST(SharedMeterTest, GivesTheRestOnceAllHaveSeenWhatIsLeft) {
  Shared shared;
  shared.Ask("a", 0, 5000);
  shared.now += absl::Seconds(1);
  shared.Ask("a", 600, 5000);
  shared.now += absl::Seconds(1);
  shared.Ask("a", 0, 5000);
  int64_t granted = 0;
  for (int i = 0; i < 4; ++i) {
    shared.now += absl::Seconds(1);
    granted = shared.Ask("a", 0, 5000).granted;
  }
  EXPECT_GT(granted, 350);
  EXPECT_LE(granted, 400);
}

TEST(SharedMeterTest, OneReplicaAloneHasAllOfIt) {
  Shared shared{.replicas = 1};
  EXPECT_EQ(CreditOf(1000, 1), 1000);
  EXPECT_EQ(shared.Ask("a", 0, 1000).granted, 1000);
}

TEST(SharedMeterTest, WhatWasUsedCountsForAMinute) {
  Shared shared{.replicas = 1};
  EXPECT_EQ(shared.Ask("a", 400, 0).left, 600);
  shared.now += kWindow - absl::Milliseconds(1);
  EXPECT_EQ(shared.Ask("a", 0, 0).left, 600);
  shared.now += kSlotTime + absl::Milliseconds(1);
  EXPECT_EQ(shared.Ask("a", 0, 0).left, 1000);
}

TEST(SharedMeterTest, SaysWhenMoreIsLeft) {
  Shared shared{.replicas = 1};
  EXPECT_EQ(shared.Ask("a", 0, 0).frees_in, absl::InfiniteDuration());
  const absl::Duration frees_in = shared.Ask("a", 1000, 0).frees_in;
  EXPECT_GT(frees_in, kWindow);
  EXPECT_LE(frees_in, kWindow + kSlotTime);
  shared.now += frees_in;
  EXPECT_EQ(shared.Ask("a", 0, 0).left, 1000);
}

TEST(SharedMeterTest, ALeaseComesBackWithTheNextReport) {
  Shared shared;
  EXPECT_EQ(shared.Ask("a", 0, 300).left, 700);
  EXPECT_EQ(shared.Ask("a", 100, 0).left, 900);
}

// A killed gateway may have used its lease until the lease's end.
TEST(SharedMeterTest, TheLeaseOfAKilledReplicaRunsOut) {
  Shared shared;
  shared.Ask("a", 0, 300);
  shared.now += kLeaseTime + kWindow - absl::Milliseconds(1);
  EXPECT_EQ(shared.Ask("b", 0, 0).left, 700);
  shared.now += absl::Milliseconds(1);
  EXPECT_EQ(shared.Ask("b", 0, 0).left, 1000);
}

TEST(SharedMeterTest, CallsUnderWayOfAKilledReplicaEndWithItsLease) {
  Shared shared{.quantity = Quantity::kConcurrency, .limit = 10};
  EXPECT_EQ(shared.Ask("a", 0, 0, 6).left, 4);
  EXPECT_EQ(shared.Ask("b", 0, 0, 3).left, 1);
  shared.now += kLeaseTime;
  EXPECT_EQ(shared.Ask("b", 0, 0, 3).left, 7);
}

TEST(SharedMeterTest, AReportThatComesAgainIsNotBookedAgain) {
  Shared shared{.replicas = 1};
  LeaseRequest request;
  request.limit = 1000;
  request.report = 7;
  request.used = 100;
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(Share(shared.state, "a", request, 1, shared.now, std::nullopt)->left, 900);
  }
}

TEST(SharedMeterTest, ABudgetBeginsWithWhatTheLedgerSays) {
  Shared shared{.quantity = Quantity::kBudget};
  EXPECT_EQ(shared.TryAsk("a", 50, 0), std::nullopt);
  EXPECT_EQ(shared.state.ByteSizeLong(), 0u);
  EXPECT_EQ(shared.TryAsk("a", 50, 0, 300)->left, 700);
  // And goes by the replicas' reports from then on.
  EXPECT_EQ(shared.Ask("b", 10, 0).left, 690);
  // Once the ledger has all of it, it is asked again.
  shared.now += absl::Minutes(1);
  EXPECT_EQ(shared.TryAsk("b", 0, 0), std::nullopt);
  EXPECT_EQ(shared.TryAsk("b", 0, 0, 360)->left, 640);
}

TEST(SharedMeterTest, ABudgetBeginsAnewWithItsPeriod) {
  Shared shared{.quantity = Quantity::kBudget};
  EXPECT_EQ(shared.TryAsk("a", 400, 0, 0)->left, 600);
  shared.now = PeriodStart(Period::kMonth, shared.now + absl::Hours(24 * 31)) + absl::Seconds(1);
  EXPECT_EQ(shared.TryAsk("a", 5, 0), std::nullopt);
  const auto answer = shared.TryAsk("a", 5, 0, 2);
  EXPECT_EQ(answer->left, 995);
  EXPECT_GT(answer->frees_in, absl::Hours(24 * 27));
}

TEST(SharedMeterTest, WhatAKilledReplicaSpentIsReadFromTheLedger) {
  Shared shared{.quantity = Quantity::kBudget};
  shared.TryAsk("a", 0, 0, 0);
  shared.Ask("a", 100, 300);
  shared.now += kLeaseTime;
  // Its lease is over; its journal comes into the ledger when it is started again.
  EXPECT_EQ(shared.Ask("b", 0, 0).left, 900);
  shared.now += absl::Minutes(1);
  EXPECT_EQ(shared.TryAsk("b", 0, 0), std::nullopt);
  EXPECT_EQ(shared.TryAsk("b", 0, 0, 120)->left, 880);
  EXPECT_EQ(shared.Ask("b", 0, 0).left, 880);
}

TEST(SharedMeterTest, PeriodsBeginAtMidnightAndOnTheFirst) {
  const absl::TimeZone utc = absl::UTCTimeZone();
  const absl::Time time = absl::FromCivil(absl::CivilSecond(2024, 2, 29, 23, 59, 59), utc);
  EXPECT_EQ(PeriodStart(Period::kDay, time), absl::FromCivil(absl::CivilDay(2024, 2, 29), utc));
  EXPECT_EQ(PeriodStart(Period::kMonth, time), absl::FromCivil(absl::CivilDay(2024, 2, 1), utc));
}

}  // namespace
}  // namespace slipway::gateway
