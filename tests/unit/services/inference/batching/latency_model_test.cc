#include "services/inference/batching/latency_model.h"

#include "gtest/gtest.h"

namespace slipway::worker {
namespace {

double Ms(absl::Duration time) { return absl::ToDoubleMilliseconds(time); }

TEST(LatencyModelTest, KnowsNothingBeforeTheFirstRun) {
  const LatencyModel model;
  EXPECT_EQ(model.Predict(10, absl::ZeroDuration()), absl::ZeroDuration());
  EXPECT_FALSE(model.IsWithin(absl::Hours(1), 1, absl::ZeroDuration()));
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

TEST(LatencyModelTest, ACallIsQuickForItsRowsAndNotForEver) {
  LatencyModel model;
  for (const int64_t rows : {1, 8, 1, 8}) {
    model.Observe(rows, rows * absl::Microseconds(5), absl::ZeroDuration());
  }
  const auto is_quick = [&](int64_t rows, absl::Duration now = absl::ZeroDuration()) {
    return model.IsWithin(absl::Microseconds(50), rows, now);
  };
  EXPECT_TRUE(is_quick(8));
  EXPECT_FALSE(is_quick(100)) << "many rows take their time";
  EXPECT_FALSE(is_quick(1, absl::Seconds(2))) << "nobody knows any more";
  model.Observe(1, absl::Milliseconds(10), absl::ZeroDuration());
  EXPECT_FALSE(is_quick(1)) << "a model that was slow once is not waited for";
}

}  // namespace
}  // namespace slipway::worker
