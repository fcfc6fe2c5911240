#include "services/gateway/routing/retry_budget.h"

#include <cmath>
#include <cstdint>
#include <deque>
#include <random>

#include "gtest/gtest.h"

namespace slipway::gateway {
namespace {

TEST(RetryBudgetTest, TryingAgainAddsAtMostAFifthToAnyTenSecondsWhateverFails) {
  for (uint64_t seed = 0; seed < 200; ++seed) {
    std::mt19937_64 random(seed);
    RetryBudget budget;
    std::deque<absl::Duration> calls;
    std::deque<absl::Duration> retries;
    absl::Duration now = absl::Seconds(static_cast<int64_t>(random() % 1000));
    double rate = 1;
    for (int i = 0; i < 2000; ++i) {
      if (i % 200 == 0) rate = std::exp2(std::uniform_real_distribution<>(-2, 10)(random));
      now += absl::Seconds(std::exponential_distribution<>(rate)(random));
      budget.OnCall(now);
      calls.push_back(now);
      // Each fails, and is tried again as often as that may be.
      for (int attempt = 0; attempt < 3 && budget.TryRetry(now); ++attempt) retries.push_back(now);
      while (calls.front() <= now - absl::Seconds(10)) calls.pop_front();
      while (!retries.empty() && retries.front() <= now - absl::Seconds(9)) retries.pop_front();
      ASSERT_LE(static_cast<double>(retries.size()),
                RetryBudget::kAlways + RetryBudget::kShare * static_cast<double>(calls.size()))
          << "seed " << seed << " at " << now;
    }
  }
}

TEST(RetryBudgetTest, CallsThatComeRarelyMayBeTriedAgain) {
  RetryBudget budget;
  for (int minute = 1; minute <= 5; ++minute) {
    budget.OnCall(absl::Minutes(minute));
    for (int i = 0; i < RetryBudget::kAlways; ++i) {
      EXPECT_TRUE(budget.TryRetry(absl::Minutes(minute)));
    }
    EXPECT_FALSE(budget.TryRetry(absl::Minutes(minute)));
  }
}

TEST(RetryBudgetTest, CallsOfTenSecondsAgoAllowNothingAnyMore) {
  RetryBudget budget;
  for (int i = 0; i < 1000; ++i) budget.OnCall(absl::Seconds(100));
  int allowed = 0;
  while (budget.TryRetry(absl::Seconds(109))) ++allowed;
  EXPECT_EQ(allowed, 200);
  allowed = 0;
  while (budget.TryRetry(absl::Seconds(120))) ++allowed;
  EXPECT_EQ(allowed, RetryBudget::kAlways);
}

}  // namespace
}  // namespace slipway::gateway
