#include "services/inference/batching/measured_batches.h"

#include "gtest/gtest.h"
#include "tests/support/fake_clock.h"

namespace slipway::worker {
namespace {

// Takes `fixed`, and `each` for every row.
class TimedModel final : public LoadedModel {
 public:
  TimedModel(const FakeClock& clock, absl::Duration fixed, absl::Duration each, Shape shape)
      : clock_(clock),
        fixed_(fixed),
        each_(each),
        signature_{{{"x", DataType::kFp32, shape}}, {}} {}
  std::string_view platform() const override { return "timed"; }
  const Signature& signature() const override { return signature_; }
  int64_t memory_bytes() const override { return 0; }
  absl::StatusOr<TensorBatch> Run(const TensorBatch& inputs, absl::Time) const override {
    most_rows = std::max(most_rows, inputs[0].shape()[0]);
    clock_.Advance(fixed_ + each_ * inputs[0].shape()[0]);
    return TensorBatch{};
  }
  mutable int64_t most_rows = 0;

 private:
  const FakeClock& clock_;
  const absl::Duration fixed_;
  const absl::Duration each_;
  const Signature signature_;
};

int64_t BestRows(absl::Duration fixed, absl::Duration each) {
  const FakeClock clock;
  const TimedModel model(clock, fixed, each, {-1, 2});
  return MeasureBatches(model, clock)->best_rows;
}

TEST(MeasuredBatchesTest, ChoosesTheFewestRowsThatAreAboutAsGoodAsAny) {
  EXPECT_EQ(BestRows(absl::ZeroDuration(), absl::Microseconds(100)), 1);
  EXPECT_EQ(BestRows(absl::Microseconds(100), absl::Microseconds(100)), 16);
  EXPECT_EQ(BestRows(absl::Milliseconds(1), absl::Microseconds(1)), 128);
}

TEST(MeasuredBatchesTest, GoesOnOnlyAsLongAsThereIsSomethingToGain) {
  const FakeClock clock;
  const TimedModel model(clock, absl::ZeroDuration(), absl::Microseconds(100), {-1, 2});
  ASSERT_TRUE(MeasureBatches(model, clock).ok());
  EXPECT_EQ(model.most_rows, 4);
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
