#ifndef SLIPWAY_COMMON_METRICS_METRICS_H_
#define SLIPWAY_COMMON_METRICS_METRICS_H_

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace prometheus {
class Counter;
class Gauge;
class Histogram;
class Registry;
}  // namespace prometheus

namespace slipway {

/// A service's metrics: prometheus-cpp's registry, with the platform's names. Any thread.
///
/// Names are given without the prefix: in the registry service "blobs_written_total" becomes
/// slipway_registry_blobs_written_total. Counters end in "_total"; the unit is spelled out
/// (seconds, bytes). A name that Prometheus would refuse aborts, at start, when metrics are made.
///
/// The references live as long as this object. Ask for them once and keep them: each call here
/// takes a lock and looks labels up, Increment() and Observe() on the reference do not.
/// Include "prometheus/counter.h", "prometheus/gauge.h" or "prometheus/histogram.h" to use them.
///
/// Labels are bounded: from kMaxSeries series of one name on, further labels share one series
/// whose label values are all "other".
class Metrics {
 public:
  using Labels = std::map<std::string, std::string>;
  static constexpr size_t kMaxSeries = 1000;

  /// `service` is "registry", "gateway", ... Besides what the service adds there are
  /// slipway_<service>_build_info and the standard process_* metrics.
  explicit Metrics(std::string_view service);
  ~Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  /// The same name and labels give the same metric.
  prometheus::Counter& Counter(std::string_view name, const std::string& help,
                               const Labels& labels = {});
  prometheus::Gauge& Gauge(std::string_view name, const std::string& help,
                           const Labels& labels = {});
  /// The buckets of a name are those of its first call.
  prometheus::Histogram& Histogram(std::string_view name, const std::string& help,
                                   const std::vector<double>& buckets = LatencyBuckets(),
                                   const Labels& labels = {});

  /// From 50 microseconds to a minute, in seconds.
  static const std::vector<double>& LatencyBuckets();
  /// Powers of 4 from 64 bytes to 1 GiB.
  static const std::vector<double>& SizeBuckets();

  prometheus::Registry& registry() { return *registry_; }

  /// Everything in Prometheus' text format (version 0.0.4).
  std::string Text() const;
  static constexpr std::string_view kContentType = "text/plain; version=0.0.4; charset=utf-8";

 private:
  class Impl;
  std::shared_ptr<prometheus::Registry> registry_;
  std::unique_ptr<Impl> impl_;
};

/// Puts the texts of several services together into one: each sample gets the label
/// service="<name>", and a metric that several have (process_cpu_seconds_total) is described
/// once. Lines that are not in Prometheus' text format are dropped.
std::string MergeMetrics(const std::map<std::string, std::string>& text_by_service);

}  // namespace slipway

#endif  // SLIPWAY_COMMON_METRICS_METRICS_H_
