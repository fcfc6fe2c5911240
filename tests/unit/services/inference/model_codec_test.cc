#include "services/inference/model_codec.h"

#include <memory>
#include <set>
#include <utility>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace slipway::worker {
namespace {

using ::testing::ElementsAre;

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
                        .parallelism = {.instances = 3, .threads = 2},
                        .labels = {},
                        .signature = std::move(signature),
                        .queue = std::make_unique<ModelQueue>(policy_, "acme", nullptr),
                        .metrics = ModelMetrics(metrics_, "d", "v")});
  }
  Metrics metrics_{"worker"};
  BatchPolicy policy_;
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

TEST_F(ModelCodecTest, AConfigSaysHowCallsRun) {
  policy_ = {
      .max_rows = 16,
      .preferred_rows = {4, 8},
      .max_delay = absl::Milliseconds(2),
      .queues = {QueuePolicy{.max_calls = 7}, QueuePolicy{.timeout = absl::Milliseconds(5),
                                                          .action = QueuePolicy::Action::kDelay}},
      .default_priority = 1};
  inference::ModelConfig config;
  EncodeConfig(*Serve({{{"x", DataType::kFp32, {-1}}}, {{"y", DataType::kFp32, {-1}}}}), config);
  EXPECT_EQ(config.instance_group(0).count(), 3);
  EXPECT_EQ(config.parameters().at("threads").string_value(), "2");
  EXPECT_EQ(config.parameters().at("max_rows").string_value(), "16");
  const inference::ModelDynamicBatching& batching = config.dynamic_batching();
  EXPECT_THAT(batching.preferred_batch_size(), ElementsAre(4, 8));
  EXPECT_EQ(batching.max_queue_delay_microseconds(), 2000u);
  EXPECT_EQ(batching.priority_levels(), 2u);
  EXPECT_EQ(batching.default_priority_level(), 2u);
  EXPECT_EQ(batching.priority_queue_policy().at(1).max_queue_size(), 7u);
  EXPECT_EQ(batching.priority_queue_policy().at(2).default_timeout_microseconds(), 5000u);
  EXPECT_EQ(batching.priority_queue_policy().at(2).timeout_action(),
            inference::ModelQueuePolicy::DELAY);
}

TEST_F(ModelCodecTest, AModelWithoutABatchSaysSo) {
  inference::ModelConfig config;
  EncodeConfig(*Serve({{{"x", DataType::kFp32, {2, 3}}}, {{"y", DataType::kFp32, {-1}}}}), config);
  EXPECT_EQ(config.max_batch_size(), 0);
  EXPECT_FALSE(config.has_dynamic_batching());
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
  model->metrics.SetLoadedBytes(4096);
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
