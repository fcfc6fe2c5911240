#include <string>

#include "common/metrics/metrics.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "prometheus/counter.h"
#include "prometheus/histogram.h"
#include "tests/unit/common/metrics/promtool.h"

namespace slipway {
namespace {

TEST(MergeMetricsTest, PutsTheServiceFirstAmongTheLabels) {
  EXPECT_EQ(MergeMetrics({{"registry",
                           "# HELP a_total A.\n# TYPE a_total counter\na_total 1\n"
                           "# TYPE b gauge\nb{k=\"}\"} 2\nb{} 3 1700\n"}}),
            "# HELP a_total A.\n# TYPE a_total counter\na_total{service=\"registry\"} 1\n"
            "# TYPE b gauge\nb{service=\"registry\",k=\"}\"} 2\nb{service=\"registry\"} 3 1700\n");
}

TEST(MergeMetricsTest, DescribesAMetricOfSeveralServicesOnce) {
  const std::string text = "# HELP a A.\n# TYPE a gauge\na 1\n";
  EXPECT_EQ(MergeMetrics({{"x", text}, {"y", text}}),
            "# HELP a A.\n# TYPE a gauge\na{service=\"x\"} 1\na{service=\"y\"} 1\n");
}

TEST(MergeMetricsTest, KeepsAHistogramTogether) {
  const std::string text =
      "# TYPE d histogram\nd_bucket{le=\"+Inf\"} 1\nd_sum 2\nd_count 1\nd_countless 5\n";
  EXPECT_EQ(MergeMetrics({{"x", text}, {"y", text}}),
            "# TYPE d histogram\nd_bucket{service=\"x\",le=\"+Inf\"} 1\nd_sum{service=\"x\"} 2\n"
            "d_count{service=\"x\"} 1\nd_bucket{service=\"y\",le=\"+Inf\"} 1\n"
            "d_sum{service=\"y\"} 2\nd_count{service=\"y\"} 1\n"
            "d_countless{service=\"x\"} 5\nd_countless{service=\"y\"} 5\n");
}

TEST(MergeMetricsTest, DropsWhatIsNoMetric) {
  EXPECT_EQ(MergeMetrics({{"x", "<html>503</html>\n\n1a 2\n# a comment\nname\nn!ame 1\n"}}), "");
  EXPECT_EQ(MergeMetrics({{"x", ""}}), "");
  EXPECT_EQ(MergeMetrics({{"x", "a 1"}}), "a{service=\"x\"} 1\n");
}

TEST(MergeMetricsTest, IsCleanUnderPromtool) {
  Metrics registry("registry");
  registry.Histogram("call_duration_seconds", "Durations.").Observe(1);
  Metrics training("training");
  training.Counter("jobs_total", "Jobs.", {{"state", "done"}}).Increment();
  EXPECT_EQ(
      PromtoolSays(MergeMetrics({{"registry", registry.Text()}, {"training", training.Text()}})),
      "");
}

}  // namespace
}  // namespace slipway
