#include "services/inference/batching/latency_model.h"

#include "gtest/gtest.h"

namespace slipway::worker {
namespace {

double Ms(absl::Duration time) { return absl::ToDoubleMilliseconds(time); }

TEST(LatencyModelTest, KnowsNothingBeforeTheFirstRun) {
  const LatencyModel model;
  EXPECT_EQ(model.Predict(10, absl::ZeroDuration()), absl::ZeroDuration());
  EXPECT_EQ(model.Quickest(), absl::InfiniteDuration());
}

TEST(LatencyModelTest, FindsTheFixedPartAndThatOfARow) {
  LatencyModel model;
  for (const int64_t rows : {1, 32, 8, 4, 16}) {
    model.Observe(rows, absl::Milliseconds(3) + absl::Milliseconds(0.5) * rows, absl::Seconds(1));
  }
  EXPECT_NEAR(Ms(model.Fixed(absl::Seconds(1))), 3, 1e-6);
  EXPECT_NEAR(Ms(model.Predict(64, absl::Seconds(1))), 35, 1e-6);
}

TEST(LatencyModelTest, OneSizeAloneSaysWhatARowCosts) {
  LatencyModel model;
  for (int i = 0; i < 5; ++i) model.Observe(4, absl::Milliseconds(8), absl::ZeroDuration());
  EXPECT_NEAR(Ms(model.Predict(4, absl::ZeroDuration())), 8, 1e-6);
  EXPECT_NEAR(Ms(model.Predict(8, absl::ZeroDuration())), 16, 1e-6);
}

TEST(LatencyModelTest, NeitherPartIsEverNegative) {
  LatencyModel model;
  model.Observe(1, absl::Milliseconds(9), absl::ZeroDuration());
  model.Observe(8, absl::Milliseconds(2), absl::ZeroDuration());
  EXPECT_GE(model.Predict(1000, absl::ZeroDuration()), absl::Milliseconds(1));
  EXPECT_GE(model.Fixed(absl::ZeroDuration()), absl::ZeroDuration());
  for (int i = 0; i < 50; ++i) {
    model.Observe(1, absl::Milliseconds(1), absl::ZeroDuration());
    model.Observe(2, absl::Milliseconds(9), absl::ZeroDuration());
  }
  EXPECT_GE(model.Predict(1, absl::ZeroDuration()), absl::ZeroDuration());
}

TEST(LatencyModelTest, FollowsAModelThatHasBecomeFaster) {
  LatencyModel model;
  for (int i = 0; i < 20; ++i) model.Observe(1 + i % 8, absl::Seconds(1), absl::ZeroDuration());
  for (int i = 0; i < 100; ++i) {
    model.Observe(1 + i % 8, absl::Milliseconds(1), absl::ZeroDuration());
  }
  EXPECT_LT(Ms(model.Predict(8, absl::ZeroDuration())), 10);
}

TEST(LatencyModelTest, IsNotBelievedForLong) {
  LatencyModel model;
  model.Observe(1, absl::Milliseconds(10), absl::Seconds(5));
  EXPECT_GT(model.Predict(1, absl::Seconds(6)), absl::ZeroDuration());
  EXPECT_EQ(model.Predict(1, absl::Seconds(6.1)), absl::ZeroDuration());
}

TEST(LatencyModelTest, AModelIsQuickAlthoughOneRunWasSlow) {
  LatencyModel model;
  model.Observe(1, absl::Microseconds(5), absl::ZeroDuration());
  model.Observe(1, absl::Seconds(1), absl::ZeroDuration());
  EXPECT_LT(model.Quickest(), absl::Microseconds(6));
  for (int i = 0; i < 1000; ++i) model.Observe(1, absl::Seconds(1), absl::ZeroDuration());
  EXPECT_EQ(model.Quickest(), absl::Seconds(1));
}

}  // namespace
}  // namespace slipway::worker
