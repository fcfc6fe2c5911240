// What tests/bench/soak does with a million calls, in short.
#include "tests/support/soak/usage_soak.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace slipway::gateway {
namespace {

TEST(UsageSoakTest, EachAnsweredCallHasOneRowWhateverIsKilled) {
  const UsageSoakResult result = RunUsageSoak({.calls = 6'000, .kills = 6});
  EXPECT_THAT(result.faults, ::testing::IsEmpty());
  EXPECT_GT(result.answered, 5'000);
  EXPECT_GE(result.rows, result.answered);
}

}  // namespace
}  // namespace slipway::gateway
