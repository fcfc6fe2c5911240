#include "common/metrics/metrics.h"

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <utility>

#include "common/config/version.h"
#include "common/metrics/process_metrics.h"
#include "common/sync/mutex.h"
#include "fmt/format.h"
#include "prometheus/counter.h"
#include "prometheus/family.h"
#include "prometheus/gauge.h"
#include "prometheus/histogram.h"
#include "prometheus/registry.h"
#include "prometheus/text_serializer.h"

namespace slipway {
namespace {

// A metric that cannot be is a bug of ours, seen at the first start.
[[noreturn]] void BrokenMetric(std::string_view name, std::string_view problem) {
  std::fprintf(stderr, "metric %s: %s\n", std::string(name).c_str(), std::string(problem).c_str());
  std::abort();
}

void CheckName(std::string_view name, bool counter) {
  if (name.empty() ||
      name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_") != std::string_view::npos) {
    BrokenMetric(name, "is not lower_snake_case");
  }
  if (name.ends_with("_total") != counter) {
    BrokenMetric(name, "counters, and nothing else, end in _total");
  }
}

}  // namespace

class Metrics::Impl {
 public:
  explicit Impl(std::string_view service) : prefix_(fmt::format("slipway_{}_", service)) {}

  template <class Metric, class Builder, class... Args>
  Metric& Get(prometheus::Registry& registry, Builder builder, std::string_view name,
              const std::string& help, const Labels& labels, const Args&... args) {
    CheckName(name, std::is_same_v<Metric, prometheus::Counter>);
    MutexLock lock(mutex_);
    try {
      prometheus::Family<Metric>& family =
          builder.Name(prefix_ + std::string(name)).Help(help).Register(registry);
      size_t& series = series_[family.GetName()];
      if (family.Has(labels)) return family.Add(labels, args...);
      if (series >= kMaxSeries) {
        Labels other = labels;
        for (auto& [label, value] : other) value = "other";
        return family.Add(other, args...);
      }
      ++series;
      return family.Add(labels, args...);
    } catch (const std::exception& error) {
      BrokenMetric(name, error.what());
    }
  }

 private:
  const std::string prefix_;
  Mutex mutex_;
  // How many series each name has.
  std::map<std::string, size_t> series_ GUARDED_BY(mutex_);
};

Metrics::Metrics(std::string_view service)
    : registry_(std::make_shared<prometheus::Registry>()), impl_(std::make_unique<Impl>(service)) {
  Gauge("build_info", "Always 1; the label says which version runs",
        {{"version", std::string(Version())}})
      .Set(1);
}

Metrics::~Metrics() = default;

prometheus::Counter& Metrics::Counter(std::string_view name, const std::string& help,
                                      const Labels& labels) {
  return impl_->Get<prometheus::Counter>(*registry_, prometheus::BuildCounter(), name, help,
                                         labels);
}

prometheus::Gauge& Metrics::Gauge(std::string_view name, const std::string& help,
                                  const Labels& labels) {
  return impl_->Get<prometheus::Gauge>(*registry_, prometheus::BuildGauge(), name, help, labels);
}

prometheus::Histogram& Metrics::Histogram(std::string_view name, const std::string& help,
                                          const std::vector<double>& buckets,
                                          const Labels& labels) {
  return impl_->Get<prometheus::Histogram>(*registry_, prometheus::BuildHistogram(), name, help,
                                           labels, buckets);
}

const std::vector<double>& Metrics::LatencyBuckets() {
  static const auto& buckets = *new std::vector<double>{
      50e-6,  100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3,
      100e-3, 250e-3, 500e-3, 1,      2.5,  5,      10,   25,    60};
  return buckets;
}

const std::vector<double>& Metrics::SizeBuckets() {
  static const auto& buckets =
      *new std::vector<double>{1 << 6,  1 << 8,  1 << 10, 1 << 12, 1 << 14, 1 << 16, 1 << 18,
                               1 << 20, 1 << 22, 1 << 24, 1 << 26, 1 << 28, 1 << 30};
  return buckets;
}

std::string Metrics::Text() const {
  std::vector<prometheus::MetricFamily> families = registry_->Collect();
  for (prometheus::MetricFamily& family : ProcessMetrics()) families.push_back(std::move(family));
  return prometheus::TextSerializer().Serialize(families);
}

}  // namespace slipway
