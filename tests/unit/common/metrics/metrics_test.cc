#include "common/metrics/metrics.h"

#include <algorithm>
#include <ctime>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "prometheus/counter.h"
#include "prometheus/gauge.h"
#include "prometheus/histogram.h"
#include "tests/unit/common/metrics/promtool.h"

namespace slipway {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(MetricsTest, NamesEachMetricAfterItsService) {
  Metrics metrics("registry");
  metrics.Counter("blobs_written_total", "Blobs", {{"kind", "model"}}).Increment(3);
  metrics.Gauge("open_uploads", "Uploads").Set(2);
  metrics.Histogram("upload_duration_seconds", "Durations", {0.1, 1}).Observe(0.5);
  const std::string text = metrics.Text();
  EXPECT_THAT(text, HasSubstr("# HELP slipway_registry_blobs_written_total Blobs\n"));
  EXPECT_THAT(text, HasSubstr("slipway_registry_blobs_written_total{kind=\"model\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("slipway_registry_open_uploads 2\n"));
  EXPECT_THAT(text, HasSubstr("slipway_registry_upload_duration_seconds_bucket{le=\"0.1\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("slipway_registry_upload_duration_seconds_bucket{le=\"1\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("slipway_registry_build_info{version=\"0."));
}

TEST(MetricsTest, GivesTheSameMetricForTheSameNameAndLabels) {
  Metrics metrics("registry");
  prometheus::Counter& a = metrics.Counter("x_total", "x", {{"k", "1"}});
  EXPECT_EQ(&metrics.Counter("x_total", "x", {{"k", "1"}}), &a);
  EXPECT_NE(&metrics.Counter("x_total", "x", {{"k", "2"}}), &a);
  prometheus::Histogram& h = metrics.Histogram("d_seconds", "d");
  EXPECT_EQ(&metrics.Histogram("d_seconds", "d"), &h);
}

TEST(MetricsTest, IsCleanUnderPromtool) {
  Metrics metrics("registry");
  metrics.Counter("blobs_written_total", "Blobs written.", {{"kind", "a\"b\\c\nd"}}).Increment();
  metrics.Gauge("queue_jobs", "Jobs in the queue.").Set(-1);
  metrics.Histogram("call_duration_seconds", "Durations.").Observe(0.5);
  metrics.Histogram("blob_size_bytes", "Sizes.", Metrics::SizeBuckets()).Observe(1e6);
  EXPECT_EQ(PromtoolSays(metrics.Text()), "");
  // The tool that finds nothing is there and would have found something.
  EXPECT_NE(PromtoolSays("# TYPE x counter\nx 1\n"), "");
}

TEST(MetricsTest, TellsWhatTheProcessUses) {
  // The kernel counts processor time in ticks of 10 ms.
  while (std::clock() < CLOCKS_PER_SEC / 20) {
  }
  const std::string text = Metrics("registry").Text();
  for (const char* name : {"process_cpu_seconds_total", "process_resident_memory_bytes",
                           "process_virtual_memory_bytes", "process_start_time_seconds",
                           "process_open_fds", "process_max_fds"}) {
    const size_t at = text.find(std::string("\n") + name + " ");
    ASSERT_NE(at, std::string::npos) << name;
    EXPECT_GT(std::stod(text.substr(at + std::string(name).size() + 2)), 0) << name;
  }
  const size_t resident = text.find("\nprocess_resident_memory_bytes ");
  const double bytes = std::stod(text.substr(resident + 31));
  EXPECT_GT(bytes, 1 << 20);
  EXPECT_LT(bytes, 1 << 30);
}

TEST(MetricsTest, BoundsTheSeriesOfAName) {
  Metrics metrics("registry");
  for (size_t i = 0; i < Metrics::kMaxSeries; ++i) {
    metrics.Counter("x_total", "x", {{"k", std::to_string(i)}});
  }
  prometheus::Counter& over = metrics.Counter("x_total", "x", {{"k", "one more"}});
  EXPECT_EQ(&metrics.Counter("x_total", "x", {{"k", "and another"}}), &over);
  EXPECT_NE(&metrics.Counter("x_total", "x", {{"k", "7"}}), &over);
  const std::string text = metrics.Text();
  EXPECT_THAT(text, HasSubstr("{k=\"other\"}"));
  EXPECT_THAT(text, Not(HasSubstr("one more")));
}

TEST(MetricsTest, BucketsAreInOrder) {
  for (const auto* buckets : {&Metrics::LatencyBuckets(), &Metrics::SizeBuckets()}) {
    EXPECT_TRUE(std::is_sorted(buckets->begin(), buckets->end()));
  }
  EXPECT_EQ(Metrics::LatencyBuckets().front(), 50e-6);
  EXPECT_EQ(Metrics::LatencyBuckets().back(), 60);
}

TEST(MetricsTest, CountsFromManyThreadsAtOnce) {
  Metrics metrics("registry");
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&metrics, t] {
        for (int i = 0; i < 1000; ++i) {
          metrics.Counter("x_total", "x", {{"k", std::to_string((t + i) % 3)}}).Increment();
        }
      });
    }
  }
  double sum = 0;
  for (const char* k : {"0", "1", "2"}) sum += metrics.Counter("x_total", "x", {{"k", k}}).Value();
  EXPECT_EQ(sum, 4000);
}

TEST(MetricsDeathTest, RefusesNamesThatPrometheusWouldNotTake) {
  Metrics metrics("registry");
  EXPECT_DEATH(metrics.Counter("blobs", "x"), "end in _total");
  EXPECT_DEATH(metrics.Gauge("blobs_total", "x"), "end in _total");
  EXPECT_DEATH(metrics.Gauge("Blobs", "x"), "lower_snake_case");
  EXPECT_DEATH(metrics.Gauge("", "x"), "lower_snake_case");
  EXPECT_DEATH(metrics.Gauge("a", "x", {{"bad-label", "x"}}), "metric a");
  metrics.Gauge("both", "x");
  EXPECT_DEATH(metrics.Histogram("both", "x"), "metric both");
}

}  // namespace
}  // namespace slipway
