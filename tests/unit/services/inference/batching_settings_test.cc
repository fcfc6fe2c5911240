#include "services/inference/batching_settings.h"

#include <functional>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace slipway::worker {
namespace {

using ::testing::HasSubstr;

TEST(BatchingSettingsTest, WhatIsLeftOutIsTheWorkersOwn) {
  const BatchPolicy defaults = {
      .max_rows = 7, .max_delay = absl::Milliseconds(3), .queues = {QueuePolicy{.max_calls = 9}}};
  const auto policy = ParseBatching({}, defaults, "batching");
  ASSERT_TRUE(policy.ok()) << policy.status();
  EXPECT_EQ(*policy, defaults);
}

TEST(BatchingSettingsTest, TakesWhatIsThere) {
  v1::Batching settings;
  settings.set_max_rows(16);
  settings.add_preferred_rows(4);
  settings.add_preferred_rows(16);
  settings.mutable_max_delay()->set_nanos(2'000'000);
  settings.set_max_instances(1);
  settings.add_queues()->set_max_calls(10);
  auto& second = *settings.add_queues();
  second.mutable_timeout()->set_seconds(5);
  second.set_action(v1::Batching::Queue::DELAY);
  settings.set_default_priority(2);
  const auto policy =
      ParseBatching(settings, {.queues = {QueuePolicy{.max_calls = 9}}}, "batching");
  ASSERT_TRUE(policy.ok()) << policy.status();
  EXPECT_EQ(*policy, (BatchPolicy{.max_rows = 16,
                                  .preferred_rows = {4, 16},
                                  .max_delay = absl::Milliseconds(2),
                                  .max_instances = 1,
                                  .queues = {QueuePolicy{.max_calls = 10},
                                             QueuePolicy{.max_calls = 9,
                                                         .timeout = absl::Seconds(5),
                                                         .action = QueuePolicy::Action::kDelay}},
                                  .default_priority = 1}));
}

TEST(BatchingSettingsTest, RefusesWhatMakesNoSenseNamingTheField) {
  const auto refused = [](const std::function<void(v1::Batching&)>& change) {
    v1::Batching settings;
    settings.set_max_rows(8);
    change(settings);
    return std::string(ParseBatching(settings, {}, "runtime.batching").status().message());
  };
  EXPECT_THAT(refused([](auto& s) { s.set_max_rows(-1); }), HasSubstr("runtime.batching.max_rows"));
  EXPECT_THAT(refused([](auto& s) { s.add_preferred_rows(9); }), HasSubstr("preferred_rows[0]"));
  EXPECT_THAT(refused([](auto& s) {
                s.add_preferred_rows(4);
                s.add_preferred_rows(4);
              }),
              HasSubstr("preferred_rows[1]"));
  EXPECT_THAT(refused([](auto& s) { s.mutable_max_delay()->set_seconds(-1); }),
              HasSubstr("max_delay"));
  EXPECT_THAT(refused([](auto& s) { s.mutable_max_delay()->set_seconds(3600); }),
              HasSubstr("max_delay"));
  EXPECT_THAT(refused([](auto& s) { s.set_max_instances(-1); }), HasSubstr("max_instances"));
  EXPECT_THAT(refused([](auto& s) { s.add_queues()->set_max_calls(-1); }),
              HasSubstr("queues[0].max_calls"));
  EXPECT_THAT(refused([](auto& s) {
                s.add_queues()->set_action(static_cast<v1::Batching::Queue::Action>(9));
              }),
              HasSubstr("queues[0].action"));
  EXPECT_THAT(refused([](auto& s) { s.set_default_priority(2); }), HasSubstr("default_priority"));
}

}  // namespace
}  // namespace slipway::worker
