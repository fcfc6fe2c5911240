#include "services/gateway/gateway_metrics.h"

#include <utility>

#include "prometheus/counter.h"
#include "prometheus/histogram.h"

namespace slipway::gateway {

RequestMetrics::RequestMetrics(Metrics& metrics, std::string counter, std::string counter_help,
                               std::string histogram, const std::string& histogram_help,
                               Metrics::Labels labels)
    : metrics_(metrics),
      counter_(std::move(counter)),
      counter_help_(std::move(counter_help)),
      labels_(std::move(labels)),
      histogram_(metrics.Histogram(histogram, histogram_help, Metrics::LatencyBuckets(), labels_)) {
}

prometheus::Counter& RequestMetrics::CounterFor(int http_code) {
  Metrics::Labels labels = labels_;
  labels["code"] = std::to_string(http_code);
  return metrics_.Counter(counter_, counter_help_, labels);
}

void RequestMetrics::Observe(int http_code, absl::Duration took) {
  const int place = http_code - 200;
  if (place < 0 || place >= static_cast<int>(by_code_.size())) {
    CounterFor(http_code).Increment();
  } else {
    prometheus::Counter* counter = by_code_[place].load(std::memory_order_acquire);
    if (counter == nullptr) {
      // Two threads may both look it up: they find the same one.
      counter = &CounterFor(http_code);
      by_code_[place].store(counter, std::memory_order_release);
    }
    counter->Increment();
  }
  histogram_.Observe(absl::ToDoubleSeconds(took));
}

GatewayMetrics::GatewayMetrics(Metrics& metrics) : metrics_(metrics) {}

RequestMetrics& GatewayMetrics::Method(const std::string& label) {
  MutexLock lock(mutex_);
  std::unique_ptr<RequestMetrics>& method = methods_[label];
  if (method == nullptr) {
    method = std::make_unique<RequestMetrics>(
        metrics_, "requests_total", "Answered requests", "request_duration_seconds",
        "From a request's head to its answer", Metrics::Labels{{"method", label}});
  }
  return *method;
}

std::shared_ptr<RequestMetrics> GatewayMetrics::Endpoint(const std::string& tenant,
                                                         const std::string& endpoint) {
  MutexLock lock(mutex_);
  std::shared_ptr<RequestMetrics>& known = endpoints_[{tenant, endpoint}];
  if (known == nullptr) {
    known = std::make_shared<RequestMetrics>(
        metrics_, "inference_requests_total", "Calls of an endpoint, answered",
        "inference_duration_seconds", "Calls of an endpoint, from head to answer",
        Metrics::Labels{{"tenant", tenant}, {"endpoint", endpoint}});
  }
  return known;
}

RoutingMetrics GatewayMetrics::Routing(const std::string& tenant, const std::string& endpoint) {
  const auto count = [&](const char* name, const char* help,
                         const Metrics::Labels& more = {}) -> prometheus::Counter& {
    Metrics::Labels labels = {{"tenant", tenant}, {"endpoint", endpoint}};
    labels.insert(more.begin(), more.end());
    return metrics_.Counter(name, help, labels);
  };
  constexpr char kShed[] = "inference_shed_total";
  constexpr char kShedHelp[] = "Calls that were refused at once, since workers are busy";
  constexpr char kRetries[] = "inference_retries_total";
  constexpr char kRetriesHelp[] = "Calls that found no worker and were to be made again";
  return {.saturated = count(kShed, kShedHelp, {{"reason", "saturated"}}),
          .too_late = count(kShed, kShedHelp, {{"reason", "deadline"}}),
          .retried = count(kRetries, kRetriesHelp, {{"outcome", "made"}}),
          .retry_refused = count(kRetries, kRetriesHelp, {{"outcome", "over_budget"}}),
          .fallbacks = count("inference_fallbacks_total", "Calls that went to the fallback"),
          .ejections = count("worker_ejections_total", "How often a worker was set aside")};
}

ShadowMetrics GatewayMetrics::Shadow(const std::string& tenant, const std::string& endpoint) {
  const auto count = [&](const char* outcome) -> prometheus::Counter& {
    return metrics_.Counter("shadow_calls_total", "Copies of calls, which nobody is charged for",
                            {{"tenant", tenant}, {"endpoint", endpoint}, {"outcome", outcome}});
  };
  return {.agreed = count("agreed"),
          .differed = count("differed"),
          .failed = count("failed"),
          .skipped = count("skipped"),
          .duration = metrics_.Histogram("shadow_duration_seconds", "Copies of calls",
                                         Metrics::LatencyBuckets(),
                                         {{"tenant", tenant}, {"endpoint", endpoint}})};
}

void GatewayMetrics::CountRefusal(const std::string& reason) {
  metrics_
      .Counter("refused_requests_total", "Requests that were turned away before any work",
               {{"reason", reason}})
      .Increment();
}

}  // namespace slipway::gateway
