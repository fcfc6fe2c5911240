#include "services/inference/parallelism.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "services/inference/slipway_artifact.h"
#include "tests/support/fake_clock.h"
#include "tests/support/temp_dir.h"

namespace slipway::worker {
namespace {

using ::testing::ElementsAre;

// A run takes `took` by the clock.
class TimedModel final : public LoadedModel {
 public:
  TimedModel(Signature signature, absl::Duration took, const FakeClock& clock)
      : signature_(std::move(signature)), took_(took), clock_(clock) {}
  std::string_view platform() const override { return "timed"; }
  const Signature& signature() const override { return signature_; }
  int64_t memory_bytes() const override { return 0; }
  absl::StatusOr<TensorBatch> Run(const TensorBatch& inputs, absl::Time) const override {
    clock_.Advance(took_);
    return inputs;
  }

 private:
  const Signature signature_;
  const absl::Duration took_;
  const FakeClock& clock_;
};

class TimedRuntime final : public ModelRuntime {
 public:
  TimedRuntime(absl::Duration took, const FakeClock& clock) : took_(took), clock_(clock) {}
  absl::StatusOr<std::shared_ptr<const LoadedModel>> Load(const ModelSource& source) override {
    ASSIGN_OR_RETURN(SlipwayArtifact artifact, SlipwayArtifact::Open(source));
    return std::make_shared<TimedModel>(std::move(artifact.signature), took_, clock_);
  }

 private:
  const absl::Duration took_;
  const FakeClock& clock_;
};

// Of a machine of four cores where runs on 1, 2 and 4 threads go on as fast as this; the clock is
// that of all runs of a candidate together.
Parallelism Best(std::vector<double> milliseconds) {
  const FakeClock clock;
  const TempDir dir;
  std::vector<Parallelism> tried;
  const auto measured = MeasureParallelism(
      4,
      [&](const Parallelism& parallelism) {
        const double took = milliseconds[tried.size()];
        tried.push_back(parallelism);
        return std::make_unique<TimedRuntime>(absl::Milliseconds(took), clock);
      },
      dir / "reference", clock);
  EXPECT_TRUE(measured.ok()) << measured.status();
  EXPECT_THAT(tried, ElementsAre(Parallelism{4, 1}, Parallelism{2, 2}, Parallelism{1, 4}));
  EXPECT_EQ(measured->candidates.size(), 3u);
  return measured->best;
}

TEST(ParallelismTest, TakesWhatAnswersMost) {
  EXPECT_EQ(Best({1, 2, 3}), (Parallelism{4, 1}));
  EXPECT_EQ(Best({2, 1, 3}), (Parallelism{2, 2}));
  EXPECT_EQ(Best({3, 2, 1}), (Parallelism{1, 4}));
}

TEST(ParallelismTest, AmongEqualsTakesTheFewestThreads) {
  EXPECT_EQ(Best({1.02, 1, 1.01}), (Parallelism{4, 1}));
}

TEST(ParallelismTest, ARuntimeThatIsNotThereIsSaid) {
  const TempDir dir;
  const FakeClock clock;
  const auto measured = MeasureParallelism(
      2,
      [](const Parallelism&) -> absl::StatusOr<std::unique_ptr<ModelRuntime>> {
        return absl::InternalError("no plugin");
      },
      dir / "reference", clock);
  EXPECT_EQ(measured.status().message(), "no plugin");
}

}  // namespace
}  // namespace slipway::worker
