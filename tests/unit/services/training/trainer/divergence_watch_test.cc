#include "services/training/trainer/divergence_watch.h"

#include <cmath>
#include <functional>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace slipway::trainer {
namespace {

using ::testing::HasSubstr;

training::v1::DivergenceSpec Limits(double factor, int steps) {
  training::v1::DivergenceSpec limits;
  limits.set_factor(factor);
  limits.set_steps(steps);
  return limits;
}

// The step of the verdict among a thousand; 0: none.
int64_t VerdictAt(const training::v1::DivergenceSpec& limits,
                  const std::function<double(int64_t)>& loss) {
  DivergenceWatch watch;
  for (int64_t step = 1; step <= 1000; ++step) {
    if (!watch.Add(loss(step), limits).ok()) return step;
  }
  return 0;
}

TEST(DivergenceWatchTest, SeesALossThatHasGrownForLong) {
  const auto jump = [](int64_t step) { return step <= 100 ? 1.0 : 1e6; };
  EXPECT_EQ(VerdictAt(Limits(10, 1), jump), 101);
  EXPECT_EQ(VerdictAt(Limits(10, 50), jump), 150);
  const int64_t grown = VerdictAt(
      Limits(10, 50), [](int64_t step) { return std::exp(0.02 * static_cast<double>(step)); });
  EXPECT_GT(grown, 150);
  EXPECT_LT(grown, 300);
}

TEST(DivergenceWatchTest, LetsPassWhatIsNoDivergence) {
  const auto limits = Limits(10, 50);
  EXPECT_EQ(VerdictAt(limits, [](int64_t step) { return 1.0 / static_cast<double>(step); }), 0);
  EXPECT_EQ(VerdictAt(limits, [](int64_t) { return 0.0; }), 0);
  // A few bad steps, far apart.
  EXPECT_EQ(VerdictAt(limits, [](int64_t step) { return step % 300 == 0 ? 50.0 : 1.0; }), 0);
  // Close to 0, and then a thousand times as much: still less than at first.
  EXPECT_EQ(VerdictAt(limits, [](int64_t step) { return step < 5     ? 1
                                                        : step < 500 ? 1e-6
                                                                     : 1e-3; }),
            0);
  // As bad as at first, and up and down.
  EXPECT_EQ(
      VerdictAt(limits, [](int64_t step) { return 2 + std::sin(static_cast<double>(step) / 30); }),
      0);
  EXPECT_EQ(VerdictAt(Limits(0, 1), [](int64_t step) { return std::pow(10, step / 20); }), 0);
}

TEST(DivergenceWatchTest, TheVerdictSaysWhatWasSeenAndWhatToDo) {
  DivergenceWatch watch;
  const auto limits = Limits(4, 2);
  ASSERT_TRUE(watch.Add(0.5, limits).ok());
  ASSERT_TRUE(watch.Add(1e4, limits).ok());
  const absl::Status verdict = watch.Add(1e4, limits);
  EXPECT_TRUE(absl::IsFailedPrecondition(verdict));
  const std::string text(verdict.message());
  EXPECT_THAT(text, HasSubstr("at step 3 the loss (smoothed) is "));
  EXPECT_THAT(text, HasSubstr("more than 4 times its best, 0.5 at step 1, for 2 steps"));
  EXPECT_THAT(text, HasSubstr("spec.optimizer.learning_rate"));
}

}  // namespace
}  // namespace slipway::trainer
