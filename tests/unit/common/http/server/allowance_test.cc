#include "common/http/server/allowance.h"

#include <gtest/gtest.h>

namespace slipway::http {
namespace {

constexpr int64_t kSecond = 1'000'000'000;

TEST(AllowanceTest, GivesABurstAndThenARate) {
  Allowance allowance(5, 10);
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(allowance.Spend(0)) << i;
  EXPECT_FALSE(allowance.Spend(0));
  EXPECT_FALSE(allowance.Spend(0)) << "what is refused is no debt without end";
  EXPECT_TRUE(allowance.Spend(2 * kSecond / 10));
  EXPECT_FALSE(allowance.Spend(2 * kSecond / 10));
}

TEST(AllowanceTest, DoesNotSaveUpMoreThanTheBurst) {
  Allowance allowance(5, 10);
  EXPECT_TRUE(allowance.Spend(1000 * kSecond));
  allowance.Earn(1000);
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(allowance.Spend(1000 * kSecond)) << i;
  EXPECT_FALSE(allowance.Spend(1000 * kSecond));
}

TEST(AllowanceTest, EarningPaysWhatWasSpent) {
  Allowance allowance(5, 10);
  for (int i = 0; i < 100; ++i) {
    EXPECT_TRUE(allowance.Spend(0)) << i;
    allowance.Earn(1);
  }
  for (int i = 0; i < 5; ++i) allowance.Spend(0);
  allowance.Earn(2);
  EXPECT_TRUE(allowance.Spend(0));
  EXPECT_TRUE(allowance.Spend(0));
  EXPECT_FALSE(allowance.Spend(0));
}

TEST(AllowanceTest, BearsAClockThatStands) {
  Allowance allowance(2, 10);
  EXPECT_TRUE(allowance.Spend(kSecond));
  EXPECT_TRUE(allowance.Spend(kSecond / 2));
  EXPECT_FALSE(allowance.Spend(kSecond / 2));
}

}  // namespace
}  // namespace slipway::http
