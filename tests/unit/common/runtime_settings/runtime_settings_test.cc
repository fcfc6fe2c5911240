#include "common/runtime_settings/runtime_settings.h"

#include <functional>

#include "gtest/gtest.h"

namespace slipway {
namespace {

using worker::v1::Batching;
using worker::v1::RuntimeSettings;

TEST(RuntimeSettingsTest, NothingSaidIsFine) {
  EXPECT_TRUE(CheckRuntimeSettings({}, "runtime").ok());
}

TEST(RuntimeSettingsTest, WhatMakesSenseIsFine) {
  RuntimeSettings settings;
  Batching& batching = *settings.mutable_batching();
  batching.set_max_rows(16);
  batching.add_preferred_rows(4);
  batching.add_preferred_rows(16);
  batching.mutable_max_delay()->set_nanos(2'000'000);
  batching.set_max_instances(1);
  batching.add_queues()->set_max_calls(10);
  Batching::Queue& second = *batching.add_queues();
  second.mutable_timeout()->set_seconds(5);
  second.set_action(Batching::Queue::DELAY);
  batching.set_default_priority(2);
  settings.mutable_response_cache()->set_max_bytes(1 << 20);
  settings.mutable_response_cache()->mutable_time_to_live()->set_seconds(1);
  Batching::Padding& padding = *batching.add_padding();
  padding.add_axes()->set_tensor("tokens");
  padding.mutable_axes(0)->set_axis(1);
  padding.add_buckets(16);
  padding.add_buckets(32);
  settings.mutable_sequences()->mutable_idle_timeout()->set_seconds(300);
  settings.mutable_sequences()->set_max_sequences(100);
  EXPECT_TRUE(CheckRuntimeSettings(settings, "runtime").ok());
}

TEST(RuntimeSettingsTest, WhatMakesNoneIsRefusedNamingTheField) {
  const auto field = [](const std::function<void(RuntimeSettings&)>& change) {
    RuntimeSettings settings;
    settings.mutable_batching()->set_max_rows(8);
    change(settings);
    return FieldOf(CheckRuntimeSettings(settings, "runtime"));
  };
  const auto below = [&](const std::function<void(Batching&)>& change) {
    return field([&](RuntimeSettings& settings) { change(*settings.mutable_batching()); });
  };
  EXPECT_EQ(field([](auto& s) { s.set_runtime(static_cast<RuntimeSettings::Runtime>(9)); }),
            "runtime.runtime");
  EXPECT_EQ(field([](auto& s) { s.set_precision(static_cast<RuntimeSettings::Precision>(9)); }),
            "runtime.precision");
  EXPECT_EQ(below([](auto& b) { b.set_max_rows(-1); }), "runtime.batching.max_rows");
  EXPECT_EQ(below([](auto& b) { b.set_max_rows(65537); }), "runtime.batching.max_rows");
  EXPECT_EQ(below([](auto& b) { b.add_preferred_rows(9); }), "runtime.batching.preferred_rows[0]");
  EXPECT_EQ(below([](auto& b) { b.add_preferred_rows(0); }), "runtime.batching.preferred_rows[0]");
  EXPECT_EQ(below([](auto& b) {
              b.add_preferred_rows(4);
              b.add_preferred_rows(4);
            }),
            "runtime.batching.preferred_rows[1]");
  EXPECT_EQ(below([](auto& b) { b.mutable_max_delay()->set_seconds(-1); }),
            "runtime.batching.max_delay");
  EXPECT_EQ(below([](auto& b) { b.mutable_max_delay()->set_seconds(61); }),
            "runtime.batching.max_delay");
  EXPECT_EQ(below([](auto& b) { b.set_max_instances(-1); }), "runtime.batching.max_instances");
  EXPECT_EQ(below([](auto& b) {
              for (int i = 0; i < 17; ++i) b.add_queues();
            }),
            "runtime.batching.queues");
  EXPECT_EQ(below([](auto& b) { b.add_queues()->set_max_calls(-1); }),
            "runtime.batching.queues[0].max_calls");
  // It would refuse every call.
  EXPECT_EQ(below([](auto& b) { b.add_queues()->mutable_timeout(); }),
            "runtime.batching.queues[0].timeout");
  EXPECT_EQ(
      below([](auto& b) { b.add_queues()->set_action(static_cast<Batching::Queue::Action>(9)); }),
      "runtime.batching.queues[0].action");
  EXPECT_EQ(below([](auto& b) { b.add_queues()->set_action(Batching::Queue::DELAY); }),
            "runtime.batching.queues[0].action");
  EXPECT_EQ(below([](auto& b) { b.set_default_priority(2); }), "runtime.batching.default_priority");
  EXPECT_EQ(below([](auto& b) { b.set_default_priority(-1); }),
            "runtime.batching.default_priority");
  // Who names it wants it.
  EXPECT_EQ(field([](auto& s) { s.mutable_response_cache(); }), "runtime.response_cache.max_bytes");
  EXPECT_EQ(field([](auto& s) {
              s.mutable_response_cache()->set_max_bytes(1);
              s.mutable_response_cache()->mutable_time_to_live();
            }),
            "runtime.response_cache.time_to_live");
  EXPECT_EQ(field([](auto& s) { s.mutable_sequences()->mutable_idle_timeout(); }),
            "runtime.sequences.idle_timeout");
  EXPECT_EQ(field([](auto& s) { s.mutable_sequences()->set_max_sequences(-1); }),
            "runtime.sequences.max_sequences");
}

TEST(RuntimeSettingsTest, PaddingThatMakesNoSenseIsRefusedNamingTheField) {
  // The dimension is axis 1 of "tokens" and of "mask".
  const auto field = [](const std::function<void(Batching&)>& change) {
    RuntimeSettings settings;
    Batching& batching = *settings.mutable_batching();
    for (const char* tensor : {"tokens", "mask"}) {
      if (batching.padding_size() == 0) batching.add_padding();
      auto& axis = *batching.mutable_padding(0)->add_axes();
      axis.set_tensor(tensor);
      axis.set_axis(1);
    }
    change(batching);
    return FieldOf(CheckRuntimeSettings(settings, "runtime"));
  };
  EXPECT_EQ(field([](auto&) {}), "");
  EXPECT_EQ(field([](auto& b) { b.set_max_rows(1); }), "runtime.batching.padding");
  EXPECT_EQ(field([](auto& b) {
              for (int i = 0; i < 4; ++i) *b.add_padding() = b.padding(0);
            }),
            "runtime.batching.padding");
  EXPECT_EQ(field([](auto& b) { b.add_padding(); }), "runtime.batching.padding[1].axes");
  EXPECT_EQ(field([](auto& b) { b.mutable_padding(0)->mutable_axes(0)->clear_tensor(); }),
            "runtime.batching.padding[0].axes[0].tensor");
  EXPECT_EQ(field([](auto& b) { b.mutable_padding(0)->mutable_axes(1)->set_axis(0); }),
            "runtime.batching.padding[0].axes[1].axis");
  EXPECT_EQ(field([](auto& b) { b.mutable_padding(0)->mutable_axes(1)->set_tensor("tokens"); }),
            "runtime.batching.padding[0].axes[1]");
  EXPECT_EQ(field([](auto& b) { b.mutable_padding(0)->add_buckets(0); }),
            "runtime.batching.padding[0].buckets[0]");
  EXPECT_EQ(field([](auto& b) {
              b.mutable_padding(0)->add_buckets(8);
              b.mutable_padding(0)->add_buckets(8);
            }),
            "runtime.batching.padding[0].buckets[1]");
}

}  // namespace
}  // namespace slipway
