#include "services/inference/batching/measured_batches.h"

#include "gtest/gtest.h"
#include "tests/support/fake_clock.h"

namespace slipway::worker {
namespace {

// Takes `fixed`, and `each` for every row.
class TimedModel final : public LoadedModel {
 public:
  // From `dear_from` rows on a row takes twice as long.
  TimedModel(const FakeClock& clock, absl::Duration fixed, absl::Duration each, Shape shape,
             int64_t dear_from = 1000)
      : clock_(clock),
        fixed_(fixed),
        each_(each),
        dear_from_(dear_from),
        signature_{{{"x", DataType::kFp32, std::move(shape)}}, {}} {}
  std::string_view platform() const override { return "timed"; }
  const Signature& signature() const override { return signature_; }
  int64_t memory_bytes() const override { return 0; }
  absl::StatusOr<TensorBatch> Run(const TensorBatch& inputs, absl::Time) const override {
    const int64_t rows = inputs[0].shape()[0];
    const bool slow = rows >= dear_from_ || rows == busy_at;
    clock_.Advance(fixed_ + each_ * rows * (slow ? 2 : 1));
    return TensorBatch{};
  }
  int64_t busy_at = 0;  // rows

 private:
  const FakeClock& clock_;
  const absl::Duration fixed_;
  const absl::Duration each_;
  const int64_t dear_from_;
  const Signature signature_;
};

int64_t BestRows(absl::Duration fixed, absl::Duration each) {
  const FakeClock clock;
  const TimedModel model(clock, fixed, each, {-1, 2});
  return MeasureBatches(model, clock)->best_rows;
}

TEST(MeasuredBatchesTest, ChoosesTheFewestRowsThatAreAboutAsGoodAsAnyInAShortRun) {
  EXPECT_EQ(BestRows(absl::ZeroDuration(), absl::Microseconds(100)), 32);
  EXPECT_EQ(BestRows(absl::Milliseconds(1), absl::Microseconds(1)), 64);
  EXPECT_EQ(BestRows(absl::ZeroDuration(), absl::Microseconds(300)), 8);
  EXPECT_EQ(BestRows(absl::Milliseconds(4), absl::Microseconds(400)), 2);
}

TEST(MeasuredBatchesTest, MoreRowsThatCostMoreARowAreNotChosen) {
  const FakeClock clock;
  const TimedModel model(clock, absl::ZeroDuration(), absl::Microseconds(100), {-1, 2},
                         /*dear_from=*/8);
  EXPECT_EQ(MeasureBatches(model, clock)->best_rows, 4);
}

TEST(MeasuredBatchesTest, CountsWhatSurroundsARun) {
  // By the model's own time alone one row would do.
  EXPECT_EQ(BestRows(absl::ZeroDuration(), absl::Microseconds(1)), 64);
}

TEST(MeasuredBatchesTest, ASizeMeasuredOnABusyMachineDoesNotHideLargerOnes) {
  const FakeClock clock;
  TimedModel model(clock, absl::Microseconds(10), absl::Microseconds(10), {-1, 2});
  model.busy_at = 2;
  EXPECT_EQ(MeasureBatches(model, clock)->best_rows, 64);
}

TEST(MeasuredBatchesTest, DoesNotRunASlowModelForLong) {
  const FakeClock clock;
  const TimedModel model(clock, absl::ZeroDuration(), absl::Seconds(1), {-1, 2});
  const auto measured = MeasureBatches(model, clock);
  ASSERT_TRUE(measured.ok());
  EXPECT_EQ(measured->runs.size(), 1u);
  EXPECT_EQ(clock.Monotonic(), absl::Seconds(1));
}

TEST(MeasuredBatchesTest, LeavesAModelAloneThatTakesNoBatches) {
  const FakeClock clock;
  const TimedModel model(clock, absl::ZeroDuration(), absl::Seconds(1), {3, 2});
  const auto measured = MeasureBatches(model, clock);
  ASSERT_TRUE(measured.ok());
  EXPECT_TRUE(measured->runs.empty());
  EXPECT_EQ(measured->best_rows, 1);
}

}  // namespace
}  // namespace slipway::worker
