#include "services/inference/model_codec.h"

#include <memory>
#include <set>
#include <utility>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace slipway::worker {
namespace {

using ::testing::ElementsAre;

class SilentModel final : public LoadedModel {
 public:
  std::string_view platform() const override { return "silent"; }
  explicit SilentModel(Signature signature) : signature_(std::move(signature)) {}
  const Signature& signature() const override { return signature_; }
  int64_t memory_bytes() const override { return 4096; }
  absl::StatusOr<TensorBatch> Run(const TensorBatch&, absl::Time) const override {
    return absl::UnimplementedError("silent");
  }

 private:
  const Signature signature_;
};

class ModelCodecTest : public testing::Test {
 protected:
  std::unique_ptr<ServedModel> Serve(Signature signature) {
    return std::unique_ptr<ServedModel>(
        new ServedModel{.deployment = {"acme", "shoes"},
                        .version = {{"acme", "cnn"}, 7},
                        .deployment_name = "tenants/acme/deployments/shoes",
                        .version_name = "tenants/acme/models/cnn/versions/7",
                        .version_number = "7",
                        .platform = "fake",
                        .labels = {},
                        .model = std::make_shared<SilentModel>(std::move(signature)),
                        .metrics = ModelMetrics(metrics_, "d", "v")});
  }
  Metrics metrics_{"worker"};
};

TEST_F(ModelCodecTest, AConfigsDimensionsLeaveTheBatchOut) {
  inference::ModelConfig config;
  EncodeConfig(*Serve({{{"x", DataType::kBf16, {-1, 28, -1}}}, {{"y", DataType::kBytes, {-1}}}}),
               config);
  EXPECT_EQ(config.name(), "tenants/acme/deployments/shoes");
  EXPECT_EQ(config.platform(), "fake");
  EXPECT_GT(config.max_batch_size(), 0);
  EXPECT_EQ(config.input(0).data_type(), inference::TYPE_BF16);
  EXPECT_THAT(config.input(0).dims(), ElementsAre(28, -1));
  EXPECT_EQ(config.output(0).data_type(), inference::TYPE_STRING);
  EXPECT_THAT(config.output(0).dims(), ElementsAre());
  EXPECT_TRUE(config.has_model_transaction_policy());
}

TEST_F(ModelCodecTest, AModelWithoutABatchSaysSo) {
  inference::ModelConfig config;
  EncodeConfig(*Serve({{{"x", DataType::kFp32, {2, 3}}}, {{"y", DataType::kFp32, {-1}}}}), config);
  EXPECT_EQ(config.max_batch_size(), 0);
  EXPECT_THAT(config.input(0).dims(), ElementsAre(2, 3));
  EXPECT_THAT(config.output(0).dims(), ElementsAre(-1));
}

TEST_F(ModelCodecTest, EachDatatypeHasItsOwnName) {
  std::set<int> seen;
  for (const DataType type : kAllDataTypes) {
    inference::ModelConfig config;
    EncodeConfig(*Serve({{{"x", type, {1}}}, {}}), config);
    EXPECT_NE(config.input(0).data_type(), inference::TYPE_INVALID);
    seen.insert(config.input(0).data_type());
  }
  EXPECT_EQ(seen.size(), kAllDataTypes.size());
}

TEST_F(ModelCodecTest, StatisticsAddUp) {
  const auto model = Serve({{{"x", DataType::kFp32, {-1}}}, {}});
  model->metrics.RecordRun(8, {absl::ZeroDuration(), absl::Microseconds(5), absl::ZeroDuration()});
  const CallTimes times = {.input = absl::Microseconds(1),
                           .queue = absl::Microseconds(2),
                           .infer = absl::Microseconds(5),
                           .output = absl::Microseconds(3)};
  // Two calls that shared a run.
  model->metrics.RecordAnswer(6, times, absl::FromUnixMillis(1000));
  model->metrics.RecordAnswer(2, times, absl::FromUnixMillis(2000));
  model->metrics.RecordFailure(absl::Microseconds(9));
  inference::ModelStatistics statistics;
  EncodeStatistics(*model, statistics);
  EXPECT_EQ(statistics.last_inference(), 2000u);
  EXPECT_EQ(statistics.inference_count(), 8u);
  EXPECT_EQ(statistics.execution_count(), 1u);
  const auto& calls = statistics.inference_stats();
  EXPECT_EQ(calls.success().count(), 2u);
  EXPECT_EQ(calls.success().ns(), 22'000u);
  EXPECT_EQ(calls.queue().ns(), 4'000u);
  EXPECT_EQ(calls.compute_input().ns(), 2'000u);
  EXPECT_EQ(calls.compute_infer().ns(), 10'000u);
  EXPECT_EQ(calls.compute_output().ns(), 6'000u);
  EXPECT_EQ(calls.fail().count(), 1u);
  EXPECT_EQ(calls.fail().ns(), 9'000u);
  ASSERT_EQ(statistics.batch_stats_size(), 1);
  EXPECT_EQ(statistics.batch_stats(0).batch_size(), 8u);
  EXPECT_EQ(statistics.batch_stats(0).compute_infer().ns(), 5'000u);
  EXPECT_EQ(statistics.memory_usage(0).byte_size(), 4096u);
}

TEST_F(ModelCodecTest, AModelThatHasDoneNothingHasNoLastInference) {
  inference::ModelStatistics statistics;
  EncodeStatistics(*Serve({{}, {}}), statistics);
  EXPECT_EQ(statistics.last_inference(), 0u);
}

}  // namespace
}  // namespace slipway::worker
