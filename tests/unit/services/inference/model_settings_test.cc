#include "services/inference/model_settings.h"

#include "gtest/gtest.h"

namespace slipway::worker {
namespace {

TEST(ModelSettingsTest, WhatIsLeftOutIsTheWorkersOwn) {
  const BatchPolicy defaults = {
      .max_rows = 7, .max_delay = absl::Milliseconds(3), .queues = {QueuePolicy{.max_calls = 9}}};
  const auto settings = ParseModelSettings({}, defaults, "runtime");
  ASSERT_TRUE(settings.ok()) << settings.status();
  EXPECT_EQ(settings->batching, defaults);
  EXPECT_EQ(settings->runtime, RuntimeSettings{});
  EXPECT_EQ(settings->cache, ResponseCacheSettings{});
  EXPECT_EQ(settings->sequences, std::nullopt);
}

TEST(ModelSettingsTest, TakesWhatIsThere) {
  v1::RuntimeSettings proto;
  proto.set_runtime(v1::RuntimeSettings::OPENVINO);
  proto.set_precision(v1::RuntimeSettings::BFLOAT16);
  v1::Batching& batching = *proto.mutable_batching();
  batching.set_max_rows(16);
  batching.add_preferred_rows(4);
  batching.add_preferred_rows(16);
  batching.mutable_max_delay()->set_nanos(2'000'000);
  batching.set_max_instances(1);
  batching.add_queues()->set_max_calls(10);
  auto& second = *batching.add_queues();
  second.mutable_timeout()->set_seconds(5);
  second.set_action(v1::Batching::Queue::DELAY);
  batching.set_default_priority(2);
  proto.mutable_response_cache()->set_max_bytes(1000);
  proto.mutable_response_cache()->mutable_time_to_live()->set_seconds(60);
  v1::Batching::Padding& padding = *batching.add_padding();
  v1::Batching::Padding::Axis& axis = *padding.add_axes();
  axis.set_tensor("tokens");
  axis.set_axis(1);
  axis.set_value(7);
  padding.add_buckets(64);
  proto.mutable_sequences()->set_max_sequences(100);
  const auto settings =
      ParseModelSettings(proto, {.queues = {QueuePolicy{.max_calls = 9}}}, "runtime");
  ASSERT_TRUE(settings.ok()) << settings.status();
  EXPECT_EQ(settings->runtime,
            (RuntimeSettings{.runtime = RuntimeSettings::Runtime::kOpenVino,
                             .precision = RuntimeSettings::Precision::kBfloat16}));
  EXPECT_EQ(settings->batching,
            (BatchPolicy{.max_rows = 16,
                         .preferred_rows = {4, 16},
                         .max_delay = absl::Milliseconds(2),
                         .max_instances = 1,
                         .queues = {QueuePolicy{.max_calls = 10},
                                    QueuePolicy{.max_calls = 9,
                                                .timeout = absl::Seconds(5),
                                                .action = QueuePolicy::Action::kDelay}},
                         .default_priority = 1,
                         .padding = {{.axes = {{.tensor = "tokens", .axis = 1, .value = 7}},
                                      .buckets = {64}}}}));
  EXPECT_EQ(settings->cache,
            (ResponseCacheSettings{.max_bytes = 1000, .time_to_live = absl::Minutes(1)}));
  EXPECT_EQ(settings->sequences, SequenceSettings{.max_sequences = 100});
}

TEST(ModelSettingsTest, TheLargestPreferredSizeIsTheLargestWhereNoneIsSaid) {
  v1::RuntimeSettings proto;
  proto.mutable_batching()->add_preferred_rows(4);
  proto.mutable_batching()->add_preferred_rows(12);
  const auto settings = ParseModelSettings(proto, {.max_rows = 2}, "runtime");
  ASSERT_TRUE(settings.ok()) << settings.status();
  EXPECT_EQ(settings->batching.max_rows, 12);
}

TEST(ModelSettingsTest, RefusesWhatMakesNoSense) {
  v1::RuntimeSettings proto;
  proto.mutable_batching()->set_max_rows(-1);
  EXPECT_EQ(FieldOf(ParseModelSettings(proto, {}, "runtime").status()),
            "runtime.batching.max_rows");
}

}  // namespace
}  // namespace slipway::worker
